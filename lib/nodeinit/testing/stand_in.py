"""What stands in the place of the author's callback for the engine, and watches its calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from nodeinit.callbacks import CallbackSpec
from nodeinit.context import CallbackCtx
from nodeinit.testing.watched import Log


class Watched:
    """The callback as the engine sees it. `log` is the run that its calls belong to."""

    def __init__(self, hooks: Sequence[str], functions: dict[str, bool], twin: bool) -> None:
        self.log: Log | None = None
        for hook in hooks:
            setattr(self, hook, (self._twin if twin else self._hook)(hook, functions[hook]))

    def _twin(self, hook: str, asynchronous: bool) -> Callable[..., Any]:
        """The same hook in the other colour."""
        real = self._hook(hook, asynchronous)

        async def made_async(*args: Any) -> Any:
            answer = real(*args)
            return await answer if inspect.isawaitable(answer) else answer

        def made_sync(*args: Any) -> Any:
            return real(*args)

        return made_sync if asynchronous else made_async

    def _hook(self, hook: str, asynchronous: bool) -> Callable[..., Any]:
        async def async_hook(ctx: CallbackCtx, *args: Any) -> Any:
            assert self.log is not None
            return await self.log.asynchronous(hook, ctx, args)

        def sync_hook(ctx: CallbackCtx, *args: Any) -> Any:
            assert self.log is not None
            return self.log.sync(hook, ctx, args)

        return async_hook if asynchronous else sync_hook

    @classmethod
    def of(
        cls, spec: CallbackSpec, hooks: Sequence[str], instance: Any, *, twin: bool = False
    ) -> Watched:
        """Stand in for a callback: async where it is, or as its `twin` where it is not."""
        colour = {hook: inspect.iscoroutinefunction(getattr(instance, hook)) for hook in hooks}
        return cls(hooks, colour, twin)
