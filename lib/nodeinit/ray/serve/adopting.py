"""The placement group that Serve made for a replica: the node adopts it instead of reserving one."""

from __future__ import annotations

from typing import Any

import attrs
from ray.util import get_current_placement_group

from nodeinit.callbacks import CallbackSpec
from nodeinit.config import LLMConfig
from nodeinit.context import CallbackCtx


@attrs.frozen
class AdoptGroup:
    """A callback that brings a group; without one the node reserves its own."""

    group: Any = None

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        """Adopt the group, unless a callback before this one asked for something else."""
        if self.group is None or ctx.placement_group is not None:
            return ctx
        return ctx.evolve(placement_group=self.group)


def adopting(config: LLMConfig) -> LLMConfig:
    """A config that adopts the group of this process, if it has one.

    It is added last: a callback of the user's that brings a group has the first word.
    """
    group = get_current_placement_group()
    if group is None:
        return config
    return config.evolve(callbacks=(*config.callbacks, CallbackSpec(AdoptGroup(group))))
