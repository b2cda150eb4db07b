"""Draws the standard machine as other libraries do, for the side by side of the gallery.

    pip install python-statemachine pydot graphviz   # and Graphviz itself
    python diagrams/compared/draw.py

Neither library is needed by anything else here. Each picture says which machine it is of, by its
digest, so that a test notices when they are older than the machine.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path
from typing import Any

from transitions.extensions import GraphMachine

from nodeinit import Definition, load_machine
from nodeinit.fsm.journal import digest

HERE = Path(__file__).resolve().parent


def transitions_dot(definition: Definition) -> str:
    """The machine as `GraphMachine` of `transitions` draws it, with its conditions."""
    machine = definition.machine(
        GraphMachine, graph_engine="graphviz", show_conditions=True, title=definition.name
    )
    return str(machine.get_combined_graph().source)


def statemachine_dot(definition: Definition) -> str:
    """The machine as python-statemachine draws it, with its conditions and hooks."""
    from statemachine import State, StateMachine
    from statemachine.contrib.diagram import DotGraphMachine

    finals = {
        name for name in definition.states if not any(name in e.sources for e in definition.edges)
    }
    states: dict[str, Any] = {
        name: State(name, initial=name == definition.initial, final=name in finals)
        for name in definition.states
    }
    body: dict[str, Any] = dict(states)
    for edge in definition.singles():
        (source,), (event,) = edge.sources, edge.events
        guards = [guard.name for guard in edge.guards]
        made = states[source].to(states[edge.target], cond=guards, on=list(edge.hooks))
        body[event] = body[event] | made if event in body else made
        body |= dict.fromkeys((*guards, *edge.hooks), _nothing)
    return str(DotGraphMachine(type(definition.name, (StateMachine,), body))().to_string())


def _nothing(self: Any) -> bool:
    return True


DRAWN = {"transitions": transitions_dot, "python-statemachine": statemachine_dot}


def main() -> None:
    """Draw all of them with the Graphviz that is installed."""
    definition = load_machine("node_init")
    for name, dot_of in DRAWN.items():
        done = subprocess.run(
            ["dot", "-Tsvg"], input=dot_of(definition).encode(), capture_output=True, check=True
        )
        made = f"{name} {importlib.metadata.version(name)}, machine {digest(definition)}"
        head, _, rest = done.stdout.decode().partition("<svg")
        (HERE / f"{name}.svg").write_text(f"{head}<!-- {made} -->\n<svg{rest}", "utf-8")
        print(f"{name}.svg: {made}")


if __name__ == "__main__":
    main()
