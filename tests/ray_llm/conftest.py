"""One Ray and one Serve for all tests of this folder that need the real `ray.serve.llm`."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import ray

from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.ray import RayCluster
from tests.ray_llm import left, sources

ROOT = Path(__file__).parents[2]
TOKEN = "hf_" + "n0tForAnybodysEyes" * 2
ENVIRONMENT = {
    "HF_TOKEN": TOKEN,
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "OMP_NUM_THREADS": "1",  # two engines on two cores: threads that spin would starve each other
    "RAY_SERVE_RUN_SYNC_IN_THREADPOOL": "0",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    missing = importlib.util.find_spec("vllm") is None
    for item in items:
        if here not in item.path.parents:
            continue
        if item.get_closest_marker("llm"):
            item.add_marker(pytest.mark.timeout(240))
            if missing:
                item.add_marker(pytest.mark.skip(reason="vLLM is not installed; see .ci/llm"))


@attrs.frozen
class Serving:
    """A Ray with Serve on a free port: `mark` is what its processes carry."""

    port: int
    mark: str
    store: Path
    before: frozenset[int]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    from ray import serve
    from ray.serve.config import HTTPOptions

    mark, store = uuid.uuid4().hex, tmp_path_factory.mktemp("models") / "store"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv(left.MARK, mark)
        patch.setenv("NODEINIT_STORE", str(store))
        patch.setenv("PYTHONPATH", path)
        # Several hosts, each with fake GPUs, so that other tests can use this Ray too.
        cluster = RayCluster.simulated(2, gpus_per_host=4, cpus_per_host=4)
        port = free_port()
        serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
        yield Serving(port, mark, store, frozenset(left.processes(mark)))
        serve.shutdown()
        asyncio.run(cluster.close())


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("source") / "tiny")


@pytest.fixture
def web(tiny: Path) -> Iterator[sources.Model]:
    """The tiny model on a web server: no engine would look there."""
    with sources.serving(tiny) as model:
        yield model


def llm_config(source: str, *, model_id: str = "tiny", **changes: Any) -> Any:
    """A config of `ray.serve.llm` for one CPU worker, as a user writes it."""
    from ray.serve.llm import LLMConfig

    values: dict[str, Any] = {
        "model_loading_config": {"model_id": model_id, "model_source": source},
        "accelerator_config": {"kind": "cpu"},
        "placement_group_config": {"bundles": [{"CPU": 1}]},
        "engine_kwargs": {"enforce_eager": True, "max_model_len": 256, "max_num_seqs": 4},
        "log_engine_metrics": False,
        "callback_config": {"callback_class": "nodeinit.ray.llm:NodeInitCallback"},
    }
    return LLMConfig(**{**values, **changes})


def with_callback(callback: str, **options: Any) -> dict[str, Any]:
    """A `callback_config` with a callback of a user in ours."""
    kwargs = {"callback": callback, **options}
    return {"callback_class": "nodeinit.ray.llm:NodeInitCallback", "callback_kwargs": kwargs}


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """A Ray of two hosts with four GPUs each; that of other tests, if there is one."""
    if ray.is_initialized():
        cluster = RayCluster.connect()
    else:
        cluster = RayCluster.simulated(2, gpus_per_host=4, cpus_per_host=4)
    yield cluster
    asyncio.run(cluster.close())


@pytest.fixture(scope="module")
def hosts(cluster: RayCluster) -> list[str]:
    """The node ids of two hosts with GPUs."""
    snapshot = asyncio.run(cluster.snapshot())
    return [host.node_id for host in snapshot.alive if host.free("GPU")][:2]


@pytest.fixture
def nothing_left(hosts: list[str], tmp_path: Path) -> Iterator[None]:
    """After each test: no group or GPU, no note of ours, and nobody uses or stages a model."""
    before, free = left.groups(), left.free_gpus(hosts)
    yield
    assert left.settles(left.groups, before) == before
    # Of a test before this one some may just have come back.
    assert left.settles(lambda: left.fewer(free, left.free_gpus(hosts)), {}) == {}
    assert left.settles(left.notes, []) == []
    assert left.settles(lambda: left.users(tmp_path / "store"), []) == []


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"
