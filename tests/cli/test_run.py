"""`nodeinit run` on a cluster in memory: what it prints, what it answers, what it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result

from nodeinit import LLMConfig
from nodeinit.clusters.simulated import SimFault
from nodeinit.download.manifest import Manifest
from tests.cli.conftest import WatchedCluster, World, write_config

Nodeinit = Callable[..., Result]


def test_the_demo_says_where_everything_is(nodeinit: Nodeinit, world: World, home: Path) -> None:
    result = nodeinit("run")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    out = result.stdout
    (journal,) = (home / "journals").glob("demo-tiny-llama-*.jsonl")
    assert out.index("placement -> ready") < out.index("READY after") < out.index("RELEASED")
    assert str(home / "models" / "demo--tiny-llama") in out
    assert "4 files, 7.0 MB; 7.0 MB fetched, verified on one host" in out
    assert "bundles 0-1, each  host-h0 (h0)  CPU 0.5" in out
    assert str(journal) in out
    assert "gave back  group demo-tiny-llama" in out
    assert world.nothing_left()


def test_simulated_hosts_show_a_stage_on_each(nodeinit: Nodeinit, world: World) -> None:
    result = nodeinit("run", "--hosts", 3, "--gpus-per-host", 8)
    assert result.exit_code == 0, result.output
    assert "bundles 0-3, each  host-h0 (h0)  GPU 1" in result.stdout
    assert "bundles 4-7, each  host-h1 (h1)  GPU 1" in result.stdout


@pytest.mark.parametrize(("hosts", "gpus"), [(1, 1), (1, 8), (2, 1), (3, 2), (2, 7)])
def test_the_demo_fits_whatever_is_simulated(
    nodeinit: Nodeinit, world: World, hosts: int, gpus: int
) -> None:
    world.gpus = gpus
    assert nodeinit("run", "--hosts", hosts, "--gpus-per-host", gpus, "--quiet").exit_code == 0


def test_infeasible_is_3_and_says_why(nodeinit: Nodeinit, world: World, home: Path) -> None:
    config = write_config(home.parent / "c.yaml", engine_kwargs={"tensor_parallel_size": 16})
    result = nodeinit("run", config)
    assert result.exit_code == 3
    assert "FAILED" in result.stderr
    assert "16 GPUs" in result.stderr
    more = result.stdout[result.stdout.index("why: ") :].splitlines()[1]
    assert more.startswith(" " * 17)  # the reason goes on below, indented
    assert "Traceback" not in result.output
    found = json.loads(nodeinit("run", config, "--json").stdout)
    assert found["state"] == "failed"
    assert "16 GPUs" in found["reason"]
    assert found["model"] is found["placement"] is None
    assert world.nothing_left()


def test_a_failure_is_4_and_names_the_journal(nodeinit: Nodeinit, world: World, home: Path) -> None:
    world.faults = [SimFault("reserve", "permanent")]
    result = nodeinit("run", "--journal", home / "j.jsonl")
    assert result.exit_code == 4
    assert "placement: reserve failed for good" in result.stderr
    assert str(home / "j.jsonl") in result.stderr
    assert "READY" not in result.stdout
    assert world.nothing_left()


def test_a_setback_is_told_and_overcome(nodeinit: Nodeinit, world: World, home: Path) -> None:
    world.faults = [SimFault("reserve", "steal", node_id="h0")]
    config = write_config(home.parent / "c.yaml", engine_kwargs={"tensor_parallel_size": 8})
    result = nodeinit("run", config, "--hosts", 2)
    assert result.exit_code == 0, result.output
    assert "placement -> download    on displaced (plan 2)" in result.stdout
    assert "host-h1 (h1)" in result.stdout
    assert "(2 times)" in result.stdout


class Unreachable(World):
    """No Ray answers."""

    def connect(self, where: Any) -> WatchedCluster:
        raise ConnectionError("nobody home")


def test_a_cluster_that_is_not_there(
    nodeinit: Nodeinit, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodeinit.cli.cluster.connect", Unreachable().connect)
    result = nodeinit("run", "--json")
    assert result.exit_code == 4
    assert "nobody home" in result.stderr
    assert "Traceback" not in result.output
    assert json.loads(result.stdout)["state"] == "failed"
    assert "Traceback" in nodeinit("run", "--debug").stderr


class Sticky(WatchedCluster):
    """A group that cannot be given back."""

    async def remove(self, name: str) -> None:
        raise OSError("the head does not answer")


def test_what_cannot_be_given_back_is_an_error(
    nodeinit: Nodeinit, world: World, home: Path
) -> None:
    world.kind = Sticky
    config = write_config(
        home.parent / "c.yaml", placement_group_config={"bundle_per_worker": {"CPU": 1}}
    )
    result = nodeinit("run", config)
    assert result.exit_code == 4
    assert "may be left behind: OSError: the head does not answer" in result.stderr


class Reads(WatchedCluster):
    """Remembers which model was read."""

    async def manifest(self, config: LLMConfig) -> Manifest:
        self.asked = config.model_source
        return await super().manifest(config)


def test_the_model_is_picked_and_the_store_is_as_asked(
    nodeinit: Nodeinit, world: World, home: Path
) -> None:
    world.kind = Reads
    entries = [
        {
            "model_loading_config": {"model_id": name, "model_source": f"/models/{name}"},
            "placement_group_config": {"bundle_per_worker": {"CPU": 1}},
        }
        for name in ("one", "two")
    ]
    file = home.parent / "serve.yaml"
    file.write_text(json.dumps({"applications": [{"args": {"llm_configs": entries}}]}))
    result = nodeinit("run", file, "--model", "two", "--store", "shelf", "--json")
    assert result.exit_code == 0, result.stderr
    assert world.connected[-1].asked == "/models/two"
    assert json.loads(result.stdout)["model"]["path"].startswith(str(home.parent / "shelf" / "two"))
    unpicked = nodeinit("run", file)
    assert unpicked.exit_code == 2
    assert "one, two" in unpicked.stderr


def test_a_store_in_the_config_wins_over_the_home(
    nodeinit: Nodeinit, world: World, home: Path
) -> None:
    config = write_config(
        home.parent / "c.yaml",
        placement_group_config={"bundle_per_worker": {"CPU": 1}},
        experimental_configs={"nodeinit": {"store": "/mnt/shelf"}},
    )
    found = json.loads(nodeinit("run", config, "--json").stdout)
    assert found["model"]["path"].startswith("/mnt/shelf/")


@pytest.mark.parametrize(
    ("options", "variable", "address"),
    [
        ((), None, None),
        ((), "10.0.0.1:6379", "10.0.0.1:6379"),
        (("--address", "auto"), "x", "auto"),
    ],
)
def test_which_ray_is_meant(
    nodeinit: Nodeinit,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    variable: str | None,
    address: str | None,
) -> None:
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    assert nodeinit("run", *options, "--quiet").exit_code == 0
    assert world.where[-1].address == address


def test_the_journal_of_a_run_replays(nodeinit: Nodeinit, world: World, home: Path) -> None:
    nodeinit("run", "--journal", home / "j.jsonl")
    told = nodeinit("replay", home / "j.jsonl")
    assert told.exit_code == 0
    assert "placement -> ready" in told.stdout
    assert "explain  The node is released." in told.stdout


@pytest.mark.parametrize("kind", ["permanent", "none"])
def test_what_an_example_made_is_given_back_while_ray_is_there(
    nodeinit: Nodeinit, world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    finished: list[Any] = []
    made = LLMConfig(
        model_id="m", model_source="/m", placement_group_config={"bundle_per_worker": {"CPU": 1}}
    )

    def finish(config: LLMConfig) -> None:
        finished.append((config, world.connected[0].closed))

    example = SimpleNamespace(HOSTS=3, GPUS_PER_HOST=2, config=lambda source: made, finish=finish)
    monkeypatch.setattr("nodeinit.cli.examples.load_example", lambda name: example)
    world.faults = [SimFault("reserve", kind)]
    nodeinit("run", "--example", "whatever")
    assert finished == [(made, False)]
    assert world.connected[0].closed
    assert (world.where[0].hosts, world.where[0].gpus_per_host) == (3, 2)
    nodeinit("run", "--example", "whatever", "--hosts", "1")
    assert (world.where[1].hosts, world.where[1].gpus_per_host) == (1, 8)
