"""The driver in virtual time: exact waits, cancels at awkward moments, and what is given back."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import attrs
import pytest

from nodeinit.errors import PermanentError, TemporaryError
from nodeinit.fsm.definition import Edge, guard
from nodeinit.fsm.driver import SUPERSEDED
from nodeinit.fsm.events import Event, Occurred
from nodeinit.fsm.policy import Backoff, PhasePolicy, Policy
from nodeinit.fsm.run import Displacement
from nodeinit.testing.virtual_time import run_virtual
from tests.fsm.small import EDGES, Ctx, P, World, driver, path, small, until

STEADY = Policy(
    default=PhasePolicy(deadline=100, attempts=3, backoff=Backoff(10, 2, 60, jitter=0)),
    grace=5,
    undo_deadline=7,
    seed=1,
)


def test_the_way_to_ready_and_back() -> None:
    world = World(fetch=[3.0], build=[4.0])

    async def main() -> None:
        made = driver(world, policy=STEADY)
        running = asyncio.ensure_future(made.run())
        await until(made, "ready")
        made.post(Occurred(Event.RELEASE))
        await running
        assert ["idle", "fetch", "build", "ready", "releasing", "released"] == path(made)
        at = {step.after.state: step.at for step in made.steps if step.edge}
        assert (3.0, 7.1) == (at["build"], at["ready"])

    run_virtual(main())

    assert [] == world.held
    assert ["fetch#1", "build#1", "undo thing-1"] == world.log


def test_a_temporary_error_is_tried_again_from_the_context_the_phase_began_with() -> None:
    seen: list[Ctx] = []

    async def spy(ctx: Ctx, run: object) -> Ctx:
        seen.append(ctx)
        raise TemporaryError("not yet")

    world = World(build=[spy, spy])

    async def main() -> None:
        made = driver(world, policy=STEADY)
        asyncio.ensure_future(made.run())
        await until(made, "ready")
        retries = [s.at for s in made.steps if s.occurred.event is Event.RETRY]
        # fetch 1 s, build 0.1 s, undo 0.5 s, then the backoff of 10 s; the second one of 20 s
        assert [11.6, 32.2] == retries

    run_virtual(main())

    assert seen[0] == seen[1] == Ctx(1, ("fetch",))
    assert ["undo thing-1", "undo thing-2"] == [line for line in world.log if "undo" in line][:2]


def test_a_source_that_says_how_long_to_wait_is_waited_for() -> None:
    world = World(fetch=[TemporaryError("busy", delay=500.0)])

    async def main() -> None:
        made = driver(world, policy=STEADY)
        asyncio.ensure_future(made.run())
        await until(made, "build")
        retry = next(s for s in made.steps if s.occurred.event is Event.RETRY)
        assert 501.0 == retry.at

    run_virtual(main())


def test_tries_are_bounded_and_then_it_fails_with_the_last_reason() -> None:
    world = World(fetch=[TemporaryError(f"no {n}") for n in range(9)])

    async def main() -> None:
        made = driver(world, policy=STEADY)
        end = await made.run()
        assert "failed" == end.state
        assert end.reason is not None and "no 2" == end.reason.message
        assert 3 == sum(line.startswith("fetch") for line in world.log)

    run_virtual(main())


def test_a_permanent_error_is_not_tried_again() -> None:
    world = World(build=[PermanentError("never")])

    async def main() -> None:
        made = driver(world, policy=STEADY)
        end = await made.run()
        assert "failed" == end.state
        assert "build: never" == str(end.reason)
        assert isinstance(made.error, PermanentError)

    run_virtual(main())

    assert [] == world.held


def test_a_deadline_ends_a_hanging_activity_and_counts_as_a_try() -> None:
    world = World(fetch=[1e9, 1e9, 1e9])

    async def main() -> None:
        made = driver(world, policy=STEADY)
        end = await made.run()
        assert "failed" == end.state
        assert [100.0, 210.0, 330.0] == [
            s.at for s in made.steps if s.occurred.event is Event.ELAPSED
        ]

    run_virtual(main())


def test_an_activity_that_ignores_its_cancellation_is_abandoned_and_named() -> None:
    async def stubborn(ctx: Ctx, run: object) -> Ctx:
        for _ in range(100):
            try:
                await asyncio.sleep(1e6)
            except asyncio.CancelledError:
                continue
        return ctx

    world = World(build=[stubborn])

    async def main() -> None:
        made = driver(world, policy=STEADY)
        running = asyncio.ensure_future(made.run())
        await until(made, "build")
        await asyncio.sleep(1)
        made.post(Occurred(Event.CANCEL))
        end = await running
        assert "cancelled" == end.state
        assert "activity build may be left behind: it ignored" in end.cleanup_errors[0]

    run_virtual(main())

    assert [] == world.held


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0, 1.05, 1.6, 2.2, 5.0])
def test_cancel_at_any_moment_gives_everything_back(moment: float) -> None:
    world = World()

    async def main() -> None:
        made = driver(world, policy=STEADY)
        running = asyncio.ensure_future(made.run())
        await asyncio.sleep(moment)
        made.post(Occurred(Event.CANCEL))
        assert "cancelled" == (await running).state

    run_virtual(main())

    assert [] == world.held


def test_cancel_does_not_wait_for_a_hanging_hook() -> None:
    class Hangs:
        async def on_before_build(self, ctx: Ctx) -> None:
            await asyncio.sleep(1e9)

    async def main() -> None:
        made = driver(World(), Hangs(), policy=attrs.evolve(STEADY, hook_deadline=1e6))
        running = asyncio.ensure_future(made.run())
        await asyncio.sleep(50)
        made.post(Occurred(Event.CANCEL))
        end = await running
        assert "cancelled" == end.state
        refused = next(s for s in made.steps if not s.accepted)
        assert (Event.DONE, SUPERSEDED) == (refused.occurred.event, refused.refused)
        assert made.steps[-1].at < 60

    run_virtual(main())


def test_a_cancel_that_waits_behind_an_event_keeps_its_hooks_from_beginning() -> None:
    began = []

    class Slow:
        async def on_before_build(self, ctx: Ctx) -> None:
            began.append(ctx)
            await asyncio.sleep(50)

    async def main() -> None:
        made = driver(World(), Slow(), policy=STEADY)
        running = asyncio.ensure_future(made.run())
        await until(made, "fetch")
        done = Occurred(Event.DONE, "fetch", 1, Ctx(1))
        made.post(done)
        made.post(Occurred(Event.CANCEL))  # before the driver has looked at the other one
        assert "cancelled" == (await running).state

    run_virtual(main())

    assert [] == began


def test_an_outer_timeout_propagates_and_still_releases() -> None:
    world = World(build=[1e9])

    async def main() -> None:
        made = driver(world, policy=attrs.evolve(STEADY, default=PhasePolicy(deadline=1e12)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(20):
                await made.run()
        assert "cancelled" == made.snapshot.state

    run_virtual(main())

    assert [] == world.held


def test_cancelling_the_driver_again_and_again_does_not_cut_the_release_short() -> None:
    world = World(build=[1e9])

    async def main() -> None:
        made = driver(world, policy=STEADY)
        running = asyncio.ensure_future(made.run())
        await until(made, "build")
        await asyncio.sleep(1)
        for _ in range(8):
            running.cancel()
            await asyncio.sleep(0.1)
        with pytest.raises(asyncio.CancelledError):
            await running
        assert "cancelled" == made.snapshot.state

    run_virtual(main())

    assert [] == world.held


def test_a_cancel_before_the_first_step_ends_cancelled() -> None:
    world = World()

    async def main() -> None:
        made = driver(world, policy=STEADY)
        running = asyncio.ensure_future(made.run())
        running.cancel()  # the coroutine will never begin
        with pytest.raises(asyncio.CancelledError):
            await running
        from nodeinit.fsm.events import Reason

        end = await made.abort(Reason("cancelled", "from outside"))
        assert "cancelled" == end.state

    run_virtual(main())

    assert [] == world.held


def test_a_late_result_is_refused() -> None:
    async def late(ctx: Ctx, run: object) -> Ctx:
        try:
            await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            return attrs.evolve(ctx, n=666)  # finishes although it was stopped
        return ctx

    world = World(fetch=[late])

    async def main() -> None:
        made = driver(world, policy=STEADY)
        asyncio.ensure_future(made.run())
        await until(made, "ready")
        stale = [s for s in made.steps if s.refused and s.refused.startswith("stale")]
        assert [Event.DONE] == [s.occurred.event for s in stale]
        assert 2 == made.snapshot.ctx.n

    run_virtual(main())


def test_displacement_goes_back_once_its_holdings_are_undone() -> None:
    async def displaced(ctx: Ctx, run: object) -> Ctx:
        raise Displacement("somebody was faster", attrs.evolve(ctx, trail=(*ctx.trail, "new plan")))

    world = World(build=[displaced])

    async def main() -> None:
        made = driver(world, policy=STEADY)
        asyncio.ensure_future(made.run())
        await until(made, "ready")
        assert ["idle", "fetch", "build", "fetch", "build", "ready"] == path(made)
        assert 1 == made.snapshot.replans
        assert ("fetch", "new plan", "fetch", "build") == made.snapshot.ctx.trail

    run_virtual(main())

    assert world.log.index("undo thing-1") < world.log.index("fetch#2")


def test_endless_displacement_is_bounded() -> None:
    async def displaced(ctx: Ctx, run: object) -> Ctx:
        raise Displacement("again", ctx)

    world = World(build=[displaced] * 50)

    async def main() -> None:
        made = driver(world, policy=attrs.evolve(STEADY, replans=2))
        end = await made.run()
        assert ("failed", "displaced", 2) == (end.state, end.reason.code, end.replans)

    run_virtual(main())

    assert [] == world.held


@pytest.mark.parametrize(("heal", "then"), [(True, "ready"), (False, "failed")])
def test_a_lost_node_heals_or_fails_as_the_policy_says(heal: bool, then: str) -> None:
    world = World()

    async def main() -> None:
        made = driver(world, policy=attrs.evolve(STEADY, heal=heal))
        asyncio.ensure_future(made.run())
        await until(made, "ready")
        await asyncio.sleep(1)
        world.__dict__["lost"].set()
        await asyncio.sleep(0.2)
        await until(made, then)
        assert (["thing-2"] if heal else []) == world.held

    run_virtual(main())


def test_an_undo_that_fails_is_tried_again_and_then_visible() -> None:
    world = World(build=[PermanentError("no")])
    world.undo_script = [OSError("busy")] * 3

    async def main() -> None:
        made = driver(world, policy=STEADY)
        end = await made.run()
        assert ("failed", ()) == (end.state, end.held)
        assert ("thing thing-1 may be left behind: OSError: busy",) == end.cleanup_errors

    run_virtual(main())

    assert 3 == world.log.count("undo thing-1")


def test_an_undo_that_hangs_is_bounded() -> None:
    world = World(build=[PermanentError("no")])
    world.undo_script = [1e9, 0.5]

    async def main() -> None:
        made = driver(world, policy=STEADY)
        end = await made.run()
        assert ("failed", ()) == (end.state, end.cleanup_errors)

    run_virtual(main())

    assert [] == world.held


def test_newest_is_given_back_first() -> None:
    async def three(ctx: Ctx, run: object) -> Ctx:
        for name in ("a", "b", "c"):
            run.acquire("thing", name)  # type: ignore[attr-defined]
        await asyncio.sleep(1e9)
        return ctx

    world = World(build=[three])

    async def main() -> None:
        made = driver(world, policy=STEADY)
        running = asyncio.ensure_future(made.run())
        await until(made, "build")
        await asyncio.sleep(2)
        made.post(Occurred(Event.CANCEL))
        await running

    run_virtual(main())

    assert ["undo c", "undo b", "undo a", "undo thing-1"] == world.log[-4:]


def test_an_acquisition_after_the_end_is_refused() -> None:
    refused: list[str] = []

    async def zombie(ctx: Ctx, run: object) -> Ctx:
        try:
            await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            try:
                run.acquire("thing", "zombie")  # type: ignore[attr-defined]
            except PermanentError as error:
                refused.append(str(error))
            raise
        return ctx

    world = World(build=[zombie])

    async def main() -> None:
        made = driver(world, policy=STEADY)
        running = asyncio.ensure_future(made.run())
        await until(made, "build")
        await asyncio.sleep(2)
        made.post(Occurred(Event.CANCEL))
        end = await running
        assert () == end.held

    run_virtual(main())

    assert [
        "thing zombie was not acquired: stale: from build, but the machine is in releasing"
    ] == (refused)


@pytest.mark.parametrize("answer", [None, "garbage", 7])
def test_an_activity_that_answers_garbage_fails(answer: object) -> None:
    async def garbage(ctx: Ctx, run: object) -> object:
        return answer

    async def main() -> None:
        made = driver(World(fetch=[garbage]), policy=STEADY)
        end = await made.run()
        assert "failed" == end.state
        assert "not a context" in end.reason.message

    run_virtual(main())


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.05, 1.2, 3.0, 12.0])
@pytest.mark.parametrize("cancel_too", [True, False])
def test_a_loop_that_ends_under_a_running_machine_still_releases(
    moment: float, cancel_too: bool
) -> None:
    world = World(fetch=[TemporaryError("once")], build=[1e9])
    kept = []

    async def main() -> None:
        made = driver(world, policy=STEADY)
        kept.append(made)
        running = asyncio.ensure_future(made.run())
        await asyncio.sleep(moment)
        if cancel_too:
            running.cancel()
        # and leave it running: the end of the loop cancels every task there is

    run_virtual(main())

    if moment or not cancel_too:  # else it was cancelled before it began
        assert "cancelled" == kept[0].snapshot.state
    assert [] == world.held


def test_only_what_has_an_undo_can_be_acquired() -> None:
    async def careless(ctx: Ctx, run: object) -> Ctx:
        run.acquire("gpu", "0")  # type: ignore[attr-defined]
        return ctx

    async def main() -> None:
        end = await driver(World(fetch=[careless]), policy=STEADY).run()
        assert "fetch: gpu 0 was not acquired: the machine has no undo for 'gpu'" == str(end.reason)

    run_virtual(main())


def test_the_phases_are_those_of_the_definition() -> None:
    assert [P.FETCH, P.BUILD] == [phase.state for phase in driver(World()).core.definition.phases]


@pytest.mark.parametrize("at", [0.0, 0.5, 1.05, 3.0, 12.0])
def test_a_journal_that_cannot_be_written_fails_the_node_and_releases(
    at: float, tmp_path: Path
) -> None:
    world = World(fetch=[TemporaryError("once")])

    async def main() -> None:
        made = driver(world, policy=STEADY, journal=tmp_path / "run.jsonl")
        running = asyncio.ensure_future(made.run())
        await asyncio.sleep(at)
        os.close(made._journal._file)  # type: ignore[union-attr]
        end = await running
        assert ("failed", "journal") == (end.state, end.reason.code)

    run_virtual(main())

    assert [] == world.held


@pytest.mark.parametrize("always", [True, False])
def test_a_guard_that_raises_fails_the_node_and_releases(always: bool) -> None:
    calls = []

    @guard
    def broken(before: object, occurred: Occurred, policy: object) -> str | None:
        calls.append(occurred)
        if always or len(calls) == 1:
            raise ZeroDivisionError("in a guard")
        return None

    edges = tuple(
        attrs.evolve(edge, guards=(broken, *edge.guards))
        if edge.target == "backoff" or edge.hooks == ("on_ready",)
        else edge
        for edge in EDGES
    )
    definition = small(edges=(*edges, Edge(P.BUILD, Event.DONE, "releasing")))
    world = World()

    async def main() -> None:
        made = driver(world, policy=STEADY, definition=definition)
        if always:
            with pytest.raises(ZeroDivisionError):
                await made.run()
        else:
            end = await made.run()
            assert ("failed", "machine") == (end.state, end.reason.code)

    run_virtual(main())

    assert [] == world.held
