"""The status document, read at every moment of a run in virtual time."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from nodeinit import InitializationFailed, NodeInitializer, TemporaryError
from nodeinit.clusters.simulated import SimFault
from nodeinit.fsm.policy import Backoff, PhasePolicy, Policy
from nodeinit.node.status import Status, status_of
from nodeinit.testing.virtual_time import run_virtual
from tests.node.bring_up import cluster, initializer, llm_config

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
PATIENT = Policy(
    phases={
        "config": PhasePolicy(deadline=60, attempts=2, backoff=Backoff(8, 1, 8, jitter=0)),
        "download": PhasePolicy(deadline=600, attempts=3, backoff=Backoff(8, 1, 8, jitter=0)),
    }
)


class Trouble:
    """Fails before the first download, with a secret in its message."""

    def on_before_download(self, ctx: Any) -> None:
        raise TemporaryError("the hub said no to hf_abcdefghijklmnopqrstuvwx")


def at(node: NodeInitializer) -> Status:
    """The status now, as if the node had started at `EPOCH`."""
    began = node._driver.began if node._driver else None
    now = asyncio.get_running_loop().time() - (began or 0.0)
    return status_of(
        node.name,
        node.config.model_id,
        node.steps,
        node.snapshot,
        node.policy,
        now=now,
        reports=tuple(node._reports.values()),
        clock=EPOCH + timedelta(seconds=now),
    )


def test_each_phase_says_since_when_until_when_and_how_far() -> None:
    async def main() -> None:
        config = llm_config(engine_kwargs={"tensor_parallel_size": 4, "pipeline_parallel_size": 2})
        node = initializer(config, cluster(4, 4), policy=PATIENT)
        assert ("idle", 0, None) == (at(node).phase, at(node).attempt, at(node).deadline)
        async with node:
            seen: dict[str, Status] = {}
            node.subscribe_progress(lambda report: seen.setdefault("download", at(node)))
            await node.wait_for("ready")
            entered = {s.after.state: s.at for s in node.steps if s.before.state != s.after.state}
            download = seen["download"]
            assert EPOCH + timedelta(seconds=entered["download"]) == download.since
            assert download.since + timedelta(seconds=600) == download.deadline
            assert (1, 3, 1) == (download.attempt, download.attempts, download.plan)
            assert download.progress is not None
            assert 0 < download.progress.done <= download.progress.total
            ready = at(node)
            assert ready.ready and not ready.over
            assert (None, None, None) == (ready.progress, ready.reason, ready.deadline)
            assert EPOCH + timedelta(seconds=entered["ready"]) == ready.since
        assert at(node).over and at(node).phase == "released"

    run_virtual(main())


def test_a_wait_says_why_and_until_when_and_keeps_secrets() -> None:
    async def main() -> None:
        async with initializer(llm_config(Trouble), policy=PATIENT) as node:
            while node.state != "backoff":
                await asyncio.sleep(0.001)
            status = at(node)
            assert (1, 2) == (status.attempt, status.attempts)
            assert status.since + timedelta(seconds=8) == status.deadline
            assert status.reason is not None
            assert ("hook", "config", True) == (
                status.reason.code,
                status.reason.phase,
                status.reason.temporary,
            )
            assert "said no" in status.reason.message
            assert "hf_abc" not in json.dumps(status.to_dict())

    run_virtual(main())


def test_the_end_says_why() -> None:
    async def main() -> None:
        faults = [SimFault("fetch", "permanent")]
        async with initializer(llm_config(), cluster(faults=faults)) as node:
            try:
                await node.wait_for("ready")
            except InitializationFailed:
                pass
            status = at(node)
            assert status.over and not status.ready and status.phase == "failed"
            assert status.reason is not None and status.reason.phase == "download"
            assert status.explain.startswith("The node is failed: ")

    run_virtual(main())


def test_it_goes_through_json() -> None:
    async def main() -> None:
        async with initializer(llm_config(Trouble), policy=PATIENT) as node:
            for _ in range(200):
                await asyncio.sleep(0.05)
                status = at(node)
                known = Status.from_dict(json.loads(json.dumps(status.to_dict())))
                assert abs(known.since - status.since) < timedelta(milliseconds=1)
                assert attrs.evolve(known, since=status.since, deadline=status.deadline) == status

    run_virtual(main())


def test_it_may_be_asked_from_any_thread() -> None:
    async def main() -> None:
        async with initializer(llm_config()) as node:
            await node.wait_for("ready")
            assert "ready" == (await asyncio.to_thread(node.status)).phase

    asyncio.run(main())
