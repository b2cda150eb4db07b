"""The program as a user starts it: a process of its own, a real Ray, and nothing left behind."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeinit import CallbackCtx
from nodeinit.cli.examples import names
from nodeinit.download.tiny_model import make_tiny_model
from tests.cli.real import Elsewhere, Program, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


class Blocks:
    """Begins something on the host that does not end, and says that it has begun."""

    def __init__(self, flag: str) -> None:
        self.flag = flag

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> None:
        Path(self.flag).touch()
        signal.pause()


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "home")


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    made = Elsewhere()
    yield made
    made.close()


def test_the_demo(program: Program) -> None:
    result = program.run("run")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # not a word of Ray's own
    path = program.home / "models" / "demo--tiny-llama"
    (revision,) = path.iterdir()
    assert (revision / "tokenizer.json").is_file()
    for text in ("READY after", str(revision), "bundles 0-1, each", "CPU 0.5", "RELEASED"):
        assert text in result.stdout
    assert "kB fetched, verified on one host" in result.stdout


@pytest.mark.slow
def test_an_example_with_hosts_of_its_own_in_json(program: Program) -> None:
    result = program.run("run", "--example", "custom_download", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["state"] == "ready"
    hosts = {bundle["node_id"] for bundle in found["placement"]["bundles"]}
    assert len(hosts) == 2
    on_hosts = {c["node_id"] for c in found["hooks"] if c["hook"] == "on_node_download"}
    assert on_hosts == hosts
    assert Path(found["model"]["path"], "config.json").is_file()
    for node_id in hosts:
        assert f"host-{node_id[:8]} = " in result.stderr


@pytest.mark.parametrize("name", [name for name in names() if name != "custom_download"])
def test_every_example_on_a_cluster_that_is_there(
    program: Program, elsewhere: Elsewhere, name: str
) -> None:
    result = program.run("run", "--example", name, "--address", elsewhere.address)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "READY after" in result.stdout
    assert wait_until(lambda: elsewhere.groups() == [])


def write_blocking(tmp_path: Path) -> tuple[Path, Path]:
    """A config whose download does not end, and the file that says that it has begun."""
    flag, config = tmp_path / "begun", tmp_path / "c.yaml"
    source = make_tiny_model(tmp_path / "model")
    config.write_text(
        json.dumps(
            {
                "model_loading_config": {"model_id": "m", "model_source": str(source)},
                "placement_group_config": {"bundle_per_worker": {"CPU": 0.5}},
                "callback_config": {
                    "callback_class": "tests.cli.test_on_ray:Blocks",
                    "callback_kwargs": {"flag": str(flag)},
                },
            }
        )
    )
    return config, flag


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_a_download(program: Program, tmp_path: Path) -> None:
    config, flag = write_blocking(tmp_path)
    with program.started("run", str(config), "--json") as process:
        assert wait_until(flag.exists, 60)
        program.interrupt(process)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 5, err
    assert json.loads(out)["state"] == "cancelled"
    assert "gave back  fetch m-" in err
    assert "Traceback" not in err


def test_sigterm_on_a_cluster_that_is_there(
    program: Program, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    with program.started("run", "--hold", "--address", elsewhere.address) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any("holding the node" in line for line in lines)
        assert len(elsewhere.groups()) == 1
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "gave back  group demo-tiny-llama" in out
    assert wait_until(lambda: elsewhere.groups() == [])


def test_a_ray_that_is_not_there(program: Program) -> None:
    result = program.run("run", "--address", "127.0.0.1:1")
    assert result.returncode == 2
    assert result.stderr.startswith("Error: ")
    assert "127.0.0.1:1" in result.stderr
    assert len(result.stderr.splitlines()) == 1
