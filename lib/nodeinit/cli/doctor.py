"""`nodeinit doctor`: how a cluster is, and what is left on it of processes that are no more."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from nodeinit.cli.cluster import Where
from nodeinit.cli.errors import Command, ExitCode

if TYPE_CHECKING:
    from nodeinit.cli.findings import Findings
    from nodeinit.ray.cluster import RayCluster


@click.command(cls=Command)
@click.option(
    "--address", metavar="ADDR", help="The Ray to look at. Default: $RAY_ADDRESS, or the one here."
)
@click.option("--sweep", is_flag=True, help="Remove what is left of processes that are no more.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for programs.")
def doctor(address: str | None, sweep: bool, as_json: bool) -> None:
    """Say how a Ray cluster is, and what was left behind on it.

    That is: the groups that wait or may block others, the groups and downloads of nodeinit whose
    process is no more, and the GPUs that nobody is known to hold. Only what nodeinit itself has
    reserved is ever removed, and only when its owner is known to be gone.

    Exits with 0 when nothing is left over (any more), with 4 when something is.
    """
    from nodeinit.cli.findings import Findings
    from nodeinit.cli.observe import asked

    async def look(cluster: RayCluster) -> Findings:
        found = await cluster.checkup()
        failed = await cluster.sweep(found.leftovers) if sweep else None
        return Findings(found, failed)

    findings = asked(Where(address or os.environ.get("RAY_ADDRESS") or "auto"), look)
    if as_json:
        click.echo(json.dumps(findings.to_dict(), indent=2))
    else:
        for line in findings.lines():
            click.echo(line)
    raise SystemExit(ExitCode.READY if findings.clean else ExitCode.FAILED)
