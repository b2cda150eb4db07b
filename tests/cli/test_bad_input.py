"""What cannot be done is refused with one clear message and exit code 2, before anything starts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from nodeinit import CallbackCtx
from tests.cli.conftest import World

Nodeinit = Callable[..., Result]
HERE = "tests.cli.test_bad_input"


class Hookless:
    """Nothing that a machine would call."""


class Misspelt:
    def on_before_dowload(self, ctx: CallbackCtx) -> None: ...


class Demanding:
    def __init__(self, size: int) -> None:
        self.size = size

    def on_before_init(self, ctx: CallbackCtx) -> None: ...


def config(**more: Any) -> str:
    """A config file, in JSON, which is YAML."""
    return json.dumps({"model_loading_config": {"model_id": "m", "model_source": "/m"}, **more})


def callback(target: str, **more: Any) -> str:
    return config(callback_config={"callback_class": target, **more})


FILES = {
    "bad YAML": ("model_loading_config: {model_id: [", ["c.yaml", "line 1"]),
    "an empty file": ("", ["c.yaml"]),
    "a list": ("[1, 2]", ["c.yaml"]),
    "an unknown key": (
        config(engine_kwarg={"a": 1}),
        ["c.yaml", "engine_kwarg", "did you mean 'engine_kwargs'"],
    ),
    "a wrong type": (
        config(engine_kwargs={"tensor_parallel_size": "two"}),
        ["c.yaml", "engine_kwargs.tensor_parallel_size", "two"],
    ),
    "a negative size": (
        config(engine_kwargs={"tensor_parallel_size": -2}),
        ["c.yaml", "engine_kwargs.tensor_parallel_size", "-2"],
    ),
    "a size of nothing": (
        config(engine_kwargs={"pipeline_parallel_size": 0}),
        ["c.yaml", "engine_kwargs.pipeline_parallel_size", "0"],
    ),
    "a fractional size": (
        config(engine_kwargs={"tensor_parallel_size": 1.5}),
        ["c.yaml", "engine_kwargs.tensor_parallel_size", "1.5"],
    ),
    "a negative amount": (
        config(placement_group_config={"bundle_per_worker": {"GPU": -1}}),
        ["c.yaml", "placement_group_config.bundle_per_worker", "-1"],
    ),
    "a deadline in the past": (
        config(experimental_configs={"nodeinit": {"deadlines": {"download": -1}}}),
        ["c.yaml", "experimental_configs.nodeinit.deadlines.download", "-1"],
    ),
    "a callback that is not there": (
        callback("no_such_module:Thing"),
        ["c.yaml", "no_such_module:Thing", "cannot import 'no_such_module'", "PYTHONPATH"],
    ),
    "a callback that its module lacks": (
        callback(f"{HERE}:Misspeld"),
        ["has no 'Misspeld'", "did you mean 'Misspelt'?"],
    ),
    "a callback without hooks": (
        callback(f"{HERE}:Hookless"),
        ["c.yaml", f"{HERE}:Hookless", "no hook", "on_before_init"],
    ),
    "a misspelt hook": (
        callback(f"{HERE}:Misspelt"),
        ["'on_before_dowload'", "did you mean 'on_before_download'?"],
    ),
    "missing arguments of a callback": (
        callback(f"{HERE}:Demanding", callback_kwargs={"sizes": 1}),
        [f"{HERE}:Demanding", "sizes"],
    ),
}


@pytest.mark.parametrize(("text", "told"), FILES.values(), ids=FILES)
def test_a_bad_config(
    nodeinit: Nodeinit, world: World, home: Path, text: str, told: list[str]
) -> None:
    (home.parent / "c.yaml").write_text(text)
    refused(nodeinit("run", "c.yaml"), world, told)
    assert not (home / "journals").exists()


COMMAND_LINES: dict[str, tuple[list[str], list[str]]] = {
    "a missing file": (["nope.yaml"], ["nope.yaml"]),
    "a directory": (["."], ["."]),
    "no hosts": (["--hosts", "0"], ["--hosts", "0", "1 or more"]),
    "fewer than no hosts": (["--hosts", "-1"], ["--hosts", "-1"]),
    "half a host": (["--hosts", "1.5"], ["--hosts", "1.5"]),
    "a word for hosts": (["--hosts", "many"], ["--hosts", "many"]),
    "no GPUs": (["--hosts", "2", "--gpus-per-host", "0"], ["--gpus-per-host", "0"]),
    "GPUs of no hosts": (["--gpus-per-host", "2"], ["--gpus-per-host needs --hosts"]),
    "two clusters": (["--hosts", "2", "--address", "auto"], ["--hosts", "--address"]),
    "an unknown machine": (["--machine", "node_int"], ["node_int", "did you mean 'node_init'?"]),
    "an unknown example": (["--example", "metric"], ["'metric'", "did you mean 'metrics'?"]),
    "a config and an example": (["c.yaml", "--example", "metrics"], ["CONFIG", "--example"]),
    "a model of no config": (["--model", "m"], ["--model", "CONFIG"]),
    "a journal that is there": (["--journal", "old.jsonl"], ["old.jsonl", "exists already"]),
    "a journal below a file": (
        ["--journal", "old.jsonl/j.jsonl"],
        ["--journal", "old.jsonl/j.jsonl", "give another path"],
    ),
    "an unknown option": (["--jsn"], ["--jsn", "--json"]),
}


@pytest.mark.parametrize(("arguments", "told"), COMMAND_LINES.values(), ids=COMMAND_LINES)
def test_a_bad_command_line(
    nodeinit: Nodeinit, world: World, home: Path, arguments: list[str], told: list[str]
) -> None:
    old = home.parent / "old.jsonl"
    old.write_text("kept")
    refused(nodeinit("run", *arguments), world, told)
    assert old.read_text() == "kept"


def test_a_bad_config_in_json_is_still_one_object(nodeinit: Nodeinit, world: World) -> None:
    result = nodeinit("run", "nope.yaml", "--json")
    found = json.loads(result.stdout)
    assert found["state"] is None
    assert "nope.yaml" in found["reason"]
    assert result.exit_code == 2


def test_all_faults_of_a_file_are_told_at_once(
    nodeinit: Nodeinit, world: World, home: Path
) -> None:
    sizes = {"tensor_parallel_size": -1, "pipeline_parallel_size": 2.5}
    (home.parent / "c.yaml").write_text(config(engine_kwargs=sizes, bogus=1))
    told = ["3 faults", "bogus", "tensor_parallel_size", "pipeline_parallel_size"]
    refused(nodeinit("run", "c.yaml"), world, told)


def test_a_callback_beside_the_config_is_found(
    nodeinit: Nodeinit, world: World, home: Path
) -> None:
    """The installed program has no current directory on its path; the user's files lie there."""
    (home.parent / "beside_config.py").write_text(
        "class Beside:\n    def on_before_init(self, ctx):\n        print('BESIDE')\n"
    )
    (home.parent / "c.yaml").write_text(
        config(
            callback_config={"callback_class": "beside_config:Beside"},
            placement_group_config={"bundle_per_worker": {"CPU": 1}},
        )
    )
    result = nodeinit("run", "c.yaml")
    assert result.exit_code == 0, result.output
    assert "BESIDE" in result.stdout


def refused(result: Result, world: World, told: list[str]) -> None:
    """Exit code 2, one message that says all of this, nothing on stdout, nothing started."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert len(re.findall(r"^Error: ", result.stderr, re.MULTILINE)) == 1
    assert "Traceback" not in result.stderr
    for text in told:
        assert text in result.stderr
    assert world.connected == []
