"""`nodeinit machine`: what machines there are, what one consists of, and whether it is sound."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import click

from nodeinit.cli.errors import Commands, ExitCode
from nodeinit.cli.machine_diff import diff
from nodeinit.cli.machines import STANDARD, find_machine
from nodeinit.errors import DefinitionError, NodeInitError

if TYPE_CHECKING:
    from nodeinit.fsm.definition import Definition, Edge
    from nodeinit.fsm.dynamics import Dynamics

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@click.group(cls=Commands)
def machine() -> None:
    """List, show and check the machines that are installed, and compare two releases of one."""


machine.add_command(diff)


@machine.command("list")
@as_json
def list_machines(as_json: bool) -> None:
    """List the installed machines and where they come from."""
    from nodeinit.fsm.registry import machines

    found = {name: point.value for name, point in machines().items()}
    if as_json:
        click.echo(json.dumps([{"name": n, "definition": v} for n, v in found.items()], indent=2))
        return
    width = max(map(len, found), default=0)
    for name, value in found.items():
        click.echo(f"{name:{width}}  {value}")


@machine.command()
@click.argument("name", default=STANDARD)
@as_json
def show(name: str, as_json: bool) -> None:
    """Show a machine: its phases, its edges and its hooks.

    NAME is an installed machine or MODULE:ATTR.
    """
    definition = find_machine(name)
    if as_json:
        click.echo(json.dumps(definition.to_dict(), indent=2))
    else:
        click.echo("\n".join(_described(definition)))


@machine.command()
@click.argument("name", required=False)
@as_json
def check(name: str | None, as_json: bool) -> None:
    """Check that a machine is sound; all that are installed unless one is named.

    First the table as it stands, then every situation that the machine can get into, whatever its
    activities and hooks do: final states are final, tries and plans are bounded, a cancel leads out,
    nothing is a trap, every state is reached and every edge taken.

    NAME is an installed machine or MODULE:ATTR.
    """
    from nodeinit.fsm.registry import machines

    names = [name] if name else list(machines())
    found = {name: _verdict(name) for name in names}
    if as_json:
        verdicts = [{"machine": n, **verdict.to_dict()} for n, verdict in found.items()]
        click.echo(json.dumps(verdicts[0] if name else verdicts, indent=2))
    else:
        for name, verdict in found.items():
            seen = f" ({verdict.dynamics})" if verdict.dynamics is not None else ""
            click.echo(f"{name}: " + ("NOT sound" if verdict.problems else "sound") + seen)
            for problem in verdict.problems:
                click.echo(f"  - {problem}")
    if any(verdict.problems for verdict in found.values()):
        raise SystemExit(ExitCode.USAGE)


@attrs.frozen
class _Verdict:
    """What is wrong with a machine; `dynamics` is missing where the table alone is not sound."""

    problems: tuple[str, ...]
    dynamics: Dynamics | None = None

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"sound": not self.problems, "problems": list(self.problems)}
        if self.dynamics is not None:
            found["situations"] = self.dynamics.situations
            found["edges"] = list(self.dynamics.edges)
            found["complete"] = self.dynamics.complete
        return found


def _verdict(name: str) -> _Verdict:
    """What is wrong with a machine: it cannot be loaded, its table is not sound, or it breaks a law."""
    from nodeinit.fsm.dynamics import judge

    try:
        found = judge(find_machine(name))
    except DefinitionError as error:
        return _Verdict(tuple(error.problems))
    except NodeInitError as error:
        return _Verdict((str(error),))
    return _Verdict(tuple(map(str, found.broken)), found)


def _described(definition: Definition) -> list[str]:
    phases = [
        (phase.state, phase.summary, f"acquires {', '.join(phase.acquires)}" * bool(phase.acquires))
        for phase in definition.phases
    ]
    edges = [
        (_sources(definition, edge), ", ".join(edge.events), f"-> {edge.target}", _details(edge))
        for edge in definition.edges
    ]
    hooks = [(hook, _fired_by(definition, hook)) for hook in definition.hooks]
    return [
        f"{definition.name}: from {definition.initial} to {definition.goal}",
        *_table("phases", phases),
        *_table("edges (tried in this order)", edges),
        *_table("hooks", hooks),
    ]


def _sources(definition: Definition, edge: Edge) -> str:
    phases = [phase.state for phase in definition.phases]
    if len(phases) < 2 or not set(phases) <= set(edge.sources):
        return ", ".join(edge.sources)
    return ", ".join(["every phase", *(s for s in edge.sources if s not in phases)])


def _details(edge: Edge) -> str:
    parts = []
    if edge.guards:
        parts.append(f"if {' and '.join(guard.name for guard in edge.guards)}")
    if edge.hooks:
        parts.append(f"{'tells' if edge.observes else 'fires'} {', '.join(edge.hooks)}")
    return "; ".join(parts)


def _fired_by(definition: Definition, hook: str) -> str:
    if hook in definition.host_hooks:
        return "on every host, in the process that brings the model there"
    edges = [edge for edge in definition.edges if hook in edge.hooks]
    return ", ".join(f"{'/'.join(edge.sources)} -> {edge.target}" for edge in edges)


def _table(title: str, rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows under a title, in columns; the last column is as wide as it needs to be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    lines = []
    for row in rows:
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)]
        lines.append("  " + "  ".join([*cells, row[-1]]).rstrip())
    return ["", title, *lines]
