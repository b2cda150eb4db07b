"""A swarm against every host for itself, over network cards of one speed.

The hosts are plain processes in network namespaces that run the same `bring` and `Member` as the
actors of Ray do; a Ray in namespaces would add its own start to both sides of the ratio.
"""

from __future__ import annotations

import subprocess
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import attrs
import pytest

from nodeinit.download.manifest import Manifest
from nodeinit.download.store import verify
from tests.bench.network import move_into, network
from tests.download.swarming import ALL, MIB, Fleet, Origin, Task, fleet, host, make_model

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
pytest.importorskip("libtorrent")

MBIT = 80
"""Of every card, the origin's too: slow enough for two cores to keep up with eight hosts."""


def in_its_namespace(task: Task, pipe: Connection) -> None:
    move_into(task.name)
    host(task, pipe)


def origin_in_its_namespace(directory: Path, address: str) -> Origin:
    made: list[Origin] = []

    def make() -> None:
        move_into("origin")
        made.append(Origin(directory, address))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


def measure(manifest: Manifest, source: Path, stores: Path, hosts: int, *, swarm: bool) -> Row:
    names = [f"host-{n}" for n in range(hosts)]
    with network(["origin", *names], MBIT) as addresses:
        origin = origin_in_its_namespace(source, addresses["origin"])
        run = fleet(manifest, origin, stores, hosts, swarm=swarm)
        run.tasks = [attrs.evolve(task, address=addresses[task.name]) for task in run.tasks]
        run.target = in_its_namespace
        run.run(limit=600)
        origin.close()
    for task in run.tasks:
        path = Path(task.store) / "org--model" / manifest.revision
        assert verify(path, manifest, ALL, rehash=True) == ()
    return Row.of(run, origin, manifest)


@attrs.frozen
class Row:
    seconds: float
    egress: float
    rss: float
    alone: int

    @classmethod
    def of(cls, run: Fleet, origin: Origin, manifest: Manifest) -> Row:
        outcomes = run.outcomes.values()
        return cls(
            max(outcome["seconds"] for outcome in outcomes),
            origin.sent / manifest.size,
            max(outcome["rss"] for outcome in outcomes),
            sum(bool(outcome["alone"]) for outcome in outcomes),
        )


def test_a_swarm_is_faster_than_every_host_for_itself(tmp_path: Path) -> None:
    source = tmp_path / "source"
    manifest = make_model(source, files=24, size=4 * MIB)
    try:
        with network(["origin"], MBIT):
            pass
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces with shaped links are not allowed here: {error}")
    ideal = manifest.size * 8 / (MBIT * 1e6)
    print(f"\n{manifest.size / MIB:.0f} MiB, cards of {MBIT} Mbit/s; one copy takes {ideal:.1f} s")
    print(f"{'hosts':>5} {'way':>7} {'s':>7} {'ratio':>6} {'egress':>7} {'peak RSS MiB':>13}")
    ratios = []
    for hosts in (4, 8):
        rows = {
            way: measure(manifest, source, tmp_path / f"{way}{hosts}", hosts, swarm=way == "swarm")
            for way in ("direct", "swarm")
        }
        for way, row in rows.items():
            ratio = row.seconds / rows["direct"].seconds
            print(
                f"{hosts:>5} {way:>7} {row.seconds:>7.1f} {ratio:>6.2f} {row.egress:>6.2f}x "
                f"{row.rss:>13.0f}" + (f"  ({row.alone} left the swarm)" if row.alone else "")
            )
        ratios.append(rows["swarm"].seconds / rows["direct"].seconds)
        assert rows["swarm"].egress <= 1.05
    assert ratios[0] <= 0.6
    assert ratios[1] < ratios[0]
