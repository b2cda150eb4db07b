"""The embedding API: what a user holds, sees and may do at any moment."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from nodeinit import (
    CallbackCtx,
    ConfigError,
    InitializationCancelled,
    InitializationFailed,
    NodeInitializer,
    TemporaryError,
    initialize_node,
    initialize_node_sync,
    load_machine,
    replay,
)
from nodeinit.clusters.base import Cluster
from nodeinit.clusters.simulated import SimFault
from nodeinit.errors import JournalError
from nodeinit.fsm.executor import Executor, InlineExecutor, ThreadExecutor
from nodeinit.fsm.snapshot import Step
from nodeinit.placement.topology import Bundle
from nodeinit.testing.virtual_time import run_virtual
from tests.node.bring_up import cluster, initializer, llm_config, states


def test_one_call_brings_a_node_up() -> None:
    async def main() -> None:
        sim = cluster()
        ready = await initialize_node(llm_config(), cluster=sim, executor=InlineExecutor())
        assert 2 == len(ready.placement.bundles)
        assert ready.model.path.endswith(ready.model.revision)
        assert {"a"} == set(ready.ctx.nodes)
        assert 1 == len(sim.groups)
        await ready.release()
        await ready.release()
        assert [] == sim.leftovers()

    run_virtual(main())


def test_a_journal_that_cannot_be_written_starts_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.jsonl").touch()
    started: list[Executor] = []

    async def start(executor: Executor) -> Cluster:
        started.append(executor)
        return cluster()

    monkeypatch.setattr("nodeinit.node.initializer._default_cluster", start)
    with pytest.raises(JournalError, match=r"run\.jsonl: exists already"):
        initialize_node_sync(llm_config(), journal=tmp_path / "run.jsonl")
    assert [] == started


def test_a_cluster_that_cannot_be_reached_leaves_the_journal_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(executor: Executor) -> Cluster:
        raise TemporaryError("nobody is there")

    monkeypatch.setattr("nodeinit.node.initializer._default_cluster", start)
    with pytest.raises(TemporaryError, match="nobody is there"):
        initialize_node_sync(llm_config(), journal=tmp_path / "run.jsonl")
    assert tmp_path / "run.jsonl" not in {fd.resolve() for fd in Path("/proc/self/fd").iterdir()}


def test_the_block_releases_however_it_is_left() -> None:
    sim = cluster()

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with initializer(llm_config(), sim) as node:
                await node.wait_for("ready")
                raise ZeroDivisionError
        assert "released" == node.state
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005), initializer(llm_config(), sim) as node:
                await node.wait_for("ready")
        assert "cancelled" == node.state

    run_virtual(main())

    assert [] == sim.leftovers()


@pytest.mark.parametrize("cancels", [1, 2, 5])
def test_cancelling_the_task_that_holds_the_node_still_releases(cancels: int) -> None:
    sim = cluster()

    async def hold() -> None:
        async with initializer(llm_config(), sim) as node:
            await node.wait_for("ready")
            await asyncio.sleep(1e6)

    async def main() -> None:
        task = asyncio.ensure_future(hold())
        await asyncio.sleep(30)
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())

    assert [] == sim.leftovers()


def test_cancel_and_release_answer_when_all_is_given_back() -> None:
    async def main() -> None:
        sim = cluster(8, 8, faults=[SimFault("fetch", "slow", seconds=50)])
        async with initializer(llm_config(), sim) as node:
            await node.wait_for("download")
            waiting = asyncio.ensure_future(node.wait_for("ready"))
            end = await node.cancel("changed my mind")
            assert ("cancelled", "changed my mind") == (end.state, end.reason.message)  # type: ignore[union-attr]
            with pytest.raises(InitializationCancelled, match="changed my mind"):
                await waiting
            assert [] == sim.leftovers()
            assert end == await node.release() == await node.cancel()

        async with initializer(llm_config(), cluster()) as node:
            both = await asyncio.gather(node.release(), node.cancel())
            assert {"cancelled"} == {end.state for end in both}

    run_virtual(main())


def test_waiting_for_a_state_that_came_and_went() -> None:
    async def main() -> None:
        async with initializer(llm_config()) as node:
            seen = await asyncio.gather(
                *(node.wait_for(s) for s in ("config", "download", "ready"))
            )
            assert ["config", "download", "ready"] == [snapshot.state for snapshot in seen]

    run_virtual(main())


def test_a_failure_says_why_and_names_the_journal(tmp_path: Path) -> None:
    where = tmp_path / "run.jsonl"

    async def main() -> None:
        with pytest.raises(InitializationFailed) as caught:
            await initialize_node(
                llm_config(), cluster=cluster(1, 1), journal=where, executor=InlineExecutor()
            )
        assert "infeasible" == caught.value.reason.code
        assert f"(journal: {where})" in str(caught.value)

    run_virtual(main())

    again = replay(where, load_machine("node_init"))
    assert again.snapshot and "failed" == again.snapshot.state


def test_subscribers_get_every_step_in_order_and_cannot_hurt() -> None:
    heard: list[Step] = []
    slow: list[str] = []

    async def slowly(step: Step) -> None:
        await asyncio.sleep(0.5)
        slow.append(step.after.state)

    def fails(step: Step) -> None:
        raise RuntimeError("a subscriber's own bug")

    async def main() -> NodeInitializer:
        node = initializer(llm_config())
        for subscriber in (heard.append, slowly, fails):
            node.subscribe(subscriber)
        stop = node.subscribe(lambda step: pytest.fail("it was unsubscribed"))
        stop()
        async with node:
            await node.wait_for("ready")
        return node

    node = run_virtual(main())

    assert list(node.steps) == heard
    assert slow == [step.after.state for step in heard][: len(slow)]
    assert 0 < len(slow) < len(heard), "the node did not wait for it"


def test_progress_is_told() -> None:
    reports: list[Any] = []

    async def main() -> None:
        node = initializer(llm_config())
        node.subscribe_progress(reports.append)
        async with node:
            await node.wait_for("ready")

    run_virtual(main())

    assert reports
    assert all(0 <= r.done <= r.total for r in reports)
    assert reports[-1].done == reports[-1].total


def test_a_node_is_brought_up_once() -> None:
    async def main() -> None:
        async with initializer(llm_config()) as node:
            with pytest.raises(RuntimeError, match="brings up one node"):
                await node.__aenter__()

    run_virtual(main())


def test_before_the_start_everything_can_be_asked() -> None:
    node = initializer(llm_config())

    assert ("idle", (), None) == (node.state, node.steps, node.journal)
    assert "The node has not been started." == node.explain()
    assert 1 == node.ctx.attempt


def test_a_driver_that_is_cancelled_before_its_first_step_ends_all_the_same() -> None:
    async def main() -> None:
        sim = cluster()
        node = initializer(llm_config(), sim)
        await node.__aenter__()
        assert node._running is not None
        node._running.cancel()
        with pytest.raises(InitializationCancelled):
            await node.wait_for("ready")
        await node.__aexit__(None, None, None)
        assert "cancelled" == node.state

    run_virtual(main())


def test_settings_of_a_phase_that_does_not_exist_are_refused() -> None:
    config = llm_config(nodeinit={"deadlines": {"downlod": 5}})

    with pytest.raises(ConfigError, match=r"deadlines\.downlod: .* did you mean 'download'\?"):
        initializer(config, policy=None)


def test_settings_change_the_policy() -> None:
    settings = {"deadlines": {"download": 5}, "attempts": {"download": 1}, "replans": 0, "seed": 9}
    node = initializer(llm_config(nodeinit=settings), policy=None)

    assert (5, 1) == (node.policy.of("download").deadline, node.policy.of("download").attempts)
    assert (0, 9) == (node.policy.replans, node.policy.seed)


class Blocking:
    """A callback whose hooks block their thread; there is a loop running all the while."""

    def __init__(self) -> None:
        self.threads: set[str] = set()

    def on_before_init(self, ctx: CallbackCtx) -> None:
        self.threads.add(threading.current_thread().name)

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        self.threads.add(threading.current_thread().name)


def test_the_blocking_twin() -> None:
    callback = Blocking()
    sim = cluster()
    with initialize_node_sync(llm_config(callback), cluster=sim) as ready:
        assert ready.placement.bundles and ready.model.path and ready.ctx.nodes
    ready.release()

    assert [] == sim.leftovers()
    assert "MainThread" not in callback.threads

    with pytest.raises(InitializationFailed, match="on one host"):
        initialize_node_sync(llm_config(callback), cluster=cluster(1))


def test_the_default_executor_runs_hooks_beside_the_loop() -> None:
    async def main() -> NodeInitializer:
        async with initializer(llm_config(Blocking()), executor=ThreadExecutor()) as node:
            await node.wait_for("ready")
        return node

    assert "ready" in states(asyncio.run(main()))


def test_what_does_not_fit_now_is_waited_for_and_then_called_infeasible() -> None:
    async def main() -> None:
        sim = cluster(2)
        busy = sim.make_group([Bundle.of(GPU=1)], ["a"], name="somebody")
        async with initializer(llm_config(), sim) as node:
            await node.wait_for("backoff")
            assert "somebody" in node.explain()
            sim.groups.pop(busy.name)
            await node.wait_for("ready")

        sim = cluster(2)
        sim.make_group([Bundle.of(GPU=1)], ["a"], name="somebody")
        async with initializer(llm_config(), sim) as node:
            with pytest.raises(InitializationFailed) as caught:
                await node.wait_for("ready")
        assert ("infeasible", True) == (caught.value.reason.code, caught.value.reason.temporary)
        assert 3 == sum(step.after.state == "config" for step in node.steps if step.edge)

    run_virtual(main())


def test_no_secret_gets_into_a_journal_an_error_or_an_explanation(tmp_path: Path) -> None:
    secret = "hf_abcdefghijklmnopqrstuvwxyz"
    where = tmp_path / "run.jsonl"

    class Leaks:
        def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
            return ctx.evolve(
                custom_data={"api_token": secret, "url": f"https://u:{secret}@host/x"}
            )

        def on_before_placement(self, ctx: CallbackCtx) -> None:
            raise RuntimeError(f"401 for https://hub/x?token={secret}")

    env = {"env_vars": {"HF_TOKEN": secret}}

    async def main() -> NodeInitializer:
        async with initializer(llm_config(Leaks(), runtime_env=env), journal=where) as node:
            with pytest.raises(InitializationFailed):
                await node.wait_for("ready")
        return node

    node = run_virtual(main())

    assert node.ctx.runtime_env == env, "the node itself has it"
    assert secret not in where.read_text()
    assert "401 for https://hub/x" in where.read_text()
