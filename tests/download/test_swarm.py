from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import attrs
import pytest

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.store import verify
from nodeinit.download.swarm.coordinator import Coordinator
from nodeinit.download.swarm.hold import Hold
from nodeinit.download.swarm.session import Session
from nodeinit.download.swarm.torrents import alias, make_torrent
from nodeinit.download.swarm.words import Orders, Report
from tests.download.swarming import ALL, MIB, Fleet, Origin, Task, fleet, host, make_model

pytest.importorskip("libtorrent")


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    origin = Origin(tmp_path / "source", rate=30 * MIB)
    yield origin
    origin.close()


def assert_equal_everywhere(run: Fleet) -> None:
    for task in run.tasks:
        path = Path(task.store) / "org--model" / task.manifest.revision
        assert verify(path, task.manifest, task.mode, rehash=True) == ()
        left = list((Path(task.store) / ".nodeinit" / "staging").iterdir())
        assert left == [], "nothing stays in staging"


@pytest.mark.parametrize("hosts", [2, 4])
def test_each_byte_leaves_the_origin_once(tmp_path: Path, origin: Origin, hosts: int) -> None:
    manifest = make_model(tmp_path / "source", files=6, size=4 * MIB)
    run = fleet(manifest, origin, tmp_path, hosts)
    run.run()
    assert_equal_everywhere(run)
    assert origin.sent <= 1.05 * manifest.size
    assert all(outcome["alone"] == "" for outcome in run.outcomes.values())


def test_hosts_that_need_less_are_in_it_too(tmp_path: Path, origin: Origin) -> None:
    manifest = make_model(tmp_path / "source", files=3, size=MIB)
    run = fleet(manifest, origin, tmp_path, 3)
    modes = (NodeModelDownloadable.NONE, NodeModelDownloadable.TOKENIZER_ONLY, ALL)
    run.tasks = [attrs.evolve(t, mode=mode) for t, mode in zip(run.tasks, modes, strict=True)]
    run.run()
    assert_equal_everywhere(run)
    assert origin.sent <= 1.05 * manifest.size
    assert all(outcome["alone"] == "" for outcome in run.outcomes.values())


def kill_leader_at(share: float, size: int) -> Callable[[Fleet], None]:
    """Kill the leader's process, once, when it has brought this share of the model."""

    def look(run: Fleet) -> None:
        leader = run.coordinator.leader
        if run.kills == 0 and leader and run.done.get(leader, 0) >= share * size:
            run.kill(leader)

    return look


def survive_a_dead_leader(tmp_path: Path, origin: Origin, share: float) -> None:
    manifest = make_model(tmp_path / "source", files=16, size=2 * MIB)
    run = fleet(manifest, origin, tmp_path, 3)
    run.run(on_report=kill_leader_at(share, manifest.size))
    assert_equal_everywhere(run)
    assert run.kills == 1
    assert origin.sent <= 1.3 * manifest.size


@pytest.mark.slow
def test_a_leader_that_dies_is_replaced(tmp_path: Path, origin: Origin) -> None:
    survive_a_dead_leader(tmp_path, origin, 0.5)


@pytest.mark.slow
def test_a_leader_that_is_gone_for_good_is_replaced(tmp_path: Path, origin: Origin) -> None:
    """What only it had is brought again: what the origin gives in the moment of an exchange."""
    origin.rate = 4 * MIB
    manifest = make_model(tmp_path / "source", files=16, size=2 * MIB)
    run = fleet(manifest, origin, tmp_path, 3)
    dead: list[str] = []

    def look(run: Fleet) -> None:
        leader = run.coordinator.leader
        if not dead and leader and run.done.get(leader, 0) >= 0.5 * manifest.size:
            dead.append(leader)
            run.kill(leader, for_good=True)

    run.run(on_report=look)
    run.tasks = [task for task in run.tasks if task.name not in dead]
    assert_equal_everywhere(run)
    assert len(run.outcomes) == 2
    assert origin.sent <= 1.3 * manifest.size


@pytest.mark.slow
@pytest.mark.parametrize("draw", range(10))
def test_a_leader_may_die_at_any_point(tmp_path: Path, origin: Origin, draw: int) -> None:
    survive_a_dead_leader(tmp_path, origin, random.Random(draw).random())


def test_a_swarm_that_gives_nothing_is_left(tmp_path: Path, origin: Origin) -> None:
    """Peers that no torrent reaches: members go to the origin after `stall` seconds."""
    manifest = make_model(tmp_path / "source", files=2, size=MIB)
    run = fleet(manifest, origin, tmp_path, 2, stall=1.5)
    run.coordinator = Deaf([task.name for task in run.tasks])
    run.run()
    assert_equal_everywhere(run)
    assert [o["alone"] for o in run.outcomes.values() if o["alone"]] == [
        "nothing came from the other hosts for 1.5 s"
    ]
    assert origin.sent >= 2 * (manifest.size - 2)


class Deaf(Coordinator):
    """Tells nobody of anybody."""

    def heard(self, member: str, report: Report, now: float) -> Orders:
        return attrs.evolve(super().heard(member, report, now), peers=())


@pytest.mark.slow
def test_without_the_wheel_or_a_port_the_origin_is_asked(tmp_path: Path, origin: Origin) -> None:
    manifest = make_model(tmp_path / "source", files=2, size=MIB)
    run = fleet(manifest, origin, tmp_path, 2)
    run.tasks = [
        attrs.evolve(run.tasks[0], without_wheel=True),
        attrs.evolve(run.tasks[1], address="203.0.113.7"),  # not an address of this machine
    ]
    run.run()
    assert_equal_everywhere(run)
    assert "libtorrent cannot be imported" in run.outcomes["host-0"]["alone"]
    assert "no port can be opened on 203.0.113.7" in run.outcomes["host-1"]["alone"]


@pytest.mark.timeout(30)
def test_a_stranger_gets_nothing(tmp_path: Path) -> None:
    """One that knows the torrent and the address is refused, as the driver does not know it."""
    token, path = "secret", "model.safetensors"
    (tmp_path / path).write_bytes(random.Random(1).randbytes(3 * MIB))
    addresses = {"giver": "127.0.0.1", "friend": "127.0.0.2", "stranger": "127.0.0.3"}
    holds, ends = {}, {}
    for name, address in addresses.items():
        (tmp_path / name).mkdir()
        session = Session(address)
        holds[name] = Hold(tmp_path / name, token, session)
        ends[name] = (address, session.port)
    holds["giver"].keep(path, tmp_path / path)
    torrent = make_torrent(tmp_path / "giver", alias(token, path))
    holds["giver"].give(path, torrent)
    for name in ("friend", "stranger"):
        holds[name].take(path, torrent)
    everyone = list(ends.values())
    while not holds["friend"].arrived():
        holds["giver"].connect(ends["giver"], [ends["friend"]])
        for name in ("friend", "stranger"):
            holds[name].connect(ends[name], [end for end in everyone if end != ends[name]][:1])
        time.sleep(0.1)
    assert holds["friend"].path(path).read_bytes() == (tmp_path / path).read_bytes()
    assert holds["stranger"].received() == {path: 0}


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_size(tmp_path: Path) -> None:
    """Peaks of whole processes, of which what they import is a good part; the model has 576 MiB."""
    manifest = make_model(tmp_path / "source", files=3, size=192 * MIB)
    origin = Origin(tmp_path / "source")
    run = fleet(manifest, origin, tmp_path, 3)
    run.run()
    origin.close()
    assert_equal_everywhere(run)
    peaks = [outcome["rss"] for outcome in run.outcomes.values()]
    assert max(peaks) < 300, peaks


def test_what_came_damaged_is_not_published(tmp_path: Path, origin: Origin) -> None:
    """Torrents are made of what a leader has: a wrong file from it must not get past the sha256."""
    manifest = make_model(tmp_path / "source", files=2, size=MIB)
    run = fleet(manifest, origin, tmp_path, 2)
    run.target = damaging
    run.run()
    assert_equal_everywhere(run)
    assert origin.sent > 1.4 * manifest.size, "the damaged file was brought from the origin"


def damaging(task: Task, pipe: Connection) -> None:
    """The process of a host that flips a bit of what it gives to others."""
    real = Hold.keep

    def keep(self: Hold, path: str, source: Path) -> None:
        if not path.endswith("0.safetensors"):
            real(self, path, source)
        elif not self.path(path).exists():
            data = bytearray(source.read_bytes())
            data[100] ^= 1
            self.path(path).write_bytes(data)

    Hold.keep = keep  # type: ignore[method-assign]
    host(task, pipe)
