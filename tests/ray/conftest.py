"""What tests on the shared Ray (see `tests/conftest.py`) need; it is at rest before and after each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import ray
import ray.util
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nodeinit.clusters.base import FetchJob
from nodeinit.config import LLMConfig
from nodeinit.context import CallbackCtx, NodeModelDownloadable
from nodeinit.download.manifest import Manifest
from nodeinit.download.sources import source_for
from nodeinit.download.store import published_path
from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.placement.topology import UNIT, Bundle, PlacementPlan
from nodeinit.ray import RayCluster, group_notes, group_rows
from nodeinit.ray import groups as ray_groups
from tests.shared_ray import GPUS

T = TypeVar("T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.ray)
            item.add_marker(pytest.mark.timeout(120))


@pytest.fixture
def cluster(shared: RayCluster) -> Iterator[RayCluster]:
    """Three hosts with eight GPUs each, all free: before the test, and again after it."""
    assert shared.hosts is not None
    lacking = 3 - len(shared.hosts.node_ids)
    if lacking > 0:
        shared.hosts.add_hosts(lacking)
    yield shared
    groups, free = asyncio.run(at_rest(shared))
    hosts = len(shared.hosts.node_ids)
    if groups or free != hosts * GPUS:  # a test that failed must not fail those after it
        print(asyncio.run(books(shared)))
        for row in group_rows.LiveRows().read():
            ray_groups.remove(row.group_id)
        for note in group_notes.all_notes():
            group_notes.erase(note)
        asyncio.run(at_rest(shared))
        for host in asyncio.run(shared.snapshot()).alive:
            if host.free("GPU") < host.total.get("GPU", 0):  # Ray can lose them for good
                shared.hosts.remove_host(host.node_id)
    assert groups == []
    assert free == hosts * GPUS


async def books(cluster: RayCluster) -> str:
    """What is out of order, for whoever looks for the cause: Ray's books, and the hosts' own."""
    rows = [f"{row.name or row.group_id}: {row.state}" for row in group_rows.LiveRows().read()]
    lines = [f"groups: {rows}", f"notes: {[note.name for note in group_notes.all_notes()]}"]
    for host in (await cluster.snapshot()).alive:
        free, total = host.free("GPU") / UNIT, host.total.get("GPU", 0) / UNIT
        lines.append(f"{host.name}: {free:g} of {total:g} GPUs are free in the books of the head")
        if free < total:
            lines.append(f"{host.name}: a task for all of them {_tried(host.node_id, total)}")
    lines.append(f"actors: {ray.util.list_named_actors(all_namespaces=True)}")
    return "\n".join(lines)


def _tried(node_id: str, gpus: float) -> str:
    pinned = NodeAffinitySchedulingStrategy(node_id, soft=False)
    nothing = ray.remote(num_cpus=0, num_gpus=gpus)(lambda: None)
    task = nothing.options(scheduling_strategy=pinned).remote()
    ready, _ = ray.wait([task], timeout=10)
    if not ready:
        ray.cancel(task)
    return "ran" if ready else "did not run: the host does not have them"


async def at_rest(cluster: RayCluster) -> tuple[list[str], float]:
    """The live groups and the free GPUs, given a moment for what others held to come back."""
    assert cluster.hosts is not None
    for _ in range(100):
        groups, free = await standing(cluster)
        if not groups and free == len(cluster.hosts.node_ids) * GPUS:
            break
        await asyncio.sleep(0.05)
    return groups, free


async def standing(cluster: RayCluster) -> tuple[list[str], float]:
    """The names of the live groups, and how many GPUs are free.

    A host that has just taken bundles may report once more from before: while more is free than the
    groups leave, it is looked at again. What should be free and is not is told at once.
    """
    for _ in range(60):
        snapshot = await cluster.snapshot()
        free = sum(host.free("GPU") for host in snapshot.alive)
        held = sum(group.gpu for group in snapshot.groups if group.state == "CREATED")
        if free <= sum(int(host.total.get("GPU", 0)) for host in snapshot.alive) - held:
            break
        await asyncio.sleep(0.05)
    return [group.name for group in snapshot.groups], free / UNIT


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return asyncio.run(main())


def on_hosts(*node_ids: str, strategy: str = "PACK", **amounts: float) -> PlacementPlan:
    """A plan of alike bundles, one for each node id."""
    bundle = Bundle.of(**(amounts or {"GPU": 1}))
    return PlacementPlan((bundle,) * len(node_ids), node_ids, strategy)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    directory = make_tiny_model(tmp_path_factory.mktemp("source") / "tiny")
    return source_for(str(directory)).manifest(str(directory), "org/tiny")


@pytest.fixture
def job(model: Manifest, tmp_path: Path) -> Callable[..., FetchJob]:
    """Makes jobs, each with a store of its own: the hosts of the tests share one disk."""

    def make(name: str, **changes: Any) -> FetchJob:
        store = tmp_path / f"store of {name}"
        values: dict[str, Any] = {
            "name": name,
            "manifest": model,
            "mode": NodeModelDownloadable.MODEL_AND_TOKENIZER,
            "path": str(published_path(store, model)),
            "ctx": CallbackCtx(
                llm_config=LLMConfig(model_id="org/tiny", model_source=model.source)
            ),
        }
        return FetchJob(**{**values, **changes})

    return make
