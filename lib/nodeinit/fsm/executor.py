"""Where blocking code runs: a port, so that tests can run the same driver in virtual time."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any, Protocol


class Executor(Protocol):
    """Runs a blocking function away from the event loop."""

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """The function's result; cancelling the call abandons it."""
        ...


class ThreadExecutor:
    """A daemon thread per call.

    Not a pool: a function that never returns must neither use up a pool's places nor keep the
    process from ending, as the loop's default executor would.
    """

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run in a fresh thread, in a copy of the caller's context."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def deliver(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def work() -> None:
            try:
                result, error = context.run(function, *args), None
            except BaseException as raised:
                # StopIteration cannot travel in a future, and an exit must not end a thread unseen.
                wrap = isinstance(raised, StopIteration | SystemExit | KeyboardInterrupt)
                result, error = None, RuntimeError(repr(raised)) if wrap else raised
            try:
                loop.call_soon_threadsafe(deliver, result, error)
            except RuntimeError:
                pass  # the loop is closed: nobody waits for this any more

        name = f"nodeinit-{getattr(function, '__name__', 'call')}"
        threading.Thread(target=work, name=name, daemon=True).start()
        return await future


class InlineExecutor:
    """Runs the function where it stands; for virtual time, where nothing may happen beside the loop."""

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run now."""
        return function(*args)
