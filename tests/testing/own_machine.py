"""A machine of a user's own, with one phase more than the standard one, and callbacks for it."""

from __future__ import annotations

import asyncio

from nodeinit import CallbackCtx, Phase, load_machine
from nodeinit.fsm.run import Run


async def warm_up(ctx: CallbackCtx, run: Run) -> CallbackCtx:
    return ctx.evolve(custom_data=ctx.custom_data.set("warm", run.attempt))


WARM = load_machine("node_init").with_phase(
    Phase("warmup", warm_up, summary="run one request through the engine"),
    after="placement",
    hooks=("on_before_warmup",),
    name="warm_node",
)
NO_MACHINE = "a word"


class Careful:
    """Does all that it may."""

    def on_before_warmup(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(custom_data=ctx.custom_data.set("asked", True))


class TooLate:
    """Changes in the new phase what may be changed only before."""

    def on_before_warmup(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(run_init_node=False)


class Impatient:
    """A cancel of the new phase's hook is not heard."""

    async def on_before_warmup(self, ctx: CallbackCtx) -> None:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            return


class Trusting:
    """Takes it that the new phase never fails: then there is nothing to tell of it."""

    def on_before_warmup(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(custom_data=ctx.custom_data.set("asked", True))

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        if "asked" in ctx.custom_data:
            raise KeyError(ctx.custom_data["warm"])


class OnceOnly:
    """Cannot be asked a second time, as it is when a node heals."""

    def on_before_warmup(self, ctx: CallbackCtx) -> CallbackCtx:
        if "warm" in ctx.custom_data:
            raise RuntimeError("warm already")
        return ctx
