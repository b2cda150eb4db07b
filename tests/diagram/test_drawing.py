"""A machine draws itself, by whatever renderers are installed: nothing of drawing is known there."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import attrs
import pytest

from nodeinit.diagram import formats, registry, render, to_html, to_mermaid, to_svg
from nodeinit.errors import ConfigError
from nodeinit.fsm import drawing
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.policy import PhasePolicy, Policy
from nodeinit.node.policy import DEFAULT
from nodeinit_machines.node_init import NODE_INIT
from tests.diagram.machines import SMALL


def state_count(definition: Definition) -> str:
    return f"{len(definition.states)} states\n"


def install(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    points = {**drawing.renderers(), name: EntryPoint(name, value, drawing.GROUP)}
    monkeypatch.setattr(drawing, "renderers", lambda: points)


def test_a_machine_draws_itself() -> None:
    assert SMALL.to_svg() == SMALL._repr_svg_() == to_svg(SMALL)
    assert SMALL.to_mermaid() == to_mermaid(SMALL)
    assert SMALL.to_html() == to_html(SMALL)


def test_its_own_policy_is_drawn_unless_another_is_given() -> None:
    patient = Policy(default=PhasePolicy(deadline=7200.0))
    own = attrs.evolve(SMALL, policy=patient)

    assert "2 h a try" in own.to_svg() and "2 h a try" in own.to_html()
    assert "2 h a try" in to_svg(own) and "2 h a try" in to_html(own)
    assert "2 h a try" in render(own, "md") and "2 h a try" not in render(SMALL, "md")
    assert "2 h a try" in SMALL.to_svg(patient) and "2 h a try" not in SMALL.to_svg()
    assert NODE_INIT.policy is DEFAULT


def test_what_is_installed_is_what_is_registered() -> None:
    ours = {name: point.load() for name, point in drawing.renderers().items()}

    assert {**ours, **registry._renderers} == ours


def test_a_renderer_of_another_package_is_one_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "count", "tests.diagram.test_drawing:state_count")

    assert "count" in formats()
    assert render(SMALL, "count") == "8 states\n"


@pytest.mark.parametrize("value", ["tests.not_there:x", "tests.diagram.test_drawing:not_there"])
def test_a_renderer_that_breaks_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    install(monkeypatch, "broken", value)
    with pytest.raises(ConfigError, match=rf"'broken'.*its plugin {value} cannot be imported"):
        render(SMALL, "broken")


def test_a_machine_without_any_renderer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "renderers", dict)
    with pytest.raises(ConfigError, match=r"'svg'.*installed: none; is nodeinit installed"):
        SMALL.to_svg()


def test_a_machine_is_made_without_the_code_that_draws_it() -> None:
    code = "import sys, nodeinit.fsm.definition; sys.exit('nodeinit.diagram' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
