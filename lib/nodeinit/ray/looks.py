"""A quick question to several hosts at once. Blocking calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

T = TypeVar("T")

_ANSWER = 60.0  # seconds for a host to start a process and answer


def on_hosts(question: Callable[..., T], node_ids: Sequence[str], *args: Any) -> dict[str, T]:
    """What a function answers on each host; a host that does not answer in time is left out."""
    asked = {
        node_id: ray.remote(question)
        .options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
        )
        .remote(*args)
        for node_id in node_ids
    }
    ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=_ANSWER)
    answers = {}
    for node_id, reference in asked.items():
        if reference in ready:
            try:
                answers[node_id] = ray.get(reference)
            except ray.exceptions.RayError:
                continue
    return answers
