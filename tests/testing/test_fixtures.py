"""The fixtures of the pytest plugin, as an author's tests use them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nodeinit.clusters.simulated import SimCluster, SimFault
from nodeinit.testing import Act, Scenario, finally_
from nodeinit.testing import run_scenario as run
from nodeinit.testing.plugin import run_scenario, sim_cluster, virtual_loop
from nodeinit.testing.virtual_time import VirtualLoop
from tests.testing import bugs, correct
from tests.testing.test_plugin import QUIET

pytest_plugins = ("pytester",)
__all__ = ["run_scenario", "sim_cluster", "virtual_loop"]  # from here, so that none is installed


def test_a_wait_of_an_hour_takes_no_time(virtual_loop: VirtualLoop) -> None:
    async def main() -> float:
        await asyncio.sleep(3_600)
        return asyncio.get_running_loop().time()

    assert 3_600 == virtual_loop.run_until_complete(main())
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_what_runs_on_is_ended_with_the_test() -> None:
    made = virtual_loop.__wrapped__()  # type: ignore[attr-defined]
    loop = next(made)
    seen = []

    async def for_ever() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            seen.append("cancelled")

    async def main() -> None:
        loop.kept = asyncio.ensure_future(for_ever())
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert [] == [*made]
    assert ["cancelled"] == seen
    assert loop.is_closed()


def test_a_cluster_of_any_shape(
    sim_cluster: Callable[..., SimCluster], virtual_loop: VirtualLoop
) -> None:
    cluster = sim_cluster(8, 4, 0)
    snapshot = virtual_loop.run_until_complete(cluster.snapshot())

    assert [("a", 80_000), ("b", 40_000), ("c", 0)] == [
        (host.node_id, host.total.get("GPU", 0)) for host in snapshot.hosts
    ]
    assert ["a", "b"] == [*sim_cluster().hosts]
    failing = sim_cluster(1, faults=[SimFault("snapshot", "crash")])
    with pytest.raises(RuntimeError, match="snapshot crashed"):
        virtual_loop.run_until_complete(failing.snapshot())


def test_a_scenario_is_run_and_looked_at(run_scenario: Callable[..., Any]) -> None:
    trace = run_scenario(correct.Asks, Scenario(acts=(Act(20.0, "kill", "a"),)))

    assert trace.states.count("ready") == 2
    assert trace.end.ctx.extra_init_kwargs["seed"] == 7
    assert trace.end.ctx.attempt == 2


def test_a_broken_law_fails_with_its_report(run_scenario: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError, match=r"ReturnsDict breaks H1-return: (.|\n)*--scenario"):
        run_scenario(bugs.ReturnsDict)
    trace = run_scenario(bugs.ReturnsDict, may_break=True)
    assert "H1-return" in {breach.check for breach in trace.breaches}


def test_it_is_a_function_too() -> None:
    @finally_(state="ready")
    def never(ctx: Any) -> None:
        raise AssertionError("not this time")

    with pytest.raises(AssertionError, match=r"prop:never(.|\n)*not this time"):
        run(correct.Nothing, properties=[never])
    assert "released" == run(correct.Nothing).end.state


ASYNC = """
import asyncio
import pytest
from nodeinit.testing import Scenario

class Good:
    async def on_before_init(self, ctx):
        await asyncio.sleep(5)

def test_sync(sim_cluster, virtual_loop, run_scenario):
    assert virtual_loop.run_until_complete(sim_cluster().snapshot()).hosts
    assert run_scenario(Good, Scenario()).end.state == "released"

@pytest.mark.anyio
async def test_anyio(sim_cluster, anyio_backend):
    assert len((await sim_cluster(1).snapshot()).hosts) == 1
    assert asyncio.get_running_loop().time() > 0

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def test_beside_anyio(pytester: pytest.Pytester) -> None:
    pytest.importorskip("anyio")
    pytester.makepyfile(ASYNC)
    result = pytester.runpytest_inprocess(*QUIET, "-p", "anyio", "-W", "error::ResourceWarning")

    result.assert_outcomes(passed=2)
