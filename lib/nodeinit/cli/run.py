"""`nodeinit run`: bring a node up, show it, give it back."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nodeinit.cli.cluster import Where
from nodeinit.cli.diagram import html_only
from nodeinit.cli.errors import Command, report
from nodeinit.cli.machines import STANDARD
from nodeinit.cli.stdout import kept_clean
from nodeinit.cli.where import cluster_options, where_of

if TYPE_CHECKING:
    from nodeinit.cli.job import Job
    from nodeinit.cli.outcome import Outcome
    from nodeinit.config import LLMConfig

_PATH = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("config", required=False, type=_PATH)
@click.option("--model", metavar="ID", help="The model to bring up, if the config has several.")
@cluster_options
@click.option("--example", metavar="NAME", help="Run an example; see `nodeinit examples`.")
@click.option("--machine", default=STANDARD, metavar="NAME", help="The machine to run.")
@click.option("--journal", type=_PATH, help="Where to write the journal.")
@click.option("--store", type=_PATH, metavar="DIR", help="Where to publish models.")
@click.option("--hold", is_flag=True, help="Stay ready until Ctrl-C.")
@click.option(
    "--diagram",
    "page",
    metavar="PAGE.html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep a page of the run up to date, in this file and on loopback.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout at the end.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def run(**options: Any) -> None:
    """Bring a node to READY, show what is where, and release it.

    CONFIG is the YAML that you feed to `ray.serve.llm`: one LLMConfig or a Serve config file.
    Without it, a demo: a Ray that is started here and a tiny model.

    \b
      nodeinit run                          the demo, on this machine
      nodeinit run --hosts 3                the demo, on three simulated hosts of 8 GPUs
      nodeinit run llm.yaml --address auto  your config, on your cluster
    """  # noqa: D301  click reads the \b
    _check_usage(options)
    as_json, quiet = options["as_json"], options["quiet"]
    with kept_clean(as_json) as out:
        outcome = _outcome(options, quiet=quiet, to_stderr=as_json)
        if as_json:
            click.echo(json.dumps(outcome.to_dict(), default=repr), file=out)
    raise SystemExit(outcome.exit_code)


def _outcome(options: dict[str, Any], *, quiet: bool, to_stderr: bool) -> Outcome:
    """Do it. An error is reported here, and is an outcome too."""
    from nodeinit.cli.outcome import Outcome

    try:
        job = _job(options)
        return _run(job, quiet=quiet, to_stderr=to_stderr, page=options["page"])
    except Exception as error:
        report(error)
        return Outcome.of_error(error)


def _run(job: Job, *, quiet: bool, to_stderr: bool, page: Path | None) -> Outcome:
    import asyncio

    from nodeinit.cli import session
    from nodeinit.cli.consoles import console
    from nodeinit.cli.lines_view import LinesView
    from nodeinit.cli.live_view import LiveView
    from nodeinit.cli.logs import plain_logs
    from nodeinit.cli.paging import paged
    from nodeinit.cli.view import View

    out = console(stderr=to_stderr)
    view = View() if quiet else LiveView(out) if out.is_terminal else LinesView(out)
    with plain_logs(), paged(view, page):
        return asyncio.run(session.run(job, view))


def _job(options: dict[str, Any]) -> Job:
    """What is asked for, checked; raises before anything is started."""
    from nodeinit.cli.job import prepare

    config, where, finish = _subject(options)
    kept = {name: options[name] for name in ("machine", "journal", "store", "hold")}
    source = options["config"] or options["example"] or "the demo"
    return prepare(config, where, source=str(source), finish=finish, **kept)


def _subject(options: dict[str, Any]) -> tuple[LLMConfig, Where, Callable[[], None] | None]:
    """The config that is meant, the cluster for it, and what to call when it is over."""
    from nodeinit.cli.demo import demo_config, demo_model
    from nodeinit.cli.examples import load_example
    from nodeinit.config import LLMConfig

    where = where_of(options)
    if options["config"] is not None:
        return LLMConfig.load(options["config"], model=options["model"]), where, None
    if options["example"] is None:
        return demo_config(where), where, None
    example = load_example(options["example"])
    if options["address"] is None and options["hosts"] is None and example.HOSTS is not None:
        where = Where(hosts=example.HOSTS, gpus_per_host=example.GPUS_PER_HOST)
    config = example.config(str(demo_model()))
    finish = getattr(example, "finish", None)
    return config, where, finish and functools.partial(finish, config)


def _check_usage(options: dict[str, Any]) -> None:
    """Options that do not go together, and a page that is none."""
    html_only(options["page"], None, "--diagram")
    given = {name for name, value in options.items() if value not in (None, False)}
    if {"config", "example"} <= given:
        raise click.UsageError("give either CONFIG or --example, not both")
    where_of(options)
    if "model" in given and "config" not in given:
        raise click.UsageError("--model picks one of the models of a CONFIG, but there is none")
