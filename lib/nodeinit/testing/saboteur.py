"""Another callback of the same config, which fails."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from nodeinit.context import CallbackCtx
from nodeinit.errors import PermanentError, TemporaryError
from nodeinit.testing.scenario import Other


class Saboteur:
    """Another callback of the same config, which fails where the scenario says so."""

    def __init__(self, hooks: Sequence[str]) -> None:
        self.failures: tuple[Other, ...] = ()
        self.calls: dict[str, int] = {}
        self.hooks = frozenset(hooks)
        for hook in hooks:
            setattr(self, hook, functools.partial(self._fail, hook))

    def _fail(self, hook: str, _ctx: CallbackCtx) -> None:
        call = self.calls.get(hook, 0)
        self.calls[hook] = call + 1
        for other in self.failures:
            if (other.hook, other.call) == (hook, call):
                kind = TemporaryError if other.kind == "temporary" else PermanentError
                raise kind("another callback of the config failed")
