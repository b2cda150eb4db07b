"""Watching hooks: every call of one, step by step, and what it breaks of a hook's contract.

`Watched` stands in the place of the author's callback for the engine. It is made once for a check;
what it calls are fresh instances: one for the driver and one for each host, in every run.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from nodeinit.callbacks import ON_NODE_DOWNLOAD
from nodeinit.clusters.host_hooks import only_custom_data
from nodeinit.context import CallbackCtx, forbidden_change
from nodeinit.errors import InfeasibleError, NoCapacityError, PermanentError, TemporaryError
from nodeinit.fsm.policy import Policy
from nodeinit.testing.comparing import difference, different, fingerprint
from nodeinit.testing.outside import Outside, Step, TooManyLines
from nodeinit.testing.stepped import Stepped

PATIENCE = 20.0  # seconds that a cancelled hook may take to clean up


@attrs.define(eq=False)
class Call:
    """One call of a hook: the context before and after, how it went, and where it was last."""

    hook: str
    before: CallbackCtx
    code: Any
    began: float
    node_id: str = ""
    after: CallbackCtx | None = None
    error: BaseException | None = None
    ended: float | None = None
    cancelled_at: float | None = None
    own_cancels: int = 0
    there: Any = None
    cancelled_in: int = 0
    """The line that waited when it was cancelled."""
    line: int = 0

    @property
    def where(self) -> str:
        """The file and the line in the callback, as far as they are known."""
        if self.code is None:
            return ""
        return f"{Path(self.code.co_filename).name}:{self.line or self.code.co_firstlineno}"


class Log:
    """What one run saw of the hooks. `say(check, message, call)` records a breach."""

    def __init__(
        self,
        make: Callable[[], Any],
        outside: Outside,
        say: Callable[[str, str, Call], None],
        *,
        allowed: tuple[type[BaseException], ...] = (),
        twice: bool = False,
        judge: Callable[[Call], None] = lambda call: None,
        refused: Callable[[Call], None] = lambda call: None,
        there: Callable[[], Any] = lambda: None,
        hook_deadline: float = Policy().hook_deadline,
    ) -> None:
        self.outside = outside
        self.say = say
        self.twice = twice
        self.judge = judge
        self.refused = refused
        self.there = there
        self.hook_deadline = hook_deadline
        self.calls: list[Call] = []
        self._make = make
        self._instances: dict[str, Any] = {}
        self._allowed = (TemporaryError, PermanentError, *allowed)
        self._prints: list[tuple[Call, Any]] = []
        self._own: set[str] = set()
        self._overdue: list[Call] = []
        self.hot = False
        """Whether a hook span without an end, which takes long to be sure of."""
        self.unsupported = False
        """Whether a hook wanted sockets or other programs of the event loop, which it has not."""

    def instance(self, node_id: str) -> Any:
        """The callback of the driver (`""`) or of a host: a process of its own has its own."""
        if node_id not in self._instances:
            self._instances[node_id] = self._make()
        return self._instances[node_id]

    def instances(self) -> list[Any]:
        """Every instance of the callback that this run has made, by the ids of their nodes."""
        return [made for _, made in sorted(self._instances.items())]

    # -- one call ----------------------------------------------------------------------------------

    def begin(self, hook: str, ctx: CallbackCtx, args: tuple[Any, ...]) -> tuple[Call, Any]:
        """Open a call; answers with it and the function to call."""
        node_id = args[0] if hook == ON_NODE_DOWNLOAD and args else ""
        function = getattr(self.instance(node_id), hook)
        plain = inspect.unwrap(getattr(function, "__func__", function))
        call = Call(hook, ctx, getattr(plain, "__code__", None), self._now(), node_id)
        call.there = self.there()
        self.calls.append(call)
        self._prints.append((call, fingerprint(ctx)))
        return call, function

    def sync(self, hook: str, ctx: CallbackCtx, args: tuple[Any, ...]) -> Any:
        """A call of a plain function; if that answers with something to await, so does this."""
        call, function = self.begin(hook, ctx, args)
        answer = self._guarded(call, lambda: self._step(call, False, lambda: function(ctx, *args)))
        if inspect.isawaitable(answer):
            return self._rest(call, answer)
        if self.twice and self._fit_for_twice(call, answer):
            again = self._quietly(call, lambda: function(ctx, *args))
            then = self._quietly(call, lambda: function(answer, *args)) if answer else None
            self._compare(call, answer, again, then)
        return self._finish(call, answer)

    async def asynchronous(self, hook: str, ctx: CallbackCtx, args: tuple[Any, ...]) -> Any:
        """A call of a coroutine function."""
        call, function = self.begin(hook, ctx, args)
        coroutine = self._guarded(call, lambda: function(ctx, *args))
        answer = await self._awaited(call, coroutine)
        if self.twice and self._fit_for_twice(call, answer):
            again = await self._quietly_awaited(call, lambda: function(ctx, *args))
            then = None
            if answer is not None:
                then = await self._quietly_awaited(call, lambda: function(answer, *args))
            self._compare(call, answer, again, then)
        return self._finish(call, answer)

    async def _rest(self, call: Call, awaitable: Any) -> Any:
        return self._finish(call, await self._awaited(call, awaitable))

    async def _awaited(self, call: Call, awaitable: Any) -> Any:
        try:
            return await Stepped(self, call, awaitable)
        except BaseException as error:
            self._failed(call, error)
            raise

    def _guarded(self, call: Call, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except BaseException as error:
            self._failed(call, error)
            raise

    def _step(
        self, call: Call, asynchronous: bool, function: Callable[[], Any], late: float = 0.0
    ) -> Any:
        def blocked(what: str) -> None:
            self.say("H5-blocking", f"called {what} inside an async hook", call)

        def seen(line: int) -> None:
            call.line = line

        return self.outside.run(Step(asynchronous, blocked, call.code, seen, late), function)

    # -- how it ended ------------------------------------------------------------------------------

    def _failed(self, call: Call, error: BaseException) -> None:
        call.error, call.ended = error, self._now()
        if isinstance(error, TooManyLines):
            self.hot = True
            said = f"ran more than {self.outside.lines:,} lines without giving anybody a turn"
            self.say("H4-hang", said, call)
            return
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling() <= call.own_cancels:
                self.say(
                    "H3-raised", "raised CancelledError, but nobody else had cancelled it", call
                )
            self._cleaned_up(call)
            return
        self._swallowed(call)
        if isinstance(error, InfeasibleError | NoCapacityError) and call.there == self.there():
            self.refused(call)  # nothing came or went meanwhile
        if _beyond_the_loop(error):
            self.unsupported = True
        elif not isinstance(error, self._allowed):
            self._blame_line(call, error)
            self.say("H3-raised", f"raised {type(error).__name__}: {error}", call)

    def _blame_line(self, call: Call, error: BaseException) -> None:
        for frame, line in traceback.walk_tb(error.__traceback__):
            if frame.f_code is call.code:
                call.line = line

    def _finish(self, call: Call, answer: Any) -> Any:
        call.ended = self._now()
        if call.ended - call.began > self.hook_deadline and not call.cancelled_at:
            took = f"took {call.ended - call.began:,.0f} s of blocking"
            self.say("H4-hang", f"{took}; a hook has {self.hook_deadline:,.0f} s", call)
        self._swallowed(call)
        if call.hook == "on_init_failed":
            return answer  # it observes: what it answers is ignored
        if answer is not None and type(answer) is not CallbackCtx:
            kind = "a coroutine that nobody awaits" if inspect.iscoroutine(answer) else ""
            if inspect.iscoroutine(answer):
                answer.close()
            self.say("H1-return", f"returned {kind or _described(answer)}", call)
            return answer
        after = call.after = answer if answer is not None else call.before
        check = only_custom_data if call.hook == ON_NODE_DOWNLOAD else forbidden_change
        broken = check(call.before, after, call.hook)
        if broken is not None and broken[0] != "custom_data":
            self.say("H7-readonly", broken[1], call)
        self._judge_custom_data(call, after)
        self.judge(call)
        return answer

    def _judge_custom_data(self, call: Call, after: CallbackCtx) -> None:
        """Keys that somebody else wrote stay as they are."""
        before = call.before.custom_data
        for key in sorted(before):
            if key in self._own:
                continue
            if key not in after.custom_data:
                said = f"removed custom_data[{key!r}], which somebody else wrote"
                self.say("H7-custom_data", said, call)
            elif after.custom_data[key] != before[key]:
                said = f"changed custom_data[{key!r}], which somebody else wrote"
                self.say("H7-custom_data", said, call)
        self._own |= {key for key in after.custom_data if key not in before}

    def _swallowed(self, call: Call) -> None:
        """A cancel that was delivered must leave the hook; `asyncio.timeout` takes back its own."""
        task = asyncio.current_task()
        if call.cancelled_at is None or task is None or not task.cancelling():
            return
        how = "raised another error" if call.error is not None else "returned"
        where = f" in line {call.cancelled_in}" if call.cancelled_in else ""
        self.say("H6-cancel", f"was cancelled{where}, and {how} as if nothing had happened", call)

    def _cleaned_up(self, call: Call) -> None:
        if call.cancelled_at is None or call.ended is None:
            return
        took = call.ended - call.cancelled_at
        if took > PATIENCE and call not in self._overdue:
            self.say("H6-cancel", f"went on for {took:.0f} s after it was cancelled", call)

    def close(self) -> None:
        """At the end of a run: what changed late, and who still runs."""
        for call, fingerprinted in self._prints:
            changed = difference(fingerprinted)
            if changed:
                said = f"changed {changed} of the context that it received"
                self.say("H2-mutated", said, call)
            if call in self._overdue:
                continue
            if call.ended is None and call.cancelled_at is not None:
                self.say("H6-cancel", "was cancelled, and never ended", call)
            elif call.ended is None:
                self.say("H4-hang", "never returned", call)

    def stuck(self) -> None:
        """The loop turned without end: whoever was ended at that moment had not ended by itself."""
        self.hot = True
        for call in self.calls:
            if isinstance(call.error, asyncio.CancelledError) and call.ended == self._now():
                self.say("H4-hang", "never returned", call)

    def elapsed(self, call: Call) -> None:
        """The engine cancelled a call that took too long."""
        self._overdue.append(call)
        said = f"did not return within {self.hook_deadline:,.0f} s of virtual time"
        self.say("H4-hang", said, call)

    # -- the same call again, at the same time by the clocks that the hook sees ---------------------

    def _fit_for_twice(self, call: Call, answer: Any) -> bool:
        good = answer is None or type(answer) is CallbackCtx
        return good and call.hook != "on_init_failed" and call.cancelled_at is None

    def _quietly(self, call: Call, function: Callable[[], Any]) -> Any:
        try:
            return self._step(call, False, function, self._now() - call.began)
        except TooManyLines:
            raise
        except Exception:
            return NotImplemented

    async def _quietly_awaited(self, call: Call, function: Callable[[], Any]) -> Any:
        try:
            return await Stepped(self, call, function(), self._now() - call.began)
        except Exception:
            return NotImplemented

    def _compare(self, call: Call, first: Any, again: Any, then: Any) -> None:
        if again is not NotImplemented and (again is None or type(again) is CallbackCtx):
            fields = different(first or call.before, again or call.before)
            if fields:
                said = f"gave another {fields[0]} when called again with the same context"
                self.say("H8-idempotent", said, call)
                return
        if first is not None and type(then) is CallbackCtx and call.hook != "on_before_init":
            fields = [name for name in different(first, then) if name != "custom_data"]
            if fields:
                said = f"changed {fields[0]} once more when called with its own answer"
                self.say("H8-idempotent", said, call)

    def _now(self) -> float:
        return self.outside.loop.time()


def _beyond_the_loop(error: BaseException) -> bool:
    """Whether the event loop of the kit, and not the hook, is at fault."""
    if not isinstance(error, NotImplementedError) or error.__traceback__ is None:
        return False
    *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).startswith("asyncio.")


def _described(answer: Any) -> str:
    text = repr(answer)
    shown = text if len(text) <= 60 and " at 0x" not in text else ""
    return f"a {type(answer).__name__} {shown}".rstrip()
