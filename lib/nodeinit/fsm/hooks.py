"""Folding a context through hooks: in order, one at a time, each bounded and checked.

`fold` is the whole contract of a hook in one place: it takes a context and answers with a new one
(or `None`: unchanged), within a deadline, changing only what it may.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from nodeinit.errors import HookError, TemporaryError
from nodeinit.fsm.executor import Executor
from nodeinit.fsm.snapshot import HookRun, rounded

log = logging.getLogger("nodeinit.hooks")

CheckChange = Callable[[Any, Any, str], tuple[str, str] | None]


@attrs.frozen
class BoundCallback:
    """A callback that was made: its name, the instance, which hooks it has, and its error policy.

    `spec` is what it was made from, for whoever has to make it again in another process.
    """

    name: str
    instance: Any
    hooks: frozenset[str]
    raise_error: bool = True
    spec: Any = None


@attrs.frozen
class Fold:
    """What folding came to: the context, a record of each call, and the error that ended it."""

    ctx: Any
    runs: tuple[HookRun, ...] = ()
    error: HookError | None = None


@attrs.frozen
class HookRunner:
    """Calls the hooks of some callbacks.

    `context` is the type that a hook must answer with, `check_change` names the field that it
    changed against the rules, `diff` describes what it changed, `deadline` (seconds) bounds a call.
    """

    callbacks: Sequence[BoundCallback]
    executor: Executor
    context: type = object
    check_change: CheckChange | None = None
    diff: Callable[[Any, Any], dict[str, Any]] | None = None
    deadline: float = 60.0
    grace: float = 1.0

    def any(self, hooks: Sequence[str]) -> bool:
        """Whether any callback has one of these hooks."""
        return any(hook in callback.hooks for callback in self.callbacks for hook in hooks)

    async def fold(self, hooks: Sequence[str], ctx: Any, *args: Any, observe: bool = False) -> Fold:
        """Pass `ctx` through every callback that has one of the hooks, in the callbacks' order.

        The first failure ends it, unless the callback's policy is to log. With `observe` nothing
        that a hook answers or raises has any effect but a record.
        """
        runs: list[HookRun] = []
        for hook in hooks:
            for callback in self.callbacks:
                if hook not in callback.hooks:
                    continue
                began = asyncio.get_running_loop().time()
                error: HookError | None = None
                new = ctx
                try:
                    new = await self._call(callback, hook, ctx, args, check=not observe)
                except HookError as raised:
                    error = raised
                seconds = rounded(asyncio.get_running_loop().time() - began)
                changed = self.diff(ctx, new) if self.diff and new is not ctx else {}
                text = str(error) if error else None
                runs.append(HookRun(callback.name, hook, seconds, changed, text))
                if error is None:
                    ctx = ctx if observe else new
                elif observe or not callback.raise_error:
                    log.warning("%s (policy: log and go on)", error, exc_info=error)
                else:
                    return Fold(ctx, tuple(runs), error)
        return Fold(ctx, tuple(runs))

    async def _call(
        self, callback: BoundCallback, hook: str, ctx: Any, args: tuple[Any, ...], *, check: bool
    ) -> Any:
        fail = functools.partial(HookError, callback.name, hook)
        function = getattr(callback.instance, hook)
        try:
            answer = await self._bounded(function, ctx, *args)
        except _Elapsed:
            raise fail(f"did not return within its deadline of {self.deadline:g} s") from None
        except TemporaryError as error:
            raise fail(str(error), temporary=True, delay=error.delay) from error
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise
        except (
            BaseException
        ) as error:  # a hook may raise anything; nothing of it may end the driver
            raise fail(f"raised {type(error).__name__}: {error}") from error
        if answer is None or not check:
            return ctx
        if not isinstance(answer, self.context):
            raise fail(
                f"answered {_described(answer)}; "
                f"it must return a {self.context.__name__} (see attrs.evolve) or None"
            )
        broken = self.check_change(ctx, answer, hook) if self.check_change else None
        if broken:
            raise fail(broken[1], field=broken[0])
        return answer

    async def _bounded(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a hook as a task of its own: it may swallow its cancellation, we go on regardless."""
        task = asyncio.ensure_future(self._answer(function, *args))
        try:
            done, _ = await asyncio.wait({task}, timeout=self.deadline)
        except asyncio.CancelledError:
            with contextlib.suppress(asyncio.CancelledError):
                await self._end(task)
            raise
        if not done:
            await self._end(task)
            raise _Elapsed
        if task.cancelled():
            raise RuntimeError("the hook cancelled itself")
        return task.result()

    async def _answer(self, function: Callable[..., Any], *args: Any) -> Any:
        # Only the answer tells: a partial or a decorated function may return a coroutine too.
        try:
            if inspect.iscoroutinefunction(function):
                return await function(*args)
            answer = await self.executor.call(function, *args)
            return await answer if inspect.isawaitable(answer) else answer
        except SystemExit as error:  # a task would carry it straight out of the event loop
            raise RuntimeError(f"SystemExit({error.code})") from error

    async def _end(self, task: asyncio.Task[Any]) -> None:
        """Cancel a call and give it a moment; one that swallows its cancellation is abandoned."""
        task.add_done_callback(lambda late: late.cancelled() or late.exception())  # seen, not lost
        task.cancel()
        await asyncio.wait({task}, timeout=self.grace)


class _Elapsed(Exception):
    """The deadline of a call passed."""


def _described(answer: Any) -> str:
    text = repr(answer)
    return f"{type(answer).__name__} {text if len(text) <= 80 else text[:77] + '…'}"
