"""`nodeinit serve`: serve the models of a config on Ray, planned first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from nodeinit.cli.errors import Command, ExitCode, report
from nodeinit.cli.stdout import kept_clean
from nodeinit.cli.where import cluster_options, where_of

if TYPE_CHECKING:
    from nodeinit.cli.serving import Served
    from nodeinit.config.applications import ServeFile
    from nodeinit.placement.planned import Planned

_PATH = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("config", type=_PATH)
@cluster_options
@click.option("--host", help="Where to take requests. Default: the config's, or 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: the config's, or 8000.")
@click.option("--name", metavar="NAME", help="What to call the application of a file with one.")
@click.option("--detach", is_flag=True, help="Exit when all is ready, and leave it running.")
@click.option(
    "--no-wait", is_flag=True, help="Exit when Serve has been told, and leave it running."
)
@click.option("--dry-run", is_flag=True, help="Stop after the plan. Nothing is started or fetched.")
@click.option(
    "--cluster", type=_PATH, metavar="FILE", help="With --dry-run: a cluster that was saved."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout at the end.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def serve(config: Path, dry_run: bool, as_json: bool, quiet: bool, **options: Any) -> None:
    """Serve the models of a config on Ray Serve, planned first.

    CONFIG is the YAML that you feed to `ray.serve.llm`: one LLMConfig or a Serve config file. All
    of it is planned on the cluster; what does not fit is explained, and nothing is started. The
    models are brought to the hosts of the plan while no GPU is reserved, and Serve is held to these
    hosts. Ctrl-C deletes what was deployed.

    \b
      nodeinit serve llm.yaml --dry-run --address auto   where everything would go, or why not
      nodeinit serve llm.yaml                            on a Ray that is started here
      nodeinit serve serve.yaml --address auto --detach  on your cluster; it stays there

    Exits as `nodeinit run` does: 2 bad usage or config, 3 it does not fit, 4 failed, 5 cancelled on
    the way. Ctrl-C of what was ready exits with 0.
    """  # noqa: D301  click reads the \b
    _check_usage(dry_run, options)
    file = _named(_load(config), options["name"])
    if dry_run:
        planned = _planned(file, options)
        _show(planned, as_json, quiet)
        raise SystemExit(ExitCode.READY if planned.feasible else ExitCode.INFEASIBLE)
    with kept_clean(as_json) as out:
        served = _served(file, options, quiet=quiet, to_stderr=as_json)
        if as_json:
            click.echo(json.dumps(served.to_dict(), indent=2), file=out)
    raise SystemExit(served.exit_code)


def _check_usage(dry_run: bool, options: dict[str, Any]) -> None:
    where_of(options)
    if options["cluster"] is not None and not dry_run:
        raise click.UsageError("--cluster is a saved cluster: only --dry-run can plan on it")
    leaving = options["detach"] or options["no_wait"]
    if options["detach"] and options["no_wait"]:
        raise click.UsageError("give either --detach or --no-wait, not both")
    if leaving and not dry_run and where_of(options).address is None:
        raise click.UsageError(
            "--detach and --no-wait leave it running, but the Ray that is started here ends with "
            "this command; give --address"
        )


def _load(path: Path) -> ServeFile:
    from nodeinit.config.applications import load_serve_file

    return load_serve_file(path)


def _named(file: ServeFile, name: str | None) -> ServeFile:
    """The file with another name for its only application."""
    if name is None:
        return file
    applications = file.data["applications"]
    if len(applications) != 1:
        raise click.UsageError(f"--name is for one application; the file has {len(applications)}")
    data = {**file.data, "applications": [{**applications[0], "name": name}]}
    (app,) = file.applications
    return attrs.evolve(file, data=data, applications=(attrs.evolve(app, name=name),))


def _planned(file: ServeFile, options: dict[str, Any]) -> Planned:
    from nodeinit.cli.saved import snapshot_of
    from nodeinit.errors import ConfigError
    from nodeinit.placement.application import plan_replicas, replicas_of_applications

    try:
        replicas = replicas_of_applications(file.applications)
    except ConfigError as error:
        raise ConfigError(error.faults, source=file.source) from error
    return plan_replicas(replicas, snapshot_of(options))


def _show(planned: Planned, as_json: bool, quiet: bool) -> None:
    if as_json:
        click.echo(json.dumps(planned.to_dict(), indent=2))
    elif not quiet:
        from nodeinit.cli.consoles import console
        from nodeinit.cli.serve_view import ServeView

        ServeView(console()).planned(planned)


def _served(file: ServeFile, options: dict[str, Any], *, quiet: bool, to_stderr: bool) -> Served:
    """Do it. An error is reported here, and is a result too."""
    import asyncio

    from nodeinit.cli.consoles import console
    from nodeinit.cli.logs import plain_logs
    from nodeinit.cli.serve_view import ServeView
    from nodeinit.cli.serving import Served, Wanted, run

    stay = "running" if options["detach"] else "deployed" if options["no_wait"] else "hold"
    wanted = Wanted(file, where_of(options), options["host"], options["port"], stay)
    view = ServeView(None if quiet else console(stderr=to_stderr))
    try:
        with plain_logs():
            served = asyncio.run(run(wanted, view))
    except Exception as error:
        report(error)
        return Served.of_error(error)
    if served.error is not None:
        report(served.error)
    elif served.exit_code is not ExitCode.READY and served.reason is not None:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {served.reason}", err=True)
    return served
