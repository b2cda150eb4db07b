"""Ray Serve on the shared Ray, for all tests of this folder that run in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray import serve

from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.ray import RayCluster
from nodeinit.ray.serve import startupz
from tests.ray.conftest import at_rest
from tests.ray_serve.serving import Serving, free_port
from tests.shared_ray import GPUS, HOSTS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.path.name != "test_parts.py":
            item.add_marker(pytest.mark.ray)
            item.add_marker(pytest.mark.timeout(180))


@pytest.fixture(scope="package")
def started(shared: RayCluster) -> Iterator[Serving]:
    """Serve on a free port of the loopback, with the application that answers for the others."""
    assert shared.hosts is not None
    port = free_port()
    # The hosts are one machine here: proxies on all of them would share the port, and those of hosts
    # that a replica has left reset connections.
    serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
    serve.run(startupz(), name="startupz", route_prefix="/startupz")
    yield Serving(port, shared)
    serve.shutdown()


@pytest.fixture
def serving(started: Serving) -> Iterator[Serving]:
    """Serve with no application of a test's, and all GPUs free: before the test, and again after."""
    hosts = started.cluster.hosts
    assert hosts is not None
    lacking = HOSTS - len(hosts.node_ids)
    if lacking > 0:
        hosts.add_hosts(lacking)
    yield started
    for app in set(serve.status().applications) - {"startupz"}:
        serve.delete(app)
    groups, free = asyncio.run(at_rest(started.cluster))
    assert (groups, free) == ([], len(hosts.node_ids) * GPUS)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model in a directory."""
    return make_tiny_model(tmp_path_factory.mktemp("source") / "tiny")
