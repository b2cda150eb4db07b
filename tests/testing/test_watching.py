"""What the harness is made of: clocks and chance inside hooks, and a loop that is blocked."""

from __future__ import annotations

import asyncio
import random
import sys
import time

import pytest
import ray
import ray.util

from nodeinit import CallbackCtx, PermanentError
from nodeinit.testing import Scenario, check_callback
from nodeinit.testing.harness import Harness
from nodeinit.testing.outside import LINES
from nodeinit.testing.virtual_time import VirtualLoop, run_virtual
from tests.testing import elsewhere


class Clock:
    seen: list[float]

    def on_before_init(self, ctx: CallbackCtx) -> None:
        type(self).seen = [time.monotonic(), random.random()]
        time.sleep(3)
        self.seen.append(time.monotonic())


def test_hooks_see_virtual_time_and_everybody_else_the_real_one() -> None:
    before = random.getstate()
    with Harness(Clock) as harness:
        trace = harness.run(Scenario())
        assert time.monotonic() > 1.0
        first = Clock.seen
        harness.run(Scenario())
    assert [] == trace.breaches
    assert (0.0, 3.0) == (first[0], first[2])
    assert first == Clock.seen, "chance begins anew with every run"
    assert before == random.getstate()
    assert 3.0 == trace.driver.steps[0].at


def test_everything_is_given_back() -> None:
    names = [(ray, "nodes"), (ray.util, "placement_group"), (time, "sleep"), (time, "time")]
    real = [getattr(owner, name) for owner, name in names]
    with Harness("tests.testing.bugs:LeaksItsGroup"):
        assert ray.util.placement_group is not real[1]
    assert real == [getattr(owner, name) for owner, name in names]
    assert sys.gettrace() is None


def test_every_host_has_an_instance_of_its_own() -> None:
    made: list[object] = []

    class Counts:
        def __init__(self) -> None:
            made.append(self)

        def on_before_init(self, ctx: CallbackCtx) -> None:
            pass

        def on_node_download(self, ctx: CallbackCtx, node_id: str) -> None:
            pass

    with Harness(Counts) as harness:
        made.clear()
        harness.run(Scenario((2, 2), 2, 2))
    assert 3 == len(made)


class ImportsALot:
    def on_before_init(self, ctx: CallbackCtx) -> None:
        elsewhere.imports(2 * LINES)


class SpinsElsewhere:
    def on_before_init(self, ctx: CallbackCtx) -> None:
        elsewhere.spins()


def test_an_import_of_millions_of_lines_is_no_hang_and_what_never_ends_there_is_one() -> None:
    with Harness(ImportsALot) as harness:
        assert [] == harness.run(Scenario()).breaches
    with Harness(SpinsElsewhere) as harness, harness.hastily():
        assert {"H4-hang"} == {breach.check for breach in harness.run(Scenario()).breaches}


def test_what_runs_in_a_thread_runs_at_once_and_its_error_comes_back() -> None:
    def fails() -> None:
        raise KeyError("there")

    async def main() -> int:
        with pytest.raises(KeyError):
            await asyncio.to_thread(fails)
        return await asyncio.to_thread(lambda: 7)

    assert 7 == run_virtual(main())


def test_a_loop_that_is_blocked_says_for_how_long() -> None:
    loop = VirtualLoop()

    async def main() -> float:
        loop.advance(2.5)
        await asyncio.sleep(1)
        return loop.time()

    assert 3.5 == run_virtual(main(), loop=loop)
    assert 2.5 == loop.advanced
    loop.reset()
    assert (0.0, 0.0) == (loop.time(), loop.advanced)
    loop.close()


@pytest.mark.parametrize(
    "text",
    [
        '{"gpus":[2,2],"pp":2,"acts":[{"at":7.043,"what":"cancel","rounds":1}]}',
        '{"gpus":[4,4],"tp":1,"pp":2,"faults":[{"op":"remove","kind":"slow"}],'
        '"acts":[{"at":20.0,"what":"kill","node_id":"b"}]}',
    ],
)
def test_scenarios_in_which_the_laws_were_once_wrong(text: str) -> None:
    """One of two fetches ends by itself while both are stopped; a lost group goes slowly."""
    with Harness(Clock) as harness:
        assert [] == harness.run(Scenario.from_json(text)).breaches


class FindsItByName:
    """Gives its own group back by the handle that Ray finds for its name."""

    def on_before_init(self, ctx: CallbackCtx) -> None:
        self.group = ray.util.placement_group([{"GPU": 1}], name="mine")
        raise PermanentError("it was only a try")

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        ray.util.remove_placement_group(ray.util.get_placement_group("mine"))


def test_a_group_is_given_back_by_any_of_its_handles() -> None:
    report = check_callback(FindsItByName, scenarios=[Scenario((2,), 2, 1)], on_fail="return")

    assert report.ok, report.text()
