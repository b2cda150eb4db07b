"""`nodeinit replay`: a journal as a timeline, and files that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from nodeinit import CallbackCtx, InitializationFailed, LLMConfig, SimCluster, initialize_node
from nodeinit.clusters.simulated import SimFault, sim_host
from nodeinit.testing.virtual_time import run_virtual
from tests.cli.conftest import World

Nodeinit = Callable[..., Result]


class Chooses:
    """Changes something, so that there is something to tell."""

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(worker_node_download_model="TOKENIZER_ONLY")


@pytest.fixture
def journal(home: Path) -> Path:
    """The journal of a run with a callback that was tried twice and then failed."""
    path = home.parent / "j.jsonl"
    faults = [SimFault("fetch", "temporary"), SimFault("reserve", "permanent")]
    config = LLMConfig(
        model_id="m",
        model_source="/m",
        placement_group_config={"bundle_per_worker": {"CPU": 1}},
        callback="tests.cli.test_replay:Chooses",
    )

    async def go() -> None:
        cluster = SimCluster([sim_host("a", CPU=4)], faults=faults)
        with pytest.raises(InitializationFailed):
            await initialize_node(config, cluster=cluster, journal=path)

    run_virtual(go())
    return path


def test_the_timeline(nodeinit: Nodeinit, journal: Path) -> None:
    result = nodeinit("replay", journal)
    assert result.exit_code == 0
    told = result.stdout
    in_order = [
        "machine  node_init (definition ",
        "idle -> config           on start",
        "config -> download       on done",
        "on_before_download of tests.cli.test_replay:Chooses, ",
        ": set worker_node_download_model = TOKENIZER_ONLY",
        "begins fetch ",
        "download -> backoff      on errored",
        "why: download: fetch failed for the moment",
        "waits ",
        "backoff -> download      on retry (try 2)",
        "is done with fetch ",
        "begins group ",
        "placement -> releasing   on errored",
        "why: placement: reserve failed for good",
        "not to backoff: temporary: ",
        "gave back group ",
        "releasing -> failed      on undone",
        "end      failed after ",
        "explain  The node is failed: placement: reserve failed for good.",
    ]
    position = 0
    for text in in_order:
        position = told.index(text, position)
    assert "note" not in told


def test_the_timeline_is_what_the_run_itself_had_printed(
    nodeinit: Nodeinit, world: World, home: Path
) -> None:
    said = nodeinit("run", "--journal", home / "j.jsonl").stdout
    told = nodeinit("replay", home / "j.jsonl").stdout
    steps = [line for line in told.splitlines() if line[:9].strip().replace(".", "").isdigit()]
    assert len(steps) > 5
    assert all(line in said.splitlines() for line in steps)


def test_a_run_is_drawn_from_its_journal(nodeinit: Nodeinit, journal: Path, home: Path) -> None:
    result = nodeinit("diagram", "--run", journal, "-o", home / "run.svg")
    assert result.exit_code == 0, result.output
    drawn = (home / "run.svg").read_text()
    assert "#1 at 0.00 s" in drawn and "the end, at" in drawn and "why: " in drawn
    assert nodeinit("diagram", "--run", journal).stdout == drawn

    result = nodeinit("diagram", "--run", journal, "-o", home / "run.png")
    assert result.exit_code == 2 and "write -o run.svg, run.html or run.md" in result.stderr
    assert not (home / "run.png").exists()


def test_json(nodeinit: Nodeinit, journal: Path) -> None:
    found = json.loads(nodeinit("replay", journal, "--json").stdout)
    assert found["state"] == "failed"
    assert found["explain"].startswith("The node is failed")
    assert (found["torn"], found["drift"]) == (False, [])
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert found["header"] == lines[0]
    lines = [line for line in lines if "note" not in line]
    assert [step["event"] for step in found["steps"]] == [line["event"] for line in lines[1:]]
    assert [step["to"] for step in found["steps"]] == [line["to"] for line in lines[1:]]
    assert list(found["seconds"])[:3] == ["idle", "config", "download"]


def test_a_torn_tail_is_said_and_left_out(nodeinit: Nodeinit, journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:-20])
    told = nodeinit("replay", journal)
    assert told.exit_code == 0
    assert "note     the last line is torn" in told.stdout
    assert "note     the run did not come to its end in this journal" in told.stdout
    assert "releasing -> failed" not in told.stdout
    assert json.loads(nodeinit("replay", journal, "--json").stdout)["torn"] is True


def test_a_machine_that_has_changed_is_said(nodeinit: Nodeinit, journal: Path) -> None:
    text = journal.read_text()
    (definition,) = {json.loads(text.splitlines()[0])["definition"]}
    text = text.replace(definition, "0" * 12).replace('"to":"failed"', '"to":"released"')
    journal = journal.with_name("spoilt.jsonl")
    journal.write_text(text)
    told = nodeinit("replay", journal).stdout
    assert f"note     the machine has changed since; its definition is {definition} today" in told
    assert "this machine would decide otherwise today: line" in told
    assert "undone led to released, now to failed" in told


def test_the_machine_can_be_named(nodeinit: Nodeinit, journal: Path) -> None:
    text = journal.read_text().replace('"machine":"node_init"', '"machine":"gone"')
    journal = journal.with_name("spoilt.jsonl")
    journal.write_text(text)
    unknown = nodeinit("replay", journal)
    assert unknown.exit_code == 2
    assert "'gone'" in unknown.stderr
    assert "--machine MODULE:ATTR" in unknown.stderr
    other = nodeinit("replay", journal, "--machine", "node_init")
    assert other.exit_code == 2
    assert "belongs to machine 'gone'" in other.stderr


NO_JOURNALS = {
    "nothing": "",
    "a torn first line": '{"journal":1,"machine":"node_',
    "text": "hello\nworld\n",
    "another format": '{"journal":99}\n',
    "a list": "[1]\n",
    "a header with nothing in it": '{"journal":1}\n',
    "a header without a policy": '{"journal":1,"machine":"node_init","definition":"x"}\n',
    "binary": "\x00\xff\n",
}


@pytest.mark.parametrize("text", NO_JOURNALS.values(), ids=NO_JOURNALS)
def test_a_file_that_is_no_journal(nodeinit: Nodeinit, home: Path, text: str) -> None:
    path = home.parent / "spoilt.jsonl"
    path.write_text(text, encoding="latin-1")
    for options in ((), ("--json",)):
        result = nodeinit("replay", path, *options)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.startswith(f"Error: {path}: ")
        assert len(result.stderr.splitlines()) == 1


def test_a_file_that_is_not_there(nodeinit: Nodeinit) -> None:
    result = nodeinit("replay", "nope.jsonl")
    assert result.exit_code == 2
    assert "nope.jsonl: cannot be read: No such file" in result.stderr


def test_a_record_that_is_none(nodeinit: Nodeinit, journal: Path) -> None:
    header = journal.read_text().splitlines()[0]
    journal = journal.with_name("spoilt.jsonl")
    journal.write_text(f'{header}\n{{"event":"start"}}\n')
    result = nodeinit("replay", journal)
    assert result.exit_code == 2
    assert "line 2 is not of this format: lacks 'accepted'" in result.stderr
