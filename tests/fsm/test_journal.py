"""The journal: what a run wrote replays to the same end, also when it was cut anywhere."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeinit.errors import JournalError, PermanentError, TemporaryError
from nodeinit.fsm.driver import Driver
from nodeinit.fsm.events import FINALS, Event, Occurred
from nodeinit.fsm.explain import explain, phase_seconds
from nodeinit.fsm.journal import dump_policy, load_policy
from nodeinit.fsm.policy import Backoff, PhasePolicy, Policy
from nodeinit.fsm.replay import replay
from nodeinit.testing.virtual_time import run_virtual
from tests.fsm.small import SMALL, Ctx, World, driver, path, small


class Adds:
    async def on_before_fetch(self, ctx: Ctx) -> Ctx:
        return attrs.evolve(ctx, n=ctx.n + 10)

    async def on_ready(self, ctx: Ctx) -> Ctx:
        return attrs.evolve(ctx, trail=(*ctx.trail, "ready"))


def record(where: Path, *, cancel_at: float = 60.0, **script: Any) -> Driver:
    """A run of the small machine that writes a journal and is cancelled or released at some time."""
    world = World(**script)

    async def main() -> Driver:
        made = driver(world, Adds(), journal=where)
        running = asyncio.ensure_future(made.run())
        await asyncio.wait({running}, timeout=cancel_at)
        if not running.done():
            event = Event.RELEASE if made.snapshot.state == "ready" else Event.CANCEL
            made.post(Occurred(event))
            await running
        made._journal.close()  # type: ignore[union-attr]
        return made

    return run_virtual(main())


ENTRIES = st.lists(
    st.sampled_from([0.5, 3.0, TemporaryError("t"), PermanentError("p"), ConnectionError("c")]),
    max_size=4,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ENTRIES, ENTRIES, st.floats(0, 30))
def test_replay_gives_the_same_steps(
    tmp_path: Path, fetch: list[Any], build: list[Any], cancel_at: float
) -> None:
    where = tmp_path / "run.jsonl"
    where.unlink(missing_ok=True)
    made = record(where, cancel_at=cancel_at, fetch=fetch, build=build)

    again = replay(where, SMALL)

    assert made.snapshot.state in FINALS
    assert made.snapshot == again.snapshot
    assert [(s.at, s.before, s.after, s.accepted, s.effects, s.hooks) for s in made.steps] == [
        (s.at, s.before, s.after, s.accepted, s.effects, s.hooks) for s in again.steps
    ]
    assert ((), False) == (again.drift, again.torn)
    policy = load_policy(again.header["policy"])
    assert explain(made.steps, policy) == explain(again.steps, policy)


def test_a_journal_cut_at_any_byte_replays_up_to_the_cut(tmp_path: Path) -> None:
    where = tmp_path / "run.jsonl"
    made = record(where, fetch=[TemporaryError("t")], build=[0.5])
    data = where.read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    cut = tmp_path / "cut.jsonl"
    # Every byte of the first records and around each end; in between, one in seven.
    near = {end + by for end in ends for by in (-2, -1, 0, 1, 2)}
    for at in sorted({*range(ends[2]), *range(0, len(data) + 1, 7), *near}):
        if at > len(data):
            continue
        cut.write_bytes(data[:at])

        again = replay(cut, SMALL)

        whole = sum(end <= at for end in ends)
        assert max(0, whole - 1) == len(again.steps)
        assert (at not in (0, *ends)) == again.torn
        if whole > 1:
            assert made.steps[whole - 2].after == again.snapshot


def test_what_hooks_changed_is_on_record(tmp_path: Path) -> None:
    where = tmp_path / "run.jsonl"
    record(where)
    lines = [json.loads(line) for line in where.read_text().splitlines()]

    (start,) = [line for line in lines if line.get("event") == "start"]
    assert [("Adds", "on_before_fetch", {"n": 10}, None)] == [
        (run["callback"], run["hook"], run["set"], run["error"]) for run in start["hooks"]
    ]
    assert {"journal", "machine", "definition", "node", "policy", "began", "ctx"} <= set(lines[0])


def test_intent_is_written_before_the_thing_exists(tmp_path: Path) -> None:
    where = tmp_path / "run.jsonl"
    seen: list[bool] = []

    async def spy(ctx: Ctx, run: Any) -> Ctx:
        run.acquire("thing", "spied")
        seen.append('"name":"spied"' in where.read_text())
        run.dropped("thing", "spied")
        return ctx

    record(where, fetch=[spy])

    assert [True] == seen


def test_a_journal_belongs_to_one_run(tmp_path: Path) -> None:
    where = tmp_path / "run.jsonl"
    where.write_text("somebody's\n")

    with pytest.raises(JournalError, match=r"run\.jsonl: exists already"):
        record(where)
    assert "somebody's\n" == where.read_text()


def test_a_journal_that_cannot_be_begun_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"file/run\.jsonl: cannot be written: "):
        record(tmp_path / "file" / "run.jsonl")

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(JournalError, match=r"run\.jsonl: cannot be written: No space left"):
        record(tmp_path / "run.jsonl")
    monkeypatch.undo()
    assert tmp_path / "run.jsonl" not in {fd.resolve() for fd in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1}\n', "line 1 is not the header"),
        ("[1]\n", "line 1 is not a record"),
        ("nonsense\n", "line 1 is not JSON"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    where = tmp_path / "x.jsonl"
    where.write_text(text)

    with pytest.raises(JournalError, match=problem):
        replay(where, SMALL)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"policy":', '"polcy":', "line 1 is not of this format: lacks 'policy'"),
        ('"event":"done"', '"event":"doen"', "line 3 is not of this format: ValueError: 'doen'"),
        ('"accepted":true,', "", "line 2 is not of this format: lacks 'accepted'"),
    ],
)
def test_what_is_not_of_the_format_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    where = tmp_path / "spoilt.jsonl"
    record(where)
    text = where.read_text()
    assert old in text
    where.write_text(text.replace(old, new, 1))

    with pytest.raises(JournalError, match=problem):
        replay(where, SMALL)


def test_a_missing_file_and_another_machine_are_refused(tmp_path: Path) -> None:
    where = tmp_path / "run.jsonl"
    record(where)

    with pytest.raises(JournalError, match="cannot be read: No such file"):
        replay(tmp_path / "none.jsonl", SMALL)
    with pytest.raises(JournalError, match="belongs to machine 'small', not 'other'"):
        replay(where, small(name="other"))


def test_a_machine_that_changed_since_is_noticed(tmp_path: Path) -> None:
    where = tmp_path / "run.jsonl"
    record(where, fetch=[TemporaryError("t")])
    text = where.read_text().replace('"to":"backoff"', '"to":"releasing"', 1)
    where.write_text(text)

    assert "errored led to releasing, now to backoff" in replay(where, SMALL).drift[0]


@given(st.integers(0, 9), st.booleans(), st.floats(1, 99), st.integers(1, 9), st.floats(0, 1))
def test_policies_round_trip(
    replans: int, heal: bool, deadline: float, attempts: int, jitter: float
) -> None:
    phase = PhasePolicy(deadline, attempts, Backoff(jitter=jitter))
    policy = Policy(phases={"fetch": phase}, replans=replans, heal=heal)

    assert policy == load_policy(json.loads(json.dumps(dump_policy(policy))))


def test_explain_follows_the_run() -> None:
    sentences: dict[str, str] = {}

    async def main() -> None:
        world = World(fetch=[TemporaryError("hub is busy")], build=[PermanentError("no room")])
        made = driver(world)
        policy = made.core.policy

        def look(step: object) -> None:
            sentences[made.snapshot.state] = explain(made.steps, policy)

        made._on_step = look
        await made.run()
        assert ["idle", "fetch", "backoff", "fetch", "build", "releasing", "failed"] == path(made)
        assert {"idle", "fetch", "backoff", "build", "releasing"} == set(phase_seconds(made.steps))

    run_virtual(main())

    assert "(try 1 of 3 failed): fetch: hub is busy." in sentences["backoff"]
    assert "(try 2 of 3); the last setback was: fetch: hub is busy." in sentences["fetch"]
    assert "The node gives back" in sentences["releasing"]
    assert "The node is failed: build: no room." == sentences["failed"]
