"""`nodeinit doctor`: how this host and a cluster are, and what is left there of processes no more."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nodeinit.cli.cluster import Where
from nodeinit.cli.errors import Command, ExitCode
from nodeinit.cli.stores import store_of, store_option
from nodeinit.errors import ConfigError

if TYPE_CHECKING:
    from nodeinit.cli.doctoring.finding import Finding
    from nodeinit.cli.findings import Findings
    from nodeinit.ray.cluster import RayCluster


@click.command(cls=Command)
@click.option(
    "--address", metavar="ADDR", help="The Ray to look at. Default: $RAY_ADDRESS, or the one here."
)
@click.option("--sweep", is_flag=True, help="Remove what is left of processes that are no more.")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for programs.")
def doctor(address: str | None, sweep: bool, store: Path | None, as_json: bool) -> None:
    """Say how this host and a Ray cluster are, and what to do about what is not well.

    On this host: versions, what works with the installed Ray, keys (whether they are there, never
    what they are), the disk, and the models in the store. On the cluster, if there is one: groups
    that wait or block others, GPUs that nobody is known to hold, replicas that initialize, and what
    nodes left there whose process is no more. Only what nodeinit itself has reserved is ever
    removed, and only when its owner is known to be gone.

    Exits with 0 when nothing is bad (any more), with 4 when something is.
    """
    from nodeinit.cli.doctoring.access import access
    from nodeinit.cli.doctoring.finding import Finding, Level, worst
    from nodeinit.cli.doctoring.software import software
    from nodeinit.cli.doctoring.store import store as store_health

    topics = {
        "software": [*software()],
        "keys": [*access()],
        "store": [*store_health(store_of(store))],
    }
    cluster = _cluster(address, sweep)
    topics["cluster"] = [cluster] if isinstance(cluster, Finding) else [*cluster.findings()]
    level = worst(finding for findings in topics.values() for finding in findings)
    if as_json:
        checks = [f.to_dict(topic) for topic, findings in topics.items() for f in findings]
        found: dict[str, Any] = {"level": str(level), "checks": checks}
        more = {} if isinstance(cluster, Finding) else cluster.to_dict()
        click.echo(json.dumps({**found, **more}, indent=2))
    else:
        for topic, findings in topics.items():
            click.echo(topic)
            for finding in findings:
                for line in finding.lines():
                    click.echo(line)
    raise SystemExit(ExitCode.FAILED if level is Level.BAD else ExitCode.READY)


def _cluster(address: str | None, sweep: bool) -> Findings | Finding:
    """What is found on the cluster, or that there is none, where none was asked for."""
    import asyncio

    from nodeinit.cli.doctoring.finding import ok, warn
    from nodeinit.cli.findings import Findings
    from nodeinit.cli.observe import asked
    from nodeinit.ray import posts

    async def look(cluster: RayCluster) -> Findings:
        found = await cluster.checkup()
        failed = await cluster.sweep(found.leftovers) if sweep else None
        if sweep:
            await asyncio.to_thread(posts.forget_the_gone)
        return Findings(found, failed, await asyncio.to_thread(posts.posted))

    named = address or os.environ.get("RAY_ADDRESS")
    try:
        return asked(Where(named or "auto"), look)
    except ConfigError as error:
        # Without a cluster there is still a host to look at, unless one was asked for.
        if named or sweep:
            raise
        (fault,) = error.faults
        if "Could not find any running Ray" in fault.problem or "no running Ray" in fault.problem:
            return ok("no Ray runs here; --address ADDR looks at one elsewhere")
        return warn(
            f"Ray: {fault.problem}", fault.remedy or "name the one that is meant: --address"
        )
