"""Whether the engine can start in a group, tried out before Ray does it in a way that blocks.

`VLLMEngine` has a task in the group tell it the hardware, and waits for it on the event loop of the
replica: if that task cannot be scheduled, none of the deadlines of Ray can fire.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from nodeinit.errors import PermanentError

VARIABLE = "NODEINIT_ENGINE_START_PATIENCE"
"""The environment variable for the seconds that a task in a group may take to start."""

_PATIENCE = 60.0  # seconds where it is not set; Ray takes two
_LONGER = 900.0  # seconds where packages may have to be installed for it
_INSTALLS = {"pip", "uv", "conda", "working_dir", "py_modules", "container", "image_uri", "plugins"}


def check_startable(
    group_id: str, accelerator_type: str | None, runtime_env: Mapping[str, Any] | None
) -> None:
    """Run a task as the engine's start will, with a deadline. Blocking.

    Raises `PermanentError` with the reason when it does not run.
    """
    group = PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group_id)))
    asked: dict[str, Any] = {"num_cpus": 0, "num_gpus": 0.001}
    if accelerator_type is not None:
        asked["accelerator_type"] = accelerator_type
    patience = float(os.environ.get(VARIABLE, _PATIENCE))
    if _INSTALLS & set(runtime_env or ()):
        patience = max(patience, _LONGER)
    task = ray.remote(_nothing).options(
        runtime_env=dict(runtime_env or {}),
        max_retries=0,
        scheduling_strategy=PlacementGroupSchedulingStrategy(placement_group=group),
        **asked,
    )
    listed = ", ".join(f"{name}={value}" for name, value in asked.items())
    started = None
    try:
        started = task.remote()
        done, _ = ray.wait([started], timeout=patience)
        if done:
            ray.get(done)
            return
    except (ray.exceptions.RayError, ValueError) as error:
        raise PermanentError(
            f"the engine cannot start in the placement group {group_id}: "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    ray.cancel(started)  # by force it could hit what its process runs next
    raise PermanentError(
        f"the engine cannot start: a task with {listed} was not run in the placement group "
        f"{group_id} within {patience:g} s; a bundle must have room for it"
    )


def _nothing() -> None:
    """What the task does."""
