"""`nodeinit cache`: what is in a store, whether it is whole, and what may go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from click.testing import Result

from nodeinit.download import marks
from nodeinit.download.catalogue import catalogue
from nodeinit.download.fetch import bring
from nodeinit.download.manifest import Manifest
from nodeinit.download.store import Shelf, is_complete, published_path
from tests.cli.real import Elsewhere, Program, wait_until
from tests.download.trees import ALL, MODEL, model

Nodeinit = Callable[..., Result]


@attrs.frozen
class Stored:
    """A model that was fetched into the default store."""

    manifest: Manifest
    path: Path

    @property
    def shelf(self) -> Shelf:
        return Shelf.at(self.path, self.manifest)


@pytest.fixture
def stored(home: Path) -> Stored:
    return fetched(home)


def fetched(home: Path, name: str = "org/model", **more: bytes) -> Stored:
    source = home.parent / f"source-{len(list(home.parent.iterdir()))}"
    manifest = attrs.evolve(model(source, MODEL | more), model_id=name)
    path = published_path(home / "models", manifest)
    bring(manifest, ALL, path, name="before")
    return Stored(manifest, path)


def flip(path: Path) -> None:
    """Change one bit, with nothing to be seen from outside."""
    stamp, data = path.stat().st_mtime_ns, bytearray(path.read_bytes())
    data[1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(stamp, stamp))


def test_an_empty_store(nodeinit: Nodeinit, home: Path) -> None:
    for arguments in (["ls"], ["verify"], ["prune"]):
        result = nodeinit("cache", *arguments)
        assert result.exit_code == 0, result.output
        assert str(home / "models") in result.stdout
    assert not (home / "models").exists(), "looking makes no store"


def test_ls(nodeinit: Nodeinit, stored: Stored) -> None:
    with marks.using(stored.shelf, "llm-1"):
        result = nodeinit("cache", "ls")
    assert result.exit_code == 0
    for text in ("org/model", stored.manifest.revision, "all", "just now", "in use by llm-1"):
        assert text in result.stdout
    assert "free" in result.stdout.splitlines()[-1]


def test_ls_in_json(nodeinit: Nodeinit, stored: Stored) -> None:
    with marks.using(stored.shelf, "llm-1"):
        (found,) = json.loads(nodeinit("cache", "ls", "--json").stdout)
    assert found["model_id"] == "org/model"
    assert found["revision"] == stored.manifest.revision
    assert found["modes"] == ["MODEL_AND_TOKENIZER"]
    assert found["bytes"] == stored.manifest.size
    assert [(user["who"], user["pid"]) for user in found["in_use"]] == [("llm-1", os.getpid())]
    assert found["damaged"] == []


def test_a_damaged_model_is_shown(nodeinit: Nodeinit, stored: Stored) -> None:
    (stored.path / "model.safetensors").unlink()
    result = nodeinit("cache", "ls")
    assert "DAMAGED: model.safetensors is missing" in result.stdout
    assert "the next fetch of a damaged model repairs it" in result.stderr


def test_verify_says_that_all_is_well(nodeinit: Nodeinit, stored: Stored) -> None:
    for arguments in ([], ["--full"], ["org/model"], [stored.manifest.revision[:6], "--full"]):
        result = nodeinit("cache", "verify", *arguments)
        assert result.exit_code == 0, result.output
        assert "ok" in result.stdout


def test_a_flipped_bit_is_found_named_and_repaired(nodeinit: Nodeinit, stored: Stored) -> None:
    flip(stored.path / "model.safetensors")
    assert nodeinit("cache", "verify").exit_code == 0, "it looks as it did"
    assert is_complete(stored.path, stored.manifest, ALL)
    for _ in range(2):
        result = nodeinit("cache", "verify", "--full")
        assert result.exit_code == 1
        assert f"{stored.path / 'model.safetensors'} has the sha256" in result.stdout
        assert "the next fetch repairs it" in result.stdout
    assert nodeinit("cache", "verify").exit_code == 1, "now it looks bad too"
    bring(stored.manifest, ALL, stored.path, name="repair")
    assert nodeinit("cache", "verify", "--full").exit_code == 0


def test_bad_files_in_json(nodeinit: Nodeinit, stored: Stored) -> None:
    (stored.path / "config.json").unlink()
    result = nodeinit("cache", "verify", "--json")
    assert result.exit_code == 1
    (found,) = json.loads(result.stdout)
    assert found["bad"] == [{"file": "config.json", "problem": "is missing"}]


def test_an_unknown_model_is_told_with_the_nearest(nodeinit: Nodeinit, stored: Stored) -> None:
    result = nodeinit("cache", "verify", "org/modell")
    assert result.exit_code == 2
    assert "did you mean 'org/model'?" in result.stderr


def test_prune_without_options_takes_no_model(nodeinit: Nodeinit, stored: Stored) -> None:
    result = nodeinit("cache", "prune")
    assert result.exit_code == 0
    assert "no model was asked to go: see --older-than" in result.stdout
    assert is_complete(stored.path, stored.manifest, ALL)


def test_prune_frees_and_says_what(nodeinit: Nodeinit, stored: Stored) -> None:
    newer = fetched(stored.shelf.root.parent, more=b"x" * 5000)
    arguments = ("cache", "prune", "--keep", "1")
    dry = nodeinit(*arguments, "--dry-run")
    assert f"would free 10.3 kB: org/model {stored.manifest.revision}" in dry.stdout
    assert stored.path.exists()
    result = nodeinit(*arguments)
    assert f"freed 10.3 kB: org/model {stored.manifest.revision}, used just now" in result.stdout
    assert not stored.path.exists()
    assert is_complete(newer.path, newer.manifest, ALL)


def test_prune_keeps_what_is_in_use_and_says_by_whom(nodeinit: Nodeinit, stored: Stored) -> None:
    with marks.using(stored.shelf, "llm-1"):
        result = nodeinit("cache", "prune", "--max-size", "1kB", "--older-than", "0s")
        found = json.loads(nodeinit("cache", "prune", "--keep", "0", "--json").stdout)
    assert result.exit_code == 0
    assert f"kept   org/model {stored.manifest.revision}: in use by llm-1" in result.stdout
    assert "0 bytes freed" in result.stdout
    assert found["removed"] == []
    assert found["kept"][0]["why"].startswith("in use by llm-1")
    assert is_complete(stored.path, stored.manifest, ALL)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--older-than", "30"], "'30' is not a time; write 90s, 45min, 12h, 30d or 2w."),
        (["--older-than", "soon"], "'soon' is not a time"),
        (["--max-size", "500 giga"], "'500 giga' is not a size; write 500GiB"),
        (["--keep", "-1"], "-1 is not in the range x>=0"),
    ],
)
def test_amounts_that_are_none(nodeinit: Nodeinit, arguments: list[str], said: str) -> None:
    result = nodeinit("cache", "prune", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_amounts_with_their_units(nodeinit: Nodeinit, stored: Stored) -> None:
    for spared in (["--older-than", "2w"], ["--max-size", "10.5kB"], ["--max-size", "1 GiB"]):
        nodeinit("cache", "prune", *spared)
        assert stored.path.exists(), spared
    nodeinit("cache", "prune", "--max-size", "9.9KiB")
    assert not stored.path.exists()


def test_a_store_of_ones_own(nodeinit: Nodeinit, stored: Stored, tmp_path: Path) -> None:
    root = stored.shelf.root.rename(tmp_path / "elsewhere")
    assert "org/model" in nodeinit("cache", "ls", "--store", root).stdout
    assert "no models in" in nodeinit("cache", "ls").stdout


def test_a_reader_that_goes_away(stored: Stored) -> None:
    """`nodeinit cache ls | head -0`: no traceback."""
    program = "from nodeinit.cli.main import main; main()"
    command = f"{sys.executable} -c '{program}' cache ls --store {stored.shelf.root} | head -0"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(180)
def test_the_model_of_a_node_stays_until_it_is_released_or_its_driver_is_killed(
    tmp_path: Path,
) -> None:
    program, root = Program(tmp_path / "home"), tmp_path / "home" / "models"
    elsewhere = Elsewhere()
    try:
        for end in (signal.SIGINT, signal.SIGKILL):
            with program.started("run", "--hold", "--address", elsewhere.address) as process:
                assert process.stdout
                while "holding the node" not in process.stdout.readline():
                    assert process.poll() is None
                (entry,) = catalogue(root)
                assert [user.who.startswith("demo-tiny-llama-") for user in entry.users] == [True]
                kept = program.run("cache", "prune", "--keep", "0")
                assert "in use by demo-tiny-llama-" in kept.stdout
                process.send_signal(end)
                process.communicate()
                assert wait_until(lambda: not catalogue(root)[0].users), end
        freed = program.run("cache", "prune", "--keep", "0")
        assert "freed 718" in freed.stdout
        assert catalogue(root) == ()
    finally:
        elsewhere.close()
