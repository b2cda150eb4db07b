"""`nodeinit fetch`: bring a model to this host, or to hosts of a cluster, before anybody needs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from nodeinit.cli.amounts import amount_of_bytes
from nodeinit.cli.errors import Command, ExitCode, report
from nodeinit.cli.stdout import kept_clean
from nodeinit.cli.stores import store_option

if TYPE_CHECKING:
    from nodeinit.cli.fetching import Fetched


def _mode(_context: click.Context, _option: click.Parameter, value: str) -> Any:
    from nodeinit.context import NodeModelDownloadable

    try:
        mode = NodeModelDownloadable.coerce(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if mode is NodeModelDownloadable.NONE:
        raise click.BadParameter("NONE fetches nothing; use TOKENIZER_ONLY for the least.")
    return mode


@click.command(cls=Command)
@click.argument("what", metavar="CONFIG|URI")
@click.option(
    "--model",
    metavar="ID",
    help="The model to fetch, if the config has several; the id to keep a URI's model under.",
)
@click.option(
    "--mode",
    default="MODEL_AND_TOKENIZER",
    callback=_mode,
    help="MODEL_AND_TOKENIZER, TOKENIZER_ONLY or EXCLUDE_SAFETENSORS. Default: the first.",
)
@click.option(
    "--hosts",
    metavar="HOSTS",
    help="Fetch on hosts of a Ray cluster: all, how many, or their names or ids (a,b,c).",
)
@click.option("--address", metavar="ADDR", help="The Ray to use. Default: $RAY_ADDRESS, or auto.")
@click.option(
    "--strategy",
    type=click.Choice(["auto", "direct", "shared", "swarm", "external"]),
    help="Who fetches from the source, with --hosts. Default: the config's, or auto.",
)
@click.option(
    "--bandwidth",
    callback=amount_of_bytes,
    metavar="SIZE",
    help="The most that a host may take in a second: 200MB. Default: no limit.",
)
@click.option("--allow-pickle", is_flag=True, help="Take files that run code when loaded, too.")
@click.option("--allow-http", is_flag=True, help="Read a source without encryption, too.")
@store_option
@click.option("--dry-run", is_flag=True, help="Only say what would be fetched, and to where.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout at the end.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def fetch(as_json: bool, quiet: bool, **options: Any) -> None:
    """Bring a model into the store, whole and verified, so that a node finds it there.

    CONFIG is the YAML that you feed to `ray.serve.llm`. URI is where a model is: a directory, an id
    on the Hugging Face Hub, or a URL. Without --hosts it comes to this host, and no Ray is needed.
    Ctrl-C keeps what has come so far; the same command goes on from there.

    \b
      nodeinit fetch llm.yaml --dry-run             what would be fetched, from and to where
      nodeinit fetch llm.yaml --hosts all           to every host of the cluster
      nodeinit fetch org/model --mode tokenizer_only

    Exits with 0 when all is there, 2 for bad usage or config, 4 when it failed, 5 on Ctrl-C.
    """  # noqa: D301  click reads the \b
    if options["address"] is not None and options["hosts"] is None:
        raise click.UsageError("--address needs --hosts: all, how many, or which")
    if (options["bandwidth"] or 1024) < 1024:
        raise click.UsageError(
            "--bandwidth is in bytes per second; give 1KiB or more, such as 200MB"
        )
    if options["strategy"] is not None and options["hosts"] is None:
        raise click.UsageError("--strategy needs --hosts: this host alone has no choice")
    with kept_clean(as_json) as out:
        result = _fetched(options, quiet=quiet, to_stderr=as_json)
        if as_json:
            click.echo(json.dumps(result.to_dict(), indent=2), file=out)
    raise SystemExit(result.exit_code)


def _fetched(options: dict[str, Any], *, quiet: bool, to_stderr: bool) -> Fetched:
    """Do it. An error is reported here, and is a result too."""
    import asyncio

    from nodeinit.cli.consoles import console
    from nodeinit.cli.fetch_subject import subject
    from nodeinit.cli.fetch_view import FetchLines, FetchLive, FetchView
    from nodeinit.cli.fetching import Fetched, run
    from nodeinit.cli.logs import plain_logs

    out = console(stderr=to_stderr)
    view = FetchView() if quiet else FetchLive(out) if out.is_terminal else FetchLines(out)
    try:
        wanted = subject(**options)
        with plain_logs():
            result = asyncio.run(run(wanted, view))
    except Exception as error:
        report(error)
        return Fetched.of_error(error)
    if result.exit_code is ExitCode.CANCELLED:
        click.echo(result.reason, err=True)
    elif result.error is not None:
        report(result.error)
    return result
