"""What `nodeinit run` brings up when nobody says what: a tiny real model on a small placement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodeinit.cli.cluster import Where
from nodeinit.cli.home import home

if TYPE_CHECKING:
    from nodeinit.config import LLMConfig

MODEL_ID = "demo/tiny-llama"


def demo_model() -> Path:
    """The directory of the tiny model; it is written on first use."""
    from nodeinit.download.tiny_model import make_tiny_model

    return make_tiny_model(home() / "demo" / "tiny-llama")


def demo_config(where: Where) -> LLMConfig:
    """The demo's config for a cluster: two CPU workers, or GPU workers on simulated hosts."""
    from nodeinit.config import LLMConfig

    return LLMConfig(model_id=MODEL_ID, model_source=str(demo_model()), **_workers(where))


def _workers(where: Where) -> dict[str, Any]:
    if where.hosts is None:
        # Half a CPU each, so that the smallest machine can place both.
        group = {"bundle_per_worker": {"CPU": 0.5}, "strategy": "PACK"}
        return {
            "engine_kwargs": {"tensor_parallel_size": 2},
            "accelerator_config": {"kind": "cpu"},
            "placement_group_config": group,
        }
    # SPREAD gives each stage of the pipeline a host of its own, so that there is more to see.
    stages = min(where.hosts, 2)
    sizes = {
        "tensor_parallel_size": max(1, where.gpus_per_host // 2),
        "pipeline_parallel_size": stages,
    }
    group = {"bundle_per_worker": {"GPU": 1}, "strategy": "SPREAD" if stages > 1 else "PACK"}
    return {"engine_kwargs": sizes, "placement_group_config": group}
