"""Only type-checked, never run: the public surface as users write it down."""

from __future__ import annotations

import attrs

from nodeinit import (
    CallbackCtx,
    Definition,
    LLMConfig,
    NodeInitializer,
    Phase,
    PlacementRequest,
    Policy,
    RayServeLLMCallback,
    ReadyNode,
    SimCluster,
    initialize_node,
    initialize_node_sync,
    load_machine,
)
from nodeinit.fsm.run import Run
from nodeinit.fsm.snapshot import Snapshot, Step


class SyncCallback:
    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        return attrs.evolve(ctx, worker_node_download_model="TOKENIZER_ONLY")

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx:
        return ctx.evolve(custom_data=ctx.custom_data.set(node_id, True))


class AsyncCallback:
    async def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx | None:
        request = PlacementRequest.of(tensor_parallel_size=4, strategy="PACK")
        return ctx.evolve(placement_group=request)


class WholeCallback(RayServeLLMCallback):
    """The protocol may be inherited from, too; then every hook is there."""


def on_step(step: Step) -> None:
    print(step.before.state, step.occurred.event, step.after.state)


async def warm_up(ctx: CallbackCtx, run: Run) -> CallbackCtx:
    run.acquire("engine", run.node)
    await run.call(print, ctx.model)
    return ctx


async def embed(cluster: SimCluster) -> str:
    config = LLMConfig(model_id="llama-2-7b", callback=[SyncCallback, "my_module:MyCallback"])
    ready: ReadyNode = await initialize_node(config)
    path: str = ready.model.path
    resources: list[str] = [bundle.node_id for bundle in ready.placement.bundles]
    await ready.release()
    machine: Definition = load_machine("node_init").with_phase(
        Phase("warmup", warm_up), after="placement", name="warm"
    )
    async with NodeInitializer(
        LLMConfig.load("config.yaml"),
        cluster=cluster,
        machine=machine,
        policy=Policy(),
        journal="x",
    ) as node:
        node.subscribe(on_step)
        snapshot: Snapshot = await node.wait_for("ready")
        explained: str = node.explain()
        drawn: str = machine.to_svg(Policy(), node.steps) + machine.to_html()
        source: str = machine.to_mermaid(active=node.state, nested=False)
    return drawn + source + path + explained + snapshot.state + "".join(resources)


def block(config: LLMConfig) -> str:
    with initialize_node_sync(config) as ready:
        return ready.model.path
