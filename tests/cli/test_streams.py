"""Who gets what on stdout and stderr: people, programs, and readers that go away."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from nodeinit import CallbackCtx
from nodeinit.clusters.simulated import SimFault
from tests.cli.conftest import World, write_config

Nodeinit = Callable[..., Result]
KEYS = {"state", "reason", "phases", "model", "placement", "hooks", "journal"}
IN_MEMORY = (
    "import sys; from nodeinit.cli import cluster, main; from tests.cli.conftest import World\n"
    "cluster.connect = World().connect\n"
    "main.main()"
)
"""The program in a process of its own, with a real stdout, on a cluster in memory."""


class Talkative:
    """A callback that prints, as people's do."""

    def on_before_init(self, ctx: CallbackCtx) -> None:
        print("PRINTED BY A HOOK")

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx:
        return ctx.evolve(custom_data=ctx.custom_data.set(f"seen-{node_id}", True))


def test_json_is_one_object_and_nothing_else(nodeinit: Nodeinit, world: World, home: Path) -> None:
    config = write_config(
        home.parent / "c.yaml",
        callback_config={"callback_class": "tests.cli.test_streams:Talkative"},
        placement_group_config={"bundle_per_worker": {"CPU": 1}},
    )
    result = nodeinit("run", config, "--json", "--journal", home / "j.jsonl")
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert set(found) == KEYS
    assert found["state"] == "ready"
    assert found["reason"] is None
    assert list(found["phases"]) == ["config", "download", "placement"]
    assert all(seconds > 0 for seconds in found["phases"].values())
    assert set(found["model"]) == {"path", "files", "bytes"}
    assert found["placement"] == {
        "strategy": "PACK",
        "bundles": [{"index": 0, "node_id": "h0", "resources": {"CPU": 1}}],
    }
    assert [(call["hook"], call["node_id"]) for call in found["hooks"]] == [
        ("on_before_init", None),
        ("on_node_download", "h0"),
    ]
    assert found["journal"] == str(home / "j.jsonl")
    assert "PRINTED BY A HOOK" in result.stderr
    assert "placement -> ready" in result.stderr


class Shouts:
    """A callback that starts a program, which writes to the stdout that it finds."""

    def on_before_init(self, ctx: CallbackCtx) -> None:
        subprocess.run(["echo", "WRITTEN BY A PROGRAM"], check=True)


def test_not_even_a_program_of_a_hook_writes_between_the_json(home: Path) -> None:
    """In a process of its own, where stdout is a real one."""
    config = write_config(
        home.parent / "c.yaml",
        callback_config={"callback_class": "tests.cli.test_streams:Shouts"},
        placement_group_config={"bundle_per_worker": {"CPU": 1}},
    )
    done = subprocess.run(
        [sys.executable, "-c", IN_MEMORY, "run", str(config), "--json"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert json.loads(done.stdout)["state"] == "ready"
    assert "WRITTEN BY A PROGRAM" in done.stderr
    assert done.returncode == 0


def test_a_reader_that_goes_away_does_not_end_the_run(home: Path) -> None:
    """`nodeinit run | head -1`: the node is brought up and given back all the same."""
    with subprocess.Popen(
        [sys.executable, "-c", IN_MEMORY, "run", "--journal", str(home / "j.jsonl")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert '"to":"released"' in (home / "j.jsonl").read_text().splitlines()[-1]


class FailsAtTheEnd:
    """Its last hook, which only observes, raises."""

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        raise ValueError("cannot even fail")


def test_what_is_logged_is_one_line(nodeinit: Nodeinit, world: World, home: Path) -> None:
    world.faults = [SimFault("reserve", "permanent")]
    config = write_config(
        home.parent / "c.yaml",
        callback_config={"callback_class": "tests.cli.test_streams:FailsAtTheEnd"},
        placement_group_config={"bundle_per_worker": {"CPU": 1}},
    )
    result = nodeinit("run", config)
    logged = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert len(logged) == 1
    assert "raised ValueError: cannot even fail" in logged[0]
    assert "Traceback" not in result.stderr
    assert "Traceback" in nodeinit("run", config, "--debug").stderr


def test_custom_data_of_the_callbacks_is_shown(
    nodeinit: Nodeinit, world: World, home: Path
) -> None:
    config = write_config(
        home.parent / "c.yaml",
        callback_config={"callback_class": "tests.cli.test_streams:Talkative"},
        placement_group_config={"bundle_per_worker": {"CPU": 1}},
    )
    out = nodeinit("run", config).stdout
    assert "seen-h0 = True" in out
    assert "on_node_download of tests.cli.test_streams:Talkative on 1 host" in out


def test_quiet_says_nothing_but_what_went_wrong(nodeinit: Nodeinit, world: World) -> None:
    result = nodeinit("run", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    world.faults = [SimFault("reserve", "permanent")]
    result = nodeinit("run", "--quiet")
    assert result.stdout == ""
    assert "reserve failed for good" in result.stderr
