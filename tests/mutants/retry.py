"""Hooks fire again: with a new plan, or because one asked for another try."""

from __future__ import annotations

import itertools
from typing import Any

from nodeinit import CallbackCtx
from nodeinit.clusters.simulated import SimFault
from tests.mutants.registry import buggy
from tests.mutants.world import Act, World

SECOND_PLAN = World((2, 2), acts=(Act(20, "kill", "a"),))
DISPLACED = World((2, 2), faults=(SimFault("reserve", "steal", 0, "a"),))
THIRD_PLAN = World((2, 2, 2), acts=(Act(20, "kill", "a"), Act(50, "kill", "b")))
WARM = World((1, 1), tp=1, pp=2, acts=(Act(20, "remove"),))


class StartsOnce:
    """As it was meant."""

    started = False

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        self.started = True


@buggy("retry", "H3", events=1, difficulty=2, shown_in=DISPLACED, twin=StartsOnce)
class RefusesASecondCall(StartsOnce):
    """Takes a second call of its hook for a mistake of the engine's."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        if self.started:
            raise RuntimeError("already started")
        self.started = True


class TakesOptions:
    """As it was meant."""

    def __init__(self) -> None:
        self.options = {"port": 7000}

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        port = self.options["port"]
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("port", port))


@buggy("retry", "H3", events=1, difficulty=2, shown_in=SECOND_PLAN, twin=TakesOptions)
class PopsItsOptions(TakesOptions):
    """Pops what it needs from its own options: they are empty the next time."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        port = self.options.pop("port")
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("port", port))


@buggy("retry", "H3 H8", events=2, difficulty=3, shown_in=THIRD_PLAN, twin=TakesOptions)
class RunsOutOfPorts:
    """Has a list of two ports and takes the next one for every plan; there may be a third plan."""

    def __init__(self) -> None:
        self.ports = iter((7000, 7001))

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("port", next(self.ports)))


@buggy("retry", "H3", events=2, difficulty=3, shown_in=THIRD_PLAN, twin=StartsOnce)
class HasTwoPatiences:
    """Looks its patience up by `ctx.attempt` in a table with two rows."""

    PATIENCE = (30, 120)

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        self.patience = self.PATIENCE[ctx.attempt - 1]


class FollowsThePlan:
    """As it was meant."""

    plan: Any = None

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        self.plan = ctx.plan
        master = ctx.nodes[self.plan.hosts[0]].path
        return ctx.evolve(custom_data=ctx.custom_data.set("plan.master", master))


@buggy("retry", "H3", events=1, difficulty=3, shown_in=SECOND_PLAN, twin=FollowsThePlan)
class CachesThePlan(FollowsThePlan):
    """Remembers the first plan and looks its hosts up among those of a later one."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        self.plan = self.plan or ctx.plan
        master = ctx.nodes[self.plan.hosts[0]].path
        return ctx.evolve(custom_data=ctx.custom_data.set("plan.master", master))


class AddsItsFlag:
    """As it was meant."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        flags = ctx.extra_init_kwargs.get("flags", ())
        if "--trust" in flags:
            return None
        flags = (*flags, "--trust")
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("flags", flags))


@buggy("retry", "H8", events=1, difficulty=2, shown_in=SECOND_PLAN, twin=AddsItsFlag)
class AppendsAFlagEachTime(AddsItsFlag):
    """Appends its flag to a list that it may have appended to already."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        flags = (*ctx.extra_init_kwargs.get("flags", ()), "--trust")
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("flags", flags))


class SetsTheMode:
    """As it was meant."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(worker_node_download_model="TOKENIZER_ONLY")


@buggy("retry", "H8", events=1, difficulty=3, shown_in=SECOND_PLAN, twin=SetsTheMode)
class TogglesTheMode(SetsTheMode):
    """Turns about, call by call, what the workers are to get."""

    modes = ("TOKENIZER_ONLY", "MODEL_AND_TOKENIZER")

    def __init__(self) -> None:
        self._next = itertools.cycle(self.modes)

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(worker_node_download_model=next(self._next))


class ReportsRate:
    """As it was meant."""

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        moved = sum(report.fetched for report in ctx.nodes.values())
        share = {n: r.fetched / moved if moved else 0.0 for n, r in ctx.nodes.items()}
        return ctx.evolve(custom_data=ctx.custom_data.set("rate.share", share))


@buggy("retry", "H3", events=1, difficulty=3, shown_in=WARM, twin=ReportsRate)
class DividesByWhatMoved(ReportsRate):
    """Divides by the bytes that moved: none did where the files were there from an earlier plan."""

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        moved = sum(report.fetched for report in ctx.nodes.values())
        share = {n: r.fetched / moved for n, r in ctx.nodes.items()}
        return ctx.evolve(custom_data=ctx.custom_data.set("rate.share", share))


@buggy("retry", "H3", events=1, difficulty=2, shown_in=DISPLACED, twin=StartsOnce)
class AssertsAFreshStart:
    """Asserts that nothing was downloaded before the download: an earlier plan's reports are there."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        assert not ctx.nodes, "nothing can be there yet"
