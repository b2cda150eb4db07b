"""The standard machine whose plans leave Ray a choice."""

from __future__ import annotations

import attrs

from nodeinit import CallbackCtx
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.registry import load_machine
from nodeinit.fsm.run import Run
from nodeinit.placement.topology import Pin


def pinned(pin: Pin) -> Definition:
    """The machine whose first plan is pinned like that."""
    standard = load_machine("node_init")
    config, *others = standard.phases

    async def read_config(ctx: CallbackCtx, run: Run) -> CallbackCtx:
        done: CallbackCtx = await config.activity(ctx, run)
        assert done.plan is not None
        return done.evolve(plan=attrs.evolve(done.plan, pin=pin))

    return attrs.evolve(standard, phases=(attrs.evolve(config, activity=read_config), *others))
