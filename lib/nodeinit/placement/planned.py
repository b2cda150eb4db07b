"""What `nodeinit plan` came to: every replica with its plan, or with why there is none."""

from __future__ import annotations

import functools
import importlib
from typing import Any, TypeAlias

import attrs

from nodeinit.placement.explain import Infeasible
from nodeinit.placement.replicas import Replica
from nodeinit.placement.topology import ClusterSnapshot, PlacementPlan

Answer: TypeAlias = PlacementPlan | Infeasible


@attrs.frozen
class Planned:
    """The replicas of a config with their answers, and the cluster before any of them is on it."""

    snapshot: ClusterSnapshot
    answers: tuple[tuple[Replica, Answer], ...]

    @property
    def feasible(self) -> bool:
        """Whether all of them fit."""
        return len(self.placed) == len(self.answers)

    @functools.cached_property
    def placed(self) -> tuple[tuple[str, Replica, PlacementPlan], ...]:
        """The replicas that fit, each with a letter of its own to draw it with."""
        fitting = [(r, plan) for r, plan in self.answers if isinstance(plan, PlacementPlan)]
        return tuple((letters(i), replica, plan) for i, (replica, plan) in enumerate(fitting))

    @property
    def refused(self) -> tuple[tuple[Replica, Infeasible], ...]:
        """The replicas that do not fit."""
        return tuple((r, why) for r, why in self.answers if isinstance(why, Infeasible))

    def _repr_svg_(self) -> str:
        """What a notebook shows. By name: this layer knows nothing of drawing."""
        drawn: str = importlib.import_module("nodeinit.diagram.plan").plan_svg(self)
        return drawn

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON."""
        models = [_model(*each) for each in self.answers if not each[0].is_ingress]
        ingress = [_model(*each) for each in self.answers if each[0].is_ingress]
        return {"feasible": self.feasible, "models": models, "ingress": ingress}


def letters(index: int) -> str:
    """`A`, `B`, … `Z`, `AA`, `AB`, …"""
    before, last = divmod(index, 26)
    return (letters(before - 1) if before else "") + chr(ord("A") + last)


def _model(replica: Replica, answer: Answer) -> dict[str, Any]:
    plan = _plan(answer) if isinstance(answer, PlacementPlan) else None
    infeasible = answer.to_dict() if isinstance(answer, Infeasible) else None
    return {
        "model_id": replica.model_id,
        "replica": replica.number,
        "plan": plan,
        "infeasible": infeasible,
    }


def _plan(plan: PlacementPlan) -> dict[str, Any]:
    bundles = [
        {"index": index, "node_id": node_id, "resources": bundle.units()}
        for index, (bundle, node_id) in enumerate(zip(plan.bundles, plan.node_ids, strict=True))
    ]
    return {"strategy": plan.strategy, "bundles": bundles}
