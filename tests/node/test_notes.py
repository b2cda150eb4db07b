"""Notes beside the steps: enough to draw a run, few whatever happens, and nothing depends on them."""

from __future__ import annotations

import errno
import itertools
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit import NodeInitializer, replay
from nodeinit.clusters.base import Progress
from nodeinit.clusters.simulated import SimCluster, sim_host
from nodeinit.errors import JournalError
from nodeinit.fsm.executor import InlineExecutor
from nodeinit.fsm.journal import Journal, Note
from nodeinit.node.notes import FEW, MOST_HOSTS, Notes, cluster_note
from nodeinit.placement.topology import ClusterSnapshot
from nodeinit.testing.virtual_time import run_virtual
from nodeinit_machines.node_init import NODE_INIT
from tests.node.bring_up import cluster, llm_config


def brought_up(path: Path, sim: SimCluster) -> NodeInitializer:
    async def main() -> NodeInitializer:
        node = NodeInitializer(llm_config(), cluster=sim, journal=path, executor=InlineExecutor())
        async with node:
            await node.wait_for("ready")
        return node

    return run_virtual(main())


def test_a_run_notes_what_it_saw(tmp_path: Path) -> None:
    node = brought_up(tmp_path / "j.jsonl", cluster())
    found = replay(tmp_path / "j.jsonl", NODE_INIT)
    assert found.steps[-1].after.state == "released" and not found.drift
    assert len(found.steps) == len(node.steps)
    assert [note.kind for note in found.notes] == [note.kind for note in node.notes]
    (seen,) = [note for note in found.notes if note.kind == "cluster"]
    assert [host["node_id"] for host in seen.data["nodes"]] == sorted(cluster().hosts)
    moves = [note for note in found.notes if note.kind == "progress"]
    assert moves[-1].data["done"] == moves[-1].data["total"] > 0
    assert all(a.at <= b.at for a, b in itertools.pairwise(moves))


def test_a_reader_passes_over_notes_that_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "spoilt.jsonl"
    brought_up(path, cluster())
    header, *lines = path.read_text().splitlines()
    news = json.dumps({"note": "weather", "at": 1.0, "it": "rains"})
    path.write_text("\n".join([header, news, *lines, news]) + "\n")
    found = replay(path, NODE_INIT)
    assert found.steps[-1].after.state == "released"
    assert [note.data for note in found.notes if note.kind == "weather"] == [{"it": "rains"}] * 2
    path.write_text("\n".join([header, lines[0], '{"note":"progress"}']) + "\n")
    with pytest.raises(JournalError, match="line 3 is not of this format: lacks 'at'"):
        replay(path, NODE_INIT)


def test_nothing_is_written_behind_half_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full for a moment must not leave a line that no reader understands."""
    real = os.write
    full = OSError(errno.ENOSPC, "No space left on device")

    def once(file: int, data: bytes) -> int:
        if b'"note":' not in data or len(data) < 60:
            return real(file, data)
        monkeypatch.setattr(os, "write", lambda file, data: (_ for _ in ()).throw(full))
        return real(file, data[:20])

    path = tmp_path / "j.jsonl"
    node = NodeInitializer(llm_config(), cluster=cluster())
    journal = Journal(path, node._core, node.ctx, "n")
    monkeypatch.setattr(os, "write", once)
    journal.note(Note("progress", 1.0, {"node_id": "a" * 60}))
    monkeypatch.setattr(os, "write", real)
    with pytest.raises(OSError, match="No space left"):
        journal._write({"seq": 1})
    journal.close()
    assert replay(path, NODE_INIT).torn


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), max_size=300).map(sorted), st.floats(0.001, 1))
def test_notes_of_one_host_are_few_and_end_with_the_end(moves: list[int], every: float) -> None:
    notes, now = Notes(), 0.0
    notes.begin(lambda: now, None)
    for done in moves:
        now += every
        notes.progress(Progress("a", done, 10**6))
    notes.progress(Progress("a", 10**6, 10**6))
    assert notes.kept[-1].data["done"] == 10**6
    assert len(notes.kept) <= 2 + min(len(moves), 50 + now / 10)


def test_of_many_hosts_each_is_noted_rarely() -> None:
    notes, now = Notes(), 0.0
    notes.begin(lambda: now, None)
    for done in range(101):
        now += 1.0
        for host in range(FEW + 1):
            notes.progress(Progress(f"h{host}", done, 100))
    assert len(notes.kept) < 12 * FEW


def test_a_note_of_a_cluster_keeps_the_hosts_of_the_plan() -> None:
    snapshot = ClusterSnapshot(tuple(sim_host(f"h{i:04}", GPU=1) for i in range(1000)))
    kind, data = cluster_note(snapshot, ("h0999", "h0500"))
    kept = [host["node_id"] for host in data["nodes"]]
    assert {"h0999", "h0500"} <= set(kept) and len(kept) == MOST_HOSTS
    assert (kind, data["more"]) == ("cluster", 1000 - MOST_HOSTS)
