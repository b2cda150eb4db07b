"""`nodeinit serve`: serve the models of a config on Ray, planned first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nodeinit.cli.errors import Command, ExitCode
from nodeinit.cli.where import cluster_options, where_of

if TYPE_CHECKING:
    from nodeinit.config.applications import ServeFile
    from nodeinit.placement.planned import Planned

_PATH = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("config", type=_PATH)
@cluster_options
@click.option("--dry-run", is_flag=True, help="Stop after the plan. Nothing is started or fetched.")
@click.option(
    "--cluster", type=_PATH, metavar="FILE", help="With --dry-run: a cluster that was saved."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for programs.")
def serve(config: Path, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Serve the models of a config on Ray Serve, planned first.

    CONFIG is the YAML that you feed to `ray.serve.llm`: one LLMConfig or a Serve config file.

    \b
      nodeinit serve llm.yaml --address auto --dry-run   where everything would go, or why not
    """  # noqa: D301  click reads the \b
    from nodeinit.config.applications import load_serve_file

    if options["cluster"] is not None and not dry_run:
        raise click.UsageError("--cluster is a saved cluster: only --dry-run can plan on it")
    where_of(options)
    file = load_serve_file(config)
    planned = _planned(file, options)
    _show(planned, as_json)
    raise SystemExit(ExitCode.READY if planned.feasible else ExitCode.INFEASIBLE)


def _planned(file: ServeFile, options: dict[str, Any]) -> Planned:
    from nodeinit.cli.saved import snapshot_of
    from nodeinit.errors import ConfigError
    from nodeinit.placement.application import plan_replicas, replicas_of_applications

    try:
        replicas = replicas_of_applications(file.applications)
    except ConfigError as error:
        raise ConfigError(error.faults, source=file.source) from error
    return plan_replicas(replicas, snapshot_of(options))


def _show(planned: Planned, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(planned.to_dict(), indent=2))
        return
    from nodeinit.cli.consoles import console
    from nodeinit.cli.picture import print_picture
    from nodeinit.cli.verdicts import print_verdicts

    out = console()
    print_picture(out, planned)
    print_verdicts(out, planned)
