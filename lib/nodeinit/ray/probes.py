"""Which GPUs a process in each bundle of a group sees, asked from inside.

Ray fixes them when it commits a group and lists them nowhere. So a task goes into each bundle that
has a GPU, takes all that the bundle has of it, says which it sees, and ends.
"""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from nodeinit.errors import TemporaryError
from nodeinit.placement.topology import Placement, reported
from nodeinit.ray import groups
from nodeinit.ray.polling import Call, seen
from nodeinit.ray.shield import clean_up

_DEADLINE = 60.0  # seconds for a process to start in every bundle and to answer


async def probe(call: Call, placement: Placement) -> Placement:
    """See `Cluster.probe`."""
    starting = asyncio.ensure_future(call(_start, placement))
    try:
        started: dict[int, Any] = await asyncio.shield(starting)
        answers = {
            index: seen(asyncio.wrap_future(reference.future()))
            for index, reference in started.items()
        }
        if answers:
            await asyncio.wait(answers.values(), timeout=_DEADLINE)
        ids = {index: _answered(placement, index, answer) for index, answer in answers.items()}
    finally:
        await clean_up(_end(call, starting), "ending the probes")
    bundles = (attrs.evolve(b, gpu_ids=ids.get(b.index)) for b in placement.bundles)
    return attrs.evolve(placement, bundles=tuple(bundles))


def _answered(
    placement: Placement, index: int, answer: asyncio.Future[tuple[str, ...]]
) -> tuple[str, ...]:
    """The GPUs that a bundle's task saw. Raises `TemporaryError` when it did not say."""
    if answer.done() and answer.exception() is None:
        return answer.result()
    why = f"no answer within {_DEADLINE:g} s"
    if answer.done():
        why = " ".join(str(answer.exception()).split())
    node_id = placement.bundles[index].node_id
    raise TemporaryError(
        f"the GPUs of bundle {index} of {placement.name} on host {node_id} are not known: {why}"
    )


def _start(placement: Placement) -> dict[int, Any]:
    """Start a task in every bundle that has a GPU; answers their references, by bundle."""
    look = ray.remote(_look)
    group = groups.handle(placement.group_id)
    return {
        bundle.index: look.options(
            num_cpus=0,
            num_gpus=groups.exact(reported(bundle.resources["GPU"])),
            max_retries=0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, bundle.index),
        ).remote()
        for bundle in placement.bundles
        if bundle.resources.get("GPU")
    }


def _look() -> tuple[str, ...]:
    return tuple(ray.get_runtime_context().get_accelerator_ids().get("GPU", ()))


async def _end(call: Call, starting: asyncio.Future[dict[int, Any]]) -> None:
    """See to it that no probe runs on; those that have ended are not touched."""
    await asyncio.wait({starting})
    if not starting.cancelled() and starting.exception() is None:
        await call(_cancel, list(starting.result().values()))


def _cancel(references: list[Any]) -> None:
    _, running = ray.wait(references, num_returns=len(references), timeout=0)
    for reference in running:
        # Not by force: that ends the process, which may have the next probe by the time it hears it.
        ray.cancel(reference)
