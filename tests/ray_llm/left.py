"""What is left of an application after it was deleted: groups, processes, notes, users of a model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from nodeinit.download.catalogue import catalogue
from nodeinit.placement.topology import UNIT
from nodeinit.ray import group_notes, group_rows, hosts, owners, records

MARK = "NODEINIT_TEST_RAY"
"""A variable that every process of the tests' Ray has inherited, whoever its parent is now."""

STAY = ("ray::IDLE", "ray::ProxyActor", "ray::ServeController", "ray::TelemetryAgent")
"""What Ray keeps: workers that wait, Serve itself, and the agent that counts who uses what of it."""


def processes(mark: str) -> dict[int, str]:
    """The processes that carry a mark and do something, by id: Ray's own idle workers do not."""
    found = {}
    carried = f"{MARK}={mark}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            carries = carried in (process / "environ").read_bytes().split(b"\0")
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:  # it ended, or is somebody else's
            continue
        # Ray gives workers a title; that of a zombie is empty. Its telemetry stays for good.
        if carries and line and not line.startswith(STAY) and process.name != str(os.getpid()):
            found[int(process.name)] = line[:80]
    return found


def newer(mark: str, before: frozenset[int]) -> dict[int, str]:
    """The processes that were not there before."""
    return {pid: name for pid, name in processes(mark).items() if pid not in before}


def groups() -> list[str]:
    """The names of the live placement groups."""
    return [row.name for row in group_rows.LiveRows().read()]


def free_gpus(node_ids: list[str]) -> dict[str, float]:
    """How many GPUs are free on hosts that are there."""
    free = hosts.free_on(node_ids)
    return {node_id: amounts.get("GPU", 0) / UNIT for node_id, amounts in free.items()}


def fewer(before: dict[str, float], now: dict[str, float]) -> dict[str, str]:
    """The hosts on which fewer are free than before."""
    return {
        node_id: f"{now.get(node_id, 0):g} of {count:g}"
        for node_id, count in before.items()
        if now.get(node_id, 0) < count
    }


def notes() -> list[str]:
    """What nodeinit has noted on the cluster as held; what a replica said last of itself may stay."""
    return [key for key in records.under("") if not key.startswith("serving/")]


def users(store: Path) -> list[str]:
    """Who uses a model of a store, and what is still staged there."""
    entries = catalogue(store) if store.exists() else ()
    return [str(entry) for entry in entries if entry.users or not entry.published]


def settles(look: Callable[[], object], want: object, seconds: float = 30.0) -> object:
    """What is seen in the end: Ray and the kernel take a moment to end a process."""
    until = time.monotonic() + seconds
    while (seen := look()) != want and time.monotonic() < until:
        time.sleep(0.1)
    return seen


def sweep_notes_of_the_dead() -> None:
    """What `nodeinit doctor --sweep` does: a process that was killed cannot erase its own notes."""
    for note in group_notes.all_notes():
        if owners.gone([note.owner]) and not group_notes.groups_of(note):
            group_notes.erase(note)
