"""The processes on hosts that go on after a fetch: each keeps the mark of a node on its model.

Such a process ends when the node gives the model back, and with the driver, however that ends: Ray
sees to it, and the kernel gives up the lock of the mark. Nobody has to renew anything from afar.
"""

from __future__ import annotations

from typing import Any

from nodeinit.ray import workers
from nodeinit.ray.polling import Call


class Users:
    """The kept processes by the node that uses the model, one for each host."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._kept: dict[str, dict[str, Any]] = {}

    async def keep(self, user: str, node_id: str, actor: Any) -> None:
        """Let a process live on in place of an earlier one of the same node there."""
        before = self._kept.setdefault(user, {}).pop(node_id, None)
        self._kept[user][node_id] = actor
        if before is not None:
            await self._call(workers.kill, before)

    async def let_go(self, user: str) -> None:
        """End the processes of a node."""
        for actor in self._kept.pop(user, {}).values():
            await self._call(workers.kill, actor)
