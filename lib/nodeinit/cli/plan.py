"""`nodeinit plan`: where the models of a config would go on a cluster, or why they do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nodeinit.cli.errors import Command, ExitCode
from nodeinit.cli.where import cluster_options

if TYPE_CHECKING:
    from nodeinit.placement.planned import Planned
    from nodeinit.placement.replicas import Replica

_PATH = click.Path(path_type=Path)


def _drawable(_context: click.Context, _option: click.Parameter, value: Path | None) -> Path | None:
    """A file that can be written, known before anything is looked at."""
    if value is not None and value.suffix.lower() not in (".svg", ".json"):
        problem = f"has the suffix {value.suffix!r}" if value.suffix else "has no suffix"
        raise click.BadParameter(f"{str(value)!r} {problem}; write .svg for a picture, or .json.")
    return value


@click.command(cls=Command)
@click.argument("config", type=_PATH)
@click.option("--model", metavar="ID", help="The model to plan. Default: all, one beside another.")
@click.option(
    "--cluster", type=_PATH, metavar="FILE", help="Plan against a cluster that was saved."
)
@cluster_options
@click.option(
    "--workers-only",
    is_flag=True,
    help="Plan what `nodeinit run` reserves: without the actor of a Serve replica, which "
    "takes a CPU more beside the engine.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_drawable,
    metavar="FILE",
    help="Write a file too: a picture (.svg), or what --json prints (.json).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for programs.")
def plan(config: Path, output: Path | None, as_json: bool, **options: Any) -> None:
    """Say where the models of a config would go, or why not.

    CONFIG is the YAML that you feed to `ray.serve.llm`: one LLMConfig or a Serve config file. All its
    models are planned beside each other, each with the replicas that it begins with, and each
    replica with what Serve reserves for it; and so is the ingress before them. Nothing is started
    for them, and callbacks are not called.

    \b
      nodeinit plan serve.yaml --address auto           on your cluster as it is now
      nodeinit snapshot --address auto -o cluster.json  save it
      nodeinit plan serve.yaml --cluster cluster.json   on what was saved, without Ray
      nodeinit plan serve.yaml -o plan.svg              as a picture, to look at and to share
    """  # noqa: D301  click reads the \b
    from nodeinit.cli.saved import snapshot_of
    from nodeinit.placement.application import plan_replicas

    replicas = _replicas(config, options["model"], options["workers_only"])
    planned = plan_replicas(replicas, snapshot_of(options))
    if output is not None:
        _write(output, planned)
    if as_json:
        click.echo(_json(planned), nl=False)
    else:
        from nodeinit.cli.consoles import console
        from nodeinit.cli.picture import print_picture
        from nodeinit.cli.verdicts import print_verdicts

        out = console()
        print_picture(out, planned)
        print_verdicts(out, planned)
    raise SystemExit(ExitCode.READY if planned.feasible else ExitCode.INFEASIBLE)


def _write(output: Path, planned: Planned) -> None:
    from nodeinit.diagram.plan import plan_svg
    from nodeinit.diagram.writing import write_text

    draw = plan_svg if output.suffix.lower() == ".svg" else _json
    write_text(output, draw(planned))
    click.echo(f"wrote {output}", err=True)


def _json(planned: Planned) -> str:
    return json.dumps(planned.to_dict(), indent=2) + "\n"


def _replicas(path: Path, model: str | None, workers_only: bool) -> tuple[Replica, ...]:
    from nodeinit.config import LLMConfig
    from nodeinit.config.applications import load_serve_file
    from nodeinit.errors import ConfigError
    from nodeinit.placement.application import replicas_of_applications
    from nodeinit.placement.from_config import request_from_config
    from nodeinit.placement.replicas import replicas_of
    from nodeinit.placement.serve_bundles import serve_request

    file = load_serve_file(path)
    configs = tuple(config for config in file.configs if model in (None, config.model_id))
    if not configs:
        configs = (LLMConfig.load(path, model=model),)  # raises, and says what there is
    try:
        if model is None and not workers_only:
            return replicas_of_applications(file.applications)
        return replicas_of(configs, request_from_config if workers_only else serve_request)
    except ConfigError as error:
        raise ConfigError(error.faults, source=str(path)) from error
