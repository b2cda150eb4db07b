"""Starts of engines, as tests try them: a group as Serve makes it, a replica in it, a config."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.util import placement_group, remove_placement_group

from nodeinit.placement.labels import NODE_ID
from tests.ray_llm.conftest import TOKEN
from tests.ray_llm.replicas import replica
from tests.ray_llm.theirs import config

HOOKS = "tests.ray_llm.hooks"


@contextlib.contextmanager
def served(bundles: list[dict[str, float]], hosts: list[str] | None = None) -> Iterator[Any]:
    """A group as Serve makes one for a replica, before that is there."""
    pins = [{NODE_ID: host} for host in hosts] if hosts else None
    group = placement_group(bundles, bundle_label_selector=pins, name="SERVE_REPLICA::a")
    try:
        yield group
    finally:
        remove_placement_group(group)


@contextlib.contextmanager
def running(group: Any, **env: str) -> Iterator[Any]:
    """A replica in a group, or by itself on a host, with the token in its environment."""
    actor = replica(group, {"HF_TOKEN": TOKEN, **env})
    try:
        yield actor
    finally:
        ray.kill(actor)


def for_gpus(source: Any, store: Path, *, callback: str | None = None, **changes: Any) -> Any:
    """A config for as many GPUs as it says, with a callback of a user."""
    nodeinit = {"store": str(store), "attempts": {"config": 1}, **changes.pop("nodeinit", {})}
    kwargs = changes.pop("kwargs", {}) | ({"callback": callback} if callback else {})
    return config(
        str(source) if isinstance(source, Path) else source,
        experimental_configs={"nodeinit": nodeinit},
        callback_config={
            "callback_class": "nodeinit.ray.llm:NodeInitCallback",
            "callback_kwargs": kwargs,
            **changes.pop("callback_config", {}),
        },
        **changes,
    )


def tp(size: int) -> dict[str, Any]:
    return {"engine_kwargs": {"tensor_parallel_size": size}}


def start(actor: Any, given: Any) -> dict[str, Any]:
    result: dict[str, Any] = ray.get(actor.start.remote(given))
    return result


def fails(actor: Any, given: Any, match: str) -> str:
    with pytest.raises(Exception, match=match) as failure:
        start(actor, given)
    assert TOKEN not in str(failure.value)
    return str(failure.value)
