"""State that is not the instance's: in the module, on the class, in a default, in the process."""

from __future__ import annotations

import os
from typing import Any

import attrs

from nodeinit import CallbackCtx
from tests.mutants.registry import buggy
from tests.mutants.world import Act, World

TWICE = World(again=2)
RUNS: dict[str, int] = {}
MASTERS: dict[str, str] = {}


def tagged(ctx: CallbackCtx, **data: Any) -> CallbackCtx:
    """The context with the callback's data added."""
    return ctx.evolve(custom_data=ctx.custom_data.update(data))


class NumbersItself:
    """As it was meant."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return tagged(ctx, run=1)


@buggy("shared", "H10 H8", difficulty=2, shown_in=TWICE, twin=NumbersItself)
class CountsRunsInTheModule:
    """Numbers its runs in a variable of the module."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        RUNS["all"] = RUNS.get("all", 0) + 1
        return tagged(ctx, run=RUNS["all"])


class CollectsHosts:
    """As it was meant."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        self.seen = list(ctx.plan.hosts)  # type: ignore[union-attr]
        return tagged(ctx, seen=len(self.seen))


@buggy("shared", "H10 H8", difficulty=2, shown_in=TWICE, twin=CollectsHosts)
class CollectsOnTheClass:
    """Its list stands in the body of the class, so all instances append to one."""

    seen: list[str] = []  # noqa: RUF012

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        self.seen.extend(ctx.plan.hosts)  # type: ignore[union-attr]
        return tagged(ctx, seen=len(self.seen))


@buggy("shared", "H10", difficulty=2, shown_in=TWICE, twin=CollectsHosts)
class SharesADefault:
    """A mutable default of its constructor is the same list for every instance."""

    def __init__(self, seen: list[str] = []) -> None:  # noqa: B006
        self.seen = seen

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        self.seen += [n for n in ctx.plan.hosts]  # type: ignore[union-attr]  # noqa: C416
        return tagged(ctx, seen=len(self.seen))


@buggy("shared", "H10", difficulty=2, shown_in=TWICE, twin=NumbersItself)
class SetsUpOncePerProcess:
    """Skips its work when any instance of the process has done it before."""

    done = False

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        if type(self).done:
            return None
        type(self).done = True
        return tagged(ctx, run=1)


@buggy("shared", "H10", difficulty=3, shown_in=TWICE, twin=NumbersItself)
class LeavesItInTheEnvironment:
    """Takes the next free port by what an earlier run left in `os.environ`."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        port = int(os.environ.get("NODEINIT_TESTS_PORT", "7000"))
        os.environ["NODEINIT_TESTS_PORT"] = str(port + 1)
        return tagged(ctx, port=port)


class KnowsItsMaster:
    """As it was meant."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        master = ctx.plan.hosts[0]  # type: ignore[union-attr]
        return tagged(ctx, master=ctx.nodes[master].path)


@buggy(
    "shared",
    "H3 H10",
    events=1,
    difficulty=3,
    shown_in=World((2, 2), acts=(Act(20, "kill", "a"),)),
    twin=KnowsItsMaster,
)
class CachesByModel:
    """Caches the first host under the model's id for all nodes of the process that serve it."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        model = ctx.llm_config.model_id
        master = MASTERS.setdefault(model, ctx.plan.hosts[0])  # type: ignore[union-attr]
        return tagged(ctx, master=ctx.nodes[master].path)


@attrs.define
class Settings:
    """Settings that a module shares."""

    retries: int = 3


SETTINGS = Settings()


@buggy("shared", "H3 H10", difficulty=3, shown_in=World(again=4), twin=NumbersItself)
class WearsOutTheSettings:
    """Counts its retries down in settings that every instance shares."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        SETTINGS.retries -= 1
        if SETTINGS.retries < 0:
            raise RuntimeError("out of retries")
        return tagged(ctx, run=1)
