"""How big the Ray is that the tests of a process share (the fixture `shared`)."""

HOSTS = 3
GPUS = 8
