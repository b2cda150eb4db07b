"""The runs of the gallery: real ones of the real machine, on a cluster in memory, in virtual time.

So they are the same every time, hours in them take none, and their journals are what any run writes.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from nodeinit import (
    CallbackCtx,
    InitializationFailed,
    LLMConfig,
    NodeInitializer,
    PermanentError,
    SimCluster,
)
from nodeinit.clusters.simulated import SimFault, sim_host
from nodeinit.diagram.run import read_run
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.fsm.executor import InlineExecutor
from nodeinit.placement.topology import Bundle, fixed
from nodeinit.testing.virtual_time import run_virtual

BEGAN = "2026-01-01T12:00:00.000+00:00"
"""When they all began; nothing else in a journal is of the wall's clock."""

MODEL = Manifest(
    "org/llama-70b",
    "3f2a91c0d4e5f678",
    tuple(
        ManifestFile(f"model-{n:05}-of-00030.safetensors", 4_700_000_000, f"{n:064x}")
        for n in range(1, 31)
    ),
)
HOLD = 60.0  # seconds that a node stays ready


class Licence:
    """A callback that asks somebody whether the model may be served, and is told no."""

    def on_before_placement(self, ctx: CallbackCtx) -> None:
        raise PermanentError("the licence server refused org/llama-70b: 64 of 64 seats are taken")


class Warm:
    """A callback that has something to tell."""

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(custom_data=ctx.custom_data.set("region", "eu-north"))

    def on_after_init(self, ctx: CallbackCtx) -> None: ...


def cluster(hosts: int = 4, **options: Any) -> SimCluster:
    """Hosts with eight GPUs each and ten gigabits a second to the model."""
    named = [
        attrs.evolve(sim_host(f"{n:02x}" * 16, GPU=8, CPU=96), name=f"gpu-{n}")
        for n in range(1, hosts + 1)
    ]
    return SimCluster(named, latency=0.05, bandwidth=1.25e9, manifest=MODEL, **options)


def ready() -> tuple[SimCluster, Any]:
    """A download has to be tried twice on one host; then all is well."""
    sim = cluster(faults=[SimFault("fetch", "temporary", 1)])
    sim.make_group([Bundle({"GPU": fixed(4)})], ["01" * 16], name="other-llm")
    return sim, Warm


def failed() -> tuple[SimCluster, Any]:
    """A hook says no when the model is there: everything is given back."""
    return cluster(), Licence


def displaced() -> tuple[SimCluster, Any]:
    """Somebody takes a host between plan and placement: another plan, and one host more fetches."""
    return cluster(faults=[SimFault("reserve", "steal", 0, "01" * 16)]), Warm


RUNS: dict[str, Callable[[], tuple[SimCluster, Any]]] = {
    "ready": ready,
    "failed": failed,
    "displaced": displaced,
}


def files(directory: Path) -> dict[Path, str]:
    """The journal and the picture of each run, by their paths in a directory."""
    found = {}
    with tempfile.TemporaryDirectory() as work:
        for name, make in RUNS.items():
            path = Path(work) / f"{name}.jsonl"
            run_virtual(_written(path, f"llama-70b-{name}", *make()))
            header, *steps = path.read_text("utf-8").splitlines(keepends=True)
            began = json.dumps({**json.loads(header), "began": BEGAN}, separators=(",", ":"))
            path.write_text("".join([began + "\n", *steps]), "utf-8")
            found[directory / path.name] = path.read_text("utf-8")
            record = attrs.evolve(read_run(path), source=path.name)
            found[directory / f"{name}.svg"] = record.to_svg()
    return found


async def _written(path: Path, name: str, sim: SimCluster, callback: Any) -> None:
    config = LLMConfig(
        model_id="org/llama-70b",
        model_source="/models/llama-70b",
        engine_kwargs={"tensor_parallel_size": 8, "pipeline_parallel_size": 2},
        nodeinit={"store": "/nvme/models"},
        callback=callback,
    )
    node = NodeInitializer(config, cluster=sim, journal=path, name=name, executor=InlineExecutor())
    async with node:
        try:
            await node.wait_for("ready")
            await asyncio.sleep(HOLD)
        except InitializationFailed:
            pass  # its journal tells why
