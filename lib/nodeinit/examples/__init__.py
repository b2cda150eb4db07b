"""Callbacks to copy, each a file of its own that runs: `nodeinit run --example NAME`.

The module of an example has

* a callback class, which is what to copy;
* `config(source)`: the config that shows it, for the model in the directory `source`;
* `HOSTS` and `GPUS_PER_HOST`: the simulated hosts on which there is something to see; with
  `HOSTS = None` a Ray on this machine will do;
* `finish(config)`, if the callback made something that nodeinit does not give back: it does that.
"""
