"""The program `nodeinit`: its commands, and what becomes of their errors."""

from __future__ import annotations

import click

from nodeinit.cli.cache import cache
from nodeinit.cli.check import check
from nodeinit.cli.diagram import diagram
from nodeinit.cli.doctor import doctor
from nodeinit.cli.errors import Program
from nodeinit.cli.examples import examples
from nodeinit.cli.explore import explore
from nodeinit.cli.fetch import fetch
from nodeinit.cli.machine import machine
from nodeinit.cli.plan import plan
from nodeinit.cli.replay import replay
from nodeinit.cli.run import run
from nodeinit.cli.schema import schema
from nodeinit.cli.serve import serve
from nodeinit.cli.snapshot import snapshot
from nodeinit.cli.telemetry import telemetry

EXIT_CODES = """
\b
Exit codes:
  0  the node was ready          3  it does not fit the cluster
  2  bad usage or config         4  it failed
     (nothing was started)       5  it was cancelled (Ctrl-C)
"""


@click.group(
    cls=Program, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="nodeinit", prog_name="nodeinit")
def cli() -> None:
    """Bring an LLM serving node from a config to READY on Ray.

    Begin with `nodeinit run`: it starts a small Ray here, brings up a node with a tiny model, shows
    what is where, and gives everything back.
    """


for command in (
    run,
    plan,
    serve,
    check,
    explore,
    snapshot,
    fetch,
    cache,
    doctor,
    examples,
    machine,
    diagram,
    replay,
    telemetry,
    schema,
):
    cli.add_command(command)


def main() -> None:
    """The entry point of the program."""
    cli(prog_name="nodeinit")
