"""Ctrl-C and SIGTERM at every stage of `nodeinit run`: it ends cleanly and says so."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from nodeinit.cli.view import View
from nodeinit.placement.topology import ClusterSnapshot
from tests.cli.conftest import WatchedCluster, World

Nodeinit = Callable[..., Result]


def interrupt(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


class Hanging(WatchedCluster):
    """Somebody interrupts in the middle of an operation, which then never ends by itself."""

    op = "fetch"
    number = signal.SIGINT

    async def _enter(self, op: str) -> Any:
        found = await super()._enter(op)
        if op == self.op:
            interrupt(self.number)
            await asyncio.get_running_loop().create_future()
        return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("op", ["manifest", "fetch", "reserve"])
def test_an_interrupt_cancels_and_gives_back(
    nodeinit: Nodeinit, world: World, op: str, number: int
) -> None:
    world.kind = type("Hung", (Hanging,), {"op": op, "number": number})
    result = nodeinit("run")
    assert result.exit_code == 5
    assert "interrupted: cancelling" in result.stdout
    assert "CANCELLED" in result.stderr
    assert "gave back" in result.stderr
    assert "Traceback" not in result.output
    assert world.nothing_left()
    held = {"manifest": "nothing was held", "fetch": "fetch demo", "reserve": "group demo"}[op]
    assert held in result.stderr


def test_json_says_cancelled(nodeinit: Nodeinit, world: World) -> None:
    world.kind = Hanging
    found = json.loads(nodeinit("run", "--json").stdout)
    assert (found["state"], found["reason"]) == ("cancelled", "interrupted")


class Twice(Hanging):
    """Somebody interrupts again while what is held is being given back."""

    async def stop_fetch(self, name: str) -> None:
        interrupt()
        await asyncio.sleep(0)  # the loop sees the signal between two steps
        await super().stop_fetch(name)


def test_a_second_interrupt_is_told_how_long_it_may_take(nodeinit: Nodeinit, world: World) -> None:
    world.kind = Twice
    result = nodeinit("run")
    assert result.exit_code == 5
    assert "still giving back what is held, which takes 110 s at most" in result.stdout
    assert world.nothing_left()


class HeldAndInterrupted(WatchedCluster):
    """Somebody interrupts once the node is ready and is watched."""

    async def lost(self, placement: Any) -> str:
        asyncio.get_running_loop().call_later(0.05, interrupt)
        return await super().lost(placement)


def test_an_interrupt_ends_the_hold(nodeinit: Nodeinit, world: World) -> None:
    world.kind = HeldAndInterrupted
    result = nodeinit("run", "--hold")
    assert result.exit_code == 0, result.output
    told = [
        "READY after",
        "holding the node; Ctrl-C releases it",
        "interrupted: releasing the node",
        "RELEASED",
    ]
    assert [result.stdout.index(text) for text in told] == sorted(map(result.stdout.index, told))
    assert world.nothing_left()


class LostAndGone(WatchedCluster):
    """The only host dies while the node is held."""

    async def lost(self, placement: Any) -> str:
        asyncio.get_running_loop().call_soon(self.kill_host, "h0")
        return await super().lost(placement)


def test_a_held_node_that_is_lost_for_good_fails(
    nodeinit: Nodeinit, world: World, home: Path
) -> None:
    world.kind = LostAndGone
    config = home.parent / "c.yaml"
    config.write_text(
        json.dumps(
            {
                "model_loading_config": {"model_id": "m", "model_source": "/m"},
                "placement_group_config": {"bundle_per_worker": {"CPU": 1}},
                "experimental_configs": {"nodeinit": {"replans": 0}},
            }
        )
    )
    result = nodeinit("run", config, "--hold", "--json")
    assert result.exit_code == 4
    found = json.loads(result.stdout)
    assert found["state"] == "failed"
    assert "host h0 died" in found["reason"]
    assert found["placement"] is None


def test_an_interrupt_while_ray_is_being_started(
    nodeinit: Nodeinit, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = threading.Event()
    tell = View.interrupted

    def interrupted(view: View, count: int) -> None:
        tell(view, count)
        seen.set()

    def connect(where: Any) -> WatchedCluster:
        interrupt()
        assert seen.wait(10)
        return world.connect(where)

    monkeypatch.setattr(View, "interrupted", interrupted)
    monkeypatch.setattr("nodeinit.cli.cluster.connect", connect)
    result = nodeinit("run")
    assert result.exit_code == 5
    assert "stopping as soon as Ray has answered" in result.stdout
    assert "cancelled before the node was begun" in result.stderr
    assert world.nothing_left()
    assert world.connected[0].calls == {}


class InterruptedSnapshot(WatchedCluster):
    """Somebody interrupts while the hosts are being looked up."""

    async def snapshot(self) -> ClusterSnapshot:
        interrupt()
        return await super().snapshot()


def test_an_interrupt_before_the_first_step(nodeinit: Nodeinit, world: World) -> None:
    world.kind = InterruptedSnapshot
    result = nodeinit("run")
    assert result.exit_code == 5
    assert world.nothing_left()


def test_signals_are_as_before_when_the_program_is_done(nodeinit: Nodeinit, world: World) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    nodeinit("run")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
