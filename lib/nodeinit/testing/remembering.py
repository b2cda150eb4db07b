"""An executor that remembers: thousands of runs ask for the same plans on the same clusters."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from nodeinit.fsm.executor import InlineExecutor
from nodeinit.placement.planner import plan
from nodeinit.placement.rules import violations

# Pure: equal arguments, equal answers.
_remembered = {pure: functools.lru_cache(maxsize=4096)(pure) for pure in (plan, violations)}


class RememberingExecutor(InlineExecutor):
    """Runs functions at once, in the event loop; the planner's and the rules' answers it remembers."""

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """What the function answers."""
        return await super().call(_remembered.get(function, function), *args)
