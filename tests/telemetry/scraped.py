"""What Prometheus would collect of two nodes that come up here one after the other.

    python -m tests.telemetry.scraped PORT DIRECTORY

Starts a Ray of its own.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
import urllib.request
from pathlib import Path

import ray

from nodeinit import LLMConfig, NodeInitializer
from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.ray import RayCluster
from nodeinit.telemetry import observe

SECONDS = 60
BOTH = re.compile(r"^ray_nodeinit_outcomes_total{.*released.*} 2", re.MULTILINE)


async def bring_up(model: Path, store: Path) -> None:
    config = LLMConfig(
        model_id="org/tiny",
        model_source=str(model),
        placement_group_config={"bundles": [{"CPU": 1}]},
        nodeinit={"store": str(store)},
    )
    node = NodeInitializer(config, cluster=RayCluster())
    observe(node)
    async with node:
        await node.wait_for("ready")


def main(port: int, directory: Path) -> None:
    ray.init(
        address="local",
        num_cpus=2,
        log_to_driver=False,
        include_dashboard=False,
        _metrics_export_port=port,
    )
    try:
        for _ in range(2):  # the second one finds the files
            asyncio.run(bring_up(make_tiny_model(directory / "tiny"), directory / "store"))
        text, deadline = "", time.monotonic() + SECONDS
        while not BOTH.search(text) and time.monotonic() < deadline:
            time.sleep(1)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                    text = answer.read().decode()
            except OSError:
                continue
        print("\n".join(line for line in text.splitlines() if "nodeinit" in line))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
