"""The committed diagrams are what the code draws today."""

from __future__ import annotations

from pathlib import Path

from nodeinit.diagram.files import check
from nodeinit.fsm.registry import machines

DIAGRAMS = Path(__file__).parents[2] / "diagrams"


def test_the_committed_diagrams_are_up_to_date() -> None:
    # Ours only: whoever works on this may have machines of their own installed beside them.
    ours = [
        name for name, point in machines().items() if point.module.startswith("nodeinit_machines.")
    ]

    assert ours
    remedy = "run `python -m nodeinit.diagram.files diagrams` and look at what changed"
    assert check(DIAGRAMS, ours) == [], remedy
