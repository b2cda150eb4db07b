"""`nodeinit telemetry`: what can be measured of nodes, and a dashboard of it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from nodeinit.cli.errors import Commands


@click.group(cls=Commands)
def telemetry() -> None:
    """Show the metrics of nodes, or print a Grafana dashboard of them.

    Nodes that are observed (replicas of Ray Serve, and what calls `nodeinit.telemetry.observe`) are
    measured with Ray's metrics, which Prometheus collects as it does Ray's own.
    """


@telemetry.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write it there. Default: to stdout.",
)
def dashboard(output: Path | None) -> None:
    """Print the Grafana dashboard as JSON.

    A Grafana that was started with Ray's own configuration shows it from
    /tmp/ray/session_latest/metrics/grafana/dashboards/nodeinit.json; any other takes it by
    Dashboards > Import, or from the directory of a provider that it is provisioned with.
    """
    from nodeinit.telemetry.dashboard import dashboard as made

    text = json.dumps(made(), indent=2)
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text + "\n")
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from None


@telemetry.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def metrics(as_json: bool) -> None:
    """List the metrics: their names in Prometheus, labels, and what they say."""
    from nodeinit.telemetry.instruments import INSTRUMENTS

    if as_json:
        rows = [
            {
                "name": f"ray_{instrument.name}",
                "kind": str(instrument.kind),
                "labels": list(instrument.labels),
                "description": instrument.description,
            }
            for instrument in INSTRUMENTS
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    for instrument in INSTRUMENTS:
        labels = ", ".join(instrument.labels)
        click.echo(
            f"{click.style(f'ray_{instrument.name}', bold=True)}{{{labels}}} {instrument.kind}"
        )
        click.echo(f"    {instrument.description}")
