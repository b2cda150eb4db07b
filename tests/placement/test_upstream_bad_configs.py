"""Configs that Ray Serve LLM takes and that can never serve: refused before anything is reserved.

Some are refused when they are read, some when the request is made of them, some only on a cluster
that has no room for them; each with the place, the value and a way out.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from nodeinit import InitializationFailed, initialize_node
from nodeinit.cli.main import cli
from nodeinit.clusters.simulated import SimCluster, sim_host
from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError
from nodeinit.fsm.executor import InlineExecutor
from nodeinit.placement.snapshot_file import snapshot_text
from nodeinit.placement.topology import ClusterSnapshot
from nodeinit.testing.virtual_time import run_virtual
from tests.placement.upstream import derive, own_ray, skip_without_upstream
from tests.shared_ray import Layout

GROUP = "placement_group_config.bundles"
TP = "engine_kwargs.tensor_parallel_size"


@attrs.frozen
class Bad:
    """A config, the exit code of `nodeinit plan`, and what it must say."""

    tp: int
    group: dict[str, Any] | None
    code: int
    place: str
    why: str
    remedy: str

    def data(self, model_source: str = "/models/m") -> dict[str, Any]:
        return {
            "model_loading_config": {"model_id": "m", "model_source": model_source},
            "engine_kwargs": {"tensor_parallel_size": self.tp},
            **({"placement_group_config": self.group} if self.group else {}),
        }


BAD: dict[str, Bad] = {
    "one bundle for four workers": Bad(
        4,
        {"bundles": [{"GPU": 1}]},
        2,
        f"{GROUP} = 1 with a GPU",
        "are too few for the 4 workers of tensor_parallel_size=4",
        "list 4, or lower the sizes",
    ),
    "no bundles": Bad(1, {"bundles": []}, 2, GROUP, "has no bundle", "list one bundle per worker"),
    "a misspelt GPU": Bad(
        1, {"bundles": [{"gpu": 1}]}, 2, f"{GROUP}[0].gpu", "is not how Ray spells", "GPU"
    ),
    "ten thousand GPUs in a bundle": Bad(
        1,
        {"bundles": [{"GPU": 10_000}]},
        2,
        f"{GROUP}[0].GPU = 10000",
        "is more than the one GPU that a worker runs on",
        "write one bundle for each worker",
    ),
    "ten thousand GPUs": Bad(
        10_000, None, 3, "tensor_parallel_size=10000", "needs 10000 GPUs", "the largest host has 2"
    ),
    "three on one host of two": Bad(
        3,
        {"bundles": [{"GPU": 1}] * 3, "strategy": "STRICT_PACK"},
        3,
        "(STRICT_PACK)",
        "needs 3 GPUs on one host",
        "fits with tensor_parallel_size=1, pipeline_parallel_size=3, strategy=PACK",
    ),
    "different shares": Bad(
        1,
        {"bundles": [{"GPU": 0.5}, {"GPU": 1}]},
        2,
        f"{GROUP} = 0.5, 1",
        "ask for different shares of a GPU",
        "give all the same",
    ),
    "no workers": Bad(0, None, 2, f"{TP} = 0", "is less than 1", "write a whole number, 1 or more"),
    "minus one worker": Bad(
        -1, None, 2, f"{TP} = -1", "is less than 1", "write a whole number, 1 or more"
    ),
}

bad = pytest.mark.parametrize("case", BAD.values(), ids=BAD)


def config_of(case: Bad, model_source: str = "/models/m") -> LLMConfig | None:
    """The config; `None` where reading it says why there is none."""
    try:
        return LLMConfig.from_dict(case.data(model_source))
    except ConfigError as error:
        check_told(case, str(error))
        return None


def check_told(case: Bad, said: str) -> None:
    said = re.sub(r" \(line \d+\)", "", said)
    for part in (case.place, case.why, case.remedy):
        assert part in said


@pytest.mark.ray
@pytest.mark.timeout(180)
def test_ray_takes_them_all() -> None:
    skip_without_upstream()
    with own_ray():
        reserved = {name: derive(case.data()).reserved for name, case in BAD.items()}
    assert all(reserved.values())
    # Of some of them Ray reserves no GPU at all, and says nothing.
    without_gpu = {name for name, found in reserved.items() if not any("GPU" in b for b in found)}
    assert without_gpu == {"no bundles", "a misspelt GPU", "no workers", "minus one worker"}


@bad
@pytest.mark.parametrize("workers_only", [False, True])
def test_the_program_refuses_it(case: Bad, workers_only: bool, tmp_path: Path) -> None:
    path, cluster = tmp_path / "bad.yaml", tmp_path / "cluster.json"
    path.write_text(json.dumps(case.data()))
    hosts = ClusterSnapshot(tuple(sim_host(name, GPU=2, CPU=8) for name in "abcd"))
    cluster.write_text(snapshot_text(hosts))
    options = ["--workers-only"] if workers_only else []
    result = CliRunner().invoke(cli, ["plan", str(path), "--cluster", str(cluster), *options])
    assert result.exit_code == case.code
    said = result.stderr if case.code == 2 else result.stdout
    check_told(case, said)
    if case.code == 2:
        assert f"Error: {path}: " in said
        assert result.stdout == ""


@bad
def test_the_machine_refuses_it(case: Bad) -> None:
    config = config_of(case)
    if config is None:
        return
    sim = SimCluster([sim_host(name, GPU=2, CPU=8) for name in "abcd"], latency=0.001)
    check_told(case, run_virtual(refusal(config, sim, executor=InlineExecutor())))
    assert "reserve" not in sim.calls
    assert sim.groups == {}


async def refusal(config: LLMConfig, cluster: Any, **options: Any) -> str:
    """Why a node does not come up. It is the first thing that it finds: no model is looked at."""
    with pytest.raises(InitializationFailed) as caught:
        await initialize_node(config, cluster=cluster, **options)
    assert caught.value.reason.phase == "config"
    return str(caught.value)


# A Ray of two hosts with two GPUs each, on which there never was a group.
SMALL = pytest.mark.parametrize(
    "shared", [pytest.param(Layout(hosts=2, gpus=2), id="")], indirect=True, scope="session"
)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(180)
@SMALL
@bad
def test_on_ray_no_group_is_ever_made(case: Bad, shared: Any, tmp_path: Path) -> None:
    from ray.util import placement_group_table

    config = config_of(case, str(tmp_path / "no model"))
    if config is None:
        return
    check_told(case, asyncio.run(refusal(config, shared)))
    assert placement_group_table() == {}  # where Ray keeps even those that were removed
