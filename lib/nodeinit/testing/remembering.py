"""An executor that remembers plans: thousands of runs ask for the same few on the same clusters."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from nodeinit.fsm.executor import InlineExecutor
from nodeinit.placement.planner import plan

_remembered = functools.lru_cache(maxsize=4096)(plan)  # pure: equal arguments, equal plans


class RememberingExecutor(InlineExecutor):
    """Runs functions at once, in the event loop; of the planner it remembers the answers."""

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """What the function answers."""
        return await super().call(_remembered if function is plan else function, *args)
