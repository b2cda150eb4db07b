"""Scripted runs under virtual time, each with its journal: what the pictures of runs are made from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from nodeinit import CallbackCtx, InitializationFailed, LLMConfig, NodeInitializer, Policy
from nodeinit.clusters.base import FetchJob, Progress
from nodeinit.clusters.simulated import SimCluster, SimFault, sim_host
from nodeinit.diagram.run import RunRecord, read_run
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.fsm.executor import InlineExecutor
from nodeinit.fsm.policy import Backoff, PhasePolicy
from nodeinit.placement.topology import Bundle, fixed
from nodeinit.testing.virtual_time import run_virtual

BIG = Manifest(
    "sim/llama-70b",
    "sim",
    tuple(
        ManifestFile(f"model-{n:05}-of-00040.safetensors", 350_000_000, f"{n:064x}")
        for n in range(1, 41)
    ),
)


class Uneven(SimCluster):
    """A cluster whose hosts are not equally fast, and which says what they are at."""

    async def _move(
        self,
        node_id: str,
        job: FetchJob,
        files: Sequence[ManifestFile],
        on_progress: Callable[[Progress], None],
    ) -> None:
        total = sum(file.size for file in files)
        on_progress(Progress(node_id, 0, total, stage="start", note="direct: each by itself"))
        await super()._move(node_id, job, files, on_progress)
        on_progress(Progress(node_id, total, total, stage="hooks"))
        await asyncio.sleep(int(node_id[:2], 16) * 5.44e8 / self._bandwidth)
        on_progress(Progress(node_id, total, total, stage="done"))


class Busy:
    """A callback with something to tell."""

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(custom_data=ctx.custom_data.set("asked", True))

    def on_after_init(self, ctx: CallbackCtx) -> None: ...


class Broken:
    """A callback that fails before the placement."""

    def on_before_placement(self, ctx: CallbackCtx) -> None:
        raise ValueError("no licence for <b>this</b> model")


def cluster(hosts: int = 3, gpus: int = 8, **options: Any) -> SimCluster:
    options.setdefault("bandwidth", 3.2e8)
    options.setdefault("manifest", BIG)
    named = [
        attrs.evolve(sim_host(f"{i:02x}" * 16, GPU=gpus, CPU=64), name=f"gpu-{i + 1}")
        for i in range(hosts)
    ]
    return Uneven(named, latency=0.02, **options)


def config(tp: int = 8, pp: int = 2, callback: Any = None, **fields: Any) -> LLMConfig:
    kwargs = {"tensor_parallel_size": tp, "pipeline_parallel_size": pp}
    return LLMConfig(
        model_id="sim/llama-70b",
        model_source="/models/llama-70b",
        engine_kwargs=kwargs,
        callback=callback,
        **fields,
    )


PATIENT = Policy(default=PhasePolicy(deadline=600, attempts=4, backoff=Backoff(4, 2, 30, 0)))


def written(
    path: Path,
    sim: SimCluster,
    asked: LLMConfig | None = None,
    *,
    policy: Policy = PATIENT,
    meanwhile: Sequence[tuple[float, Callable[[NodeInitializer], Any]]] = (),
    hold: float = 4.0,
    name: str = "llama-70b-1",
) -> Path:
    """Run a node to its end and write its journal; `meanwhile` happens at these seconds."""

    async def main() -> None:
        node = NodeInitializer(
            asked or config(),
            cluster=sim,
            policy=policy,
            journal=path,
            name=name,
            executor=InlineExecutor(),
        )

        async def at(when: float, what: Callable[[NodeInitializer], Any]) -> None:
            await asyncio.sleep(when)
            answer = what(node)
            if asyncio.iscoroutine(answer):
                await answer

        async with node:
            acts = [asyncio.ensure_future(at(*act)) for act in meanwhile]
            try:
                await node.wait_for("ready")
                await asyncio.sleep(hold)
            except InitializationFailed:
                pass
            for act in acts:
                act.cancel()

    run_virtual(main())
    return path


def ready(path: Path) -> Path:
    """A run that succeeds, on two hosts of three; on the third somebody else is."""
    sim = cluster()
    sim.make_group([Bundle({"GPU": fixed(4)})], ["02" * 16], name="other-llm")
    return written(path, sim, config(callback=Busy))


def retried(path: Path) -> Path:
    """Two tries of a download fail, the third succeeds."""
    sim = cluster(faults=[SimFault("fetch", "temporary", 1), SimFault("fetch", "temporary", 3)])
    return written(path, sim)


def failed(path: Path) -> Path:
    """A hook fails before the placement, and says why."""
    return written(path, cluster(), config(callback=Broken))


def invalid(path: Path) -> Path:
    """What Ray reserved breaks a rule."""
    return written(path, cluster(faults=[SimFault("reserve", "lie", 0)]))


def cancelled(path: Path) -> Path:
    """Somebody cancels in the middle of a download."""
    return written(path, cluster(), meanwhile=[(23.0, lambda node: node.cancel("not needed"))])


def displaced(path: Path) -> Path:
    """Capacity is taken between plan and placement: another plan, and only the new host fetches."""
    sim = cluster(3, faults=[SimFault("reserve", "steal", 0, "01" * 16)])
    return written(path, sim, config(tp=8, pp=2))


def infeasible(path: Path) -> Path:
    """More is asked for than there is."""
    return written(path, cluster(2), config(tp=8, pp=4))


def lost(path: Path) -> Path:
    """A host of a ready node dies after a long time; the node is healed on another one."""
    sim = cluster(3)
    return written(path, sim, meanwhile=[(3000.0, lambda _: sim.kill_host("00" * 16))], hold=9000)


def flapping(path: Path, steps: int = 10_000) -> Path:
    """A host that dies and comes back again and again: so many steps, at least."""
    sim = cluster(3, bandwidth=1e12)
    policy = attrs.evolve(PATIENT, replans=steps)

    async def flap(node: NodeInitializer) -> None:
        while len(node.steps) < steps:
            await asyncio.sleep(3.0)
            plan = node.ctx.plan
            assert plan is not None
            sim.kill_host(plan.hosts[0])
            await asyncio.sleep(1.0)
            sim.add_host(sim.hosts[plan.hosts[0]].host)
        await node.cancel("enough")

    return written(
        path, sim, policy=policy, meanwhile=[(5.0, flap)], hold=10.0 * steps, name="flapping"
    )


def record(make: Callable[[Path], Path], path: Path) -> RunRecord:
    """The run of a script, read back from its journal."""
    return read_run(make(path))
