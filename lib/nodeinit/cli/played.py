"""`nodeinit check --real-ray`: whether a callback ends on a real Ray as it does in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from nodeinit.testing.differential import Comparison
    from nodeinit.testing.scenario import Scenario


@attrs.frozen
class Played:
    """Scenarios that were played on both."""

    compared: tuple[Comparison, ...]

    @property
    def differ(self) -> tuple[Comparison, ...]:
        """Those that ended otherwise."""
        return tuple(each for each in self.compared if not each.agree)

    @property
    def ok(self) -> bool:
        """Whether all ended alike."""
        return not self.differ

    def text(self) -> str:
        """A line, and what differs."""
        count, bad = len(self.compared), len(self.differ)
        if not bad:
            return f"on a real Ray: {count} scenarios, which all ended as they do in memory"
        return "\n".join(
            [f"on a real Ray: {bad} of {count} scenarios end otherwise", *map(str, self.differ)]
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON: a key of the report."""
        differ = [
            {
                "scenario": each.scenario.to_dict(),
                "simulated": str(each.simulated),
                "real": str(each.real),
                "message": each.real.why or each.simulated.why,
            }
            for each in self.differ
        ]
        return {"real_ray": {"ok": self.ok, "scenarios": len(self.compared), "differ": differ}}


def play(callback: str, kwargs: Mapping[str, Any], scenarios: Sequence[Scenario]) -> Played:
    """Play scenarios in memory and on a Ray that is started for it. Blocking.

    Raises `ConfigError` when this process has a Ray already.
    """
    from nodeinit.download.tiny_model import make_tiny_model
    from nodeinit.ray.stage import RayStage
    from nodeinit.testing.differential import compare

    with tempfile.TemporaryDirectory(prefix="nodeinit-") as place, RayStage() as stage:
        model = str(make_tiny_model(Path(place) / "model"))
        return Played(
            tuple(
                compare(
                    scenario,
                    callback,
                    stage,
                    kwargs=kwargs,
                    source=model,
                    store=Path(place) / f"store-{number}",
                )
                for number, scenario in enumerate(scenarios)
            )
        )
