"""Running `on_node_download` on a host, in the process that brought the files there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nodeinit.callbacks import ON_NODE_DOWNLOAD, CallbackSpec, get_or_create
from nodeinit.context import CallbackCtx, changes
from nodeinit.frozen import FrozenMap, freeze_map
from nodeinit.fsm.executor import Executor
from nodeinit.fsm.hooks import BoundCallback, HookRunner

HERE = frozenset({ON_NODE_DOWNLOAD})


async def run_host_hooks(
    specs: Sequence[CallbackSpec],
    ctx: CallbackCtx,
    node_id: str,
    executor: Executor,
    deadline: float | None,
) -> FrozenMap:
    """Fold `ctx` through the callbacks' `on_node_download` and return what changed in `custom_data`.

    The callbacks are made here, once per process. Raises `HookError` when one breaks its contract:
    it raises, overruns `deadline` (seconds), or changes what cannot come back.
    """
    if not specs:
        return freeze_map(None)
    callbacks = [BoundCallback(s.name, get_or_create(s), HERE, s.raise_error, s) for s in specs]
    runner = HookRunner(
        callbacks,
        executor,
        context=CallbackCtx,
        check_change=only_custom_data,
        deadline=deadline or 60.0,
    )
    folded = await runner.fold((ON_NODE_DOWNLOAD,), ctx, node_id)
    if folded.error is not None:
        raise folded.error
    after: CallbackCtx = folded.ctx
    changed = {
        key: value
        for key, value in after.custom_data.items()
        if key not in ctx.custom_data or ctx.custom_data[key] != value
    }
    return freeze_map(changed)


def only_custom_data(before: Any, after: Any, _hook: str) -> tuple[str, str] | None:
    """The change that a hook on a host may not make, with the rule; `None` when all is well."""
    for name in changes(before, after):
        if name != "custom_data":
            return name, f"changed {name!r} on a host; only custom_data comes back from there"
    gone = [key for key in before.custom_data if key not in after.custom_data]
    if gone:
        return "custom_data", f"removed {gone[0]!r} from custom_data; a host can only add or change"
    return None
