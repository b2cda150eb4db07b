"""`nodeinit snapshot`: what it saves can be planned against."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from nodeinit.cli.cluster import Where
from nodeinit.placement.snapshot_file import read_snapshot
from nodeinit.placement.topology import ClusterSnapshot
from tests.cli.conftest import WatchedCluster, World, write_config

Nodeinit = Callable[..., Result]


def test_to_a_file(nodeinit: Nodeinit, world: World, home: Path) -> None:
    result = nodeinit("snapshot", "-o", "saved/c.json", "--hosts", 3, "--gpus-per-host", 4)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == "wrote saved/c.json: 3 hosts"
    assert world.where == [Where(None, 3, 4)]
    assert world.nothing_left()
    found = read_snapshot(home.parent / "saved" / "c.json")
    assert found == asyncio.run(world.connected[0].snapshot())
    planned = nodeinit("plan", write_config(home.parent / "c.yaml"), "--cluster", "saved/c.json")
    assert planned.exit_code == 0
    assert len(world.connected) == 1


def test_to_stdout(nodeinit: Nodeinit, world: World, home: Path) -> None:
    result = nodeinit("snapshot", "--address", "ray:6379")
    (home.parent / "c.json").write_text(result.stdout)
    assert len(read_snapshot(home.parent / "c.json").hosts) == 1
    assert world.where == [Where("ray:6379")]
    assert result.stderr == "connecting to the Ray at ray:6379\n"


def test_a_file_that_cannot_be_written(nodeinit: Nodeinit, world: World, home: Path) -> None:
    (home.parent / "plain").write_text("kept")
    result = nodeinit("snapshot", "-o", "plain/c.json")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert world.nothing_left()


class Failing(WatchedCluster):
    async def snapshot(self) -> ClusterSnapshot:
        raise RuntimeError("the head is gone")


class Slow(WatchedCluster):
    async def snapshot(self) -> ClusterSnapshot:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()
        raise AssertionError


def test_a_cluster_that_does_not_answer_is_left(nodeinit: Nodeinit, world: World) -> None:
    world.kind = Failing
    result = nodeinit("snapshot")
    assert result.exit_code == 4
    assert "the head is gone" in result.stderr
    assert world.nothing_left()


def test_an_interrupt_leaves_the_cluster_too(nodeinit: Nodeinit, world: World) -> None:
    world.kind = Slow
    result = nodeinit("snapshot")
    assert result.exit_code == 5
    assert result.stdout == ""
    assert world.nothing_left()
