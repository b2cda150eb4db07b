"""The contract of a hook: in order, bounded, checked, and off the event loop."""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import threading
import time
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeinit.errors import HookError, PermanentError, TemporaryError
from nodeinit.fsm.executor import InlineExecutor, ThreadExecutor
from nodeinit.fsm.hooks import BoundCallback, Fold, HookRunner
from nodeinit.testing.virtual_time import run_virtual
from tests.fsm.small import Ctx, check_change

HOOKS = frozenset({"on_x"})


def runner(*instances: Any, raise_error: bool = True, **options: Any) -> HookRunner:
    callbacks = [BoundCallback(type(i).__name__, i, HOOKS, raise_error) for i in instances]
    options.setdefault("executor", InlineExecutor())
    return HookRunner(callbacks, context=Ctx, check_change=check_change, **options)


def fold(*instances: Any, **options: Any) -> Fold:
    return run_virtual(runner(*instances, **options).fold(("on_x",), Ctx()))


def hook(function: Any) -> Any:
    """An instance whose `on_x` is this function of the context."""

    class Hook:
        on_x = staticmethod(function)

    return Hook()


def adds(name: str, *, sync: bool, awaits: int) -> Any:
    def change(ctx: Ctx) -> Ctx:
        return attrs.evolve(ctx, n=ctx.n + 1, trail=(*ctx.trail, name))

    async def async_hook(ctx: Ctx) -> Ctx:
        for _ in range(awaits):
            await asyncio.sleep(1)
        return change(ctx)

    return hook(change if sync else async_hook)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=6))
def test_hooks_fold_in_order_and_no_update_is_lost(shapes: list[tuple[bool, int]]) -> None:
    names = [str(i) for i in range(len(shapes))]
    made = [adds(n, sync=s, awaits=a) for n, (s, a) in zip(names, shapes, strict=True)]

    folded = fold(*made)

    assert Ctx(len(shapes), tuple(names)) == folded.ctx
    assert len(shapes) == len(folded.runs)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda function: function,
        lambda function: functools.partial(function),
        lambda function: lambda ctx: function(ctx),
        lambda function: functools.wraps(function)(lambda *a, **k: function(*a, **k)),
    ],
    ids=["plain", "partial", "lambda", "decorated"],
)
def test_whatever_returns_a_coroutine_is_awaited(wrap: Any) -> None:
    async def on_x(ctx: Ctx) -> Ctx:
        await asyncio.sleep(1)
        return attrs.evolve(ctx, n=7)

    assert 7 == fold(hook(wrap(on_x))).ctx.n


def test_none_means_unchanged() -> None:
    assert Ctx() == fold(hook(lambda ctx: None)).ctx


@pytest.mark.parametrize(
    ("function", "rule"),
    [
        (lambda ctx: {"n": 1}, "answered dict {'n': 1}; it must return a Ctx"),
        (lambda ctx: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda ctx: attrs.evolve(ctx, engine=1), "changed 'engine'"),
        (lambda ctx: setattr(ctx, "n", 1), "raised FrozenInstanceError"),
        (lambda ctx: sys.exit(3), "SystemExit(3)"),
    ],
    ids=["garbage", "raises", "forbidden", "mutates", "exits"],
)
def test_a_broken_hook_is_named_with_its_rule(function: Any, rule: str) -> None:
    folded = fold(hook(function))

    assert isinstance(folded.error, HookError)
    assert rule in str(folded.error)
    assert ("Hook", "on_x") == (folded.error.callback, folded.error.hook)
    assert Ctx() == folded.ctx


def test_a_hook_that_hangs_meets_its_deadline_even_if_it_swallows_its_cancellation() -> None:
    async def hangs(ctx: Ctx) -> Ctx:
        while True:
            try:
                await asyncio.sleep(1e6)
            except asyncio.CancelledError:
                if asyncio.current_task().cancelling() > 1:  # type: ignore[union-attr]
                    raise

    folded = fold(hook(hangs), deadline=5, grace=1)

    assert "did not return within its deadline of 5 s" in str(folded.error)
    assert [6.0] == [run.seconds for run in folded.runs]


def test_a_temporary_error_stays_temporary_and_typed() -> None:
    def busy(ctx: Ctx) -> Ctx:
        raise TemporaryError("busy", delay=9)

    error = fold(hook(busy)).error

    assert error is not None and isinstance(error.__cause__, TemporaryError)
    assert (True, 9) == (error.temporary, error.delay)
    assert not fold(hook(lambda ctx: 1 / 0)).error.temporary  # type: ignore[union-attr]
    assert isinstance(error, PermanentError)


def test_the_first_failure_ends_the_fold() -> None:
    later = []

    folded = fold(hook(lambda ctx: 1 / 0), hook(later.append))

    assert folded.error and [] == later


def test_the_policy_to_log_goes_on_with_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        folded = fold(
            hook(lambda ctx: 1 / 0), adds("later", sync=True, awaits=0), raise_error=False
        )

    assert (None, ("later",)) == (folded.error, folded.ctx.trail)
    assert caplog.records[0].exc_info and "ZeroDivisionError" in caplog.text
    assert "ZeroDivisionError" in (folded.runs[0].error or "")


def test_observers_change_nothing() -> None:
    observing = runner(hook(lambda ctx: attrs.evolve(ctx, n=9)), hook(lambda ctx: 1 / 0))
    folded = run_virtual(observing.fold(("on_x",), Ctx(), observe=True))

    assert (Ctx(), None) == (folded.ctx, folded.error)
    assert [None, "ZeroDivisionError"] == [
        run.error and run.error.split(": ")[1].split()[-1] for run in folded.runs
    ]


def test_sync_hooks_do_not_stall_the_loop() -> None:
    release = threading.Event()
    ticks = 0

    def blocks(ctx: Ctx) -> Ctx:
        assert release.wait(30)
        return attrs.evolve(ctx, n=1)

    async def main() -> Fold:
        nonlocal ticks
        folding = asyncio.ensure_future(
            runner(hook(blocks), executor=ThreadExecutor()).fold(("on_x",), Ctx())
        )
        for _ in range(50):  # the loop turns while the hook blocks
            await asyncio.sleep(0)
            ticks += 1
        release.set()
        return await folding

    assert 1 == asyncio.run(main()).ctx.n
    assert 50 == ticks


def test_a_thread_that_never_returns_does_not_keep_the_process() -> None:
    """The loop closes although a hook's thread is still blocked."""

    async def main() -> Fold:
        hanging = hook(lambda ctx: time.sleep(3600))
        return await runner(hanging, executor=ThreadExecutor(), deadline=0.05, grace=0.05).fold(
            ("on_x",), Ctx()
        )

    assert "deadline" in str(asyncio.run(main()).error)
