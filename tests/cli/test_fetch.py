"""`nodeinit fetch`: what would come from where, that it comes, and that it can be cut short."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from nodeinit.cli.fetch_hosts import picked
from nodeinit.cli.fetch_subject import named_model
from nodeinit.clusters.simulated import sim_host
from nodeinit.download.fetch import bring
from nodeinit.download.sources.local import LocalSource
from nodeinit.download.store import verify
from nodeinit.errors import ConfigError, PermanentError, TemporaryError
from nodeinit.placement.topology import ClusterSnapshot
from tests.cli.real import Elsewhere, Program
from tests.download.trees import ALL, MODEL, staged, write_tree

Nodeinit = Callable[..., Result]
SIZE = sum(map(len, MODEL.values()))
BIGGER = dict.fromkeys(("a.dat", "b.dat", "c.dat", "d.dat"), b"x" * 500000)


@pytest.fixture
def source(home: Path) -> Path:
    return write_tree(home.parent / "tiny", MODEL)


def write_config(home: Path, source: Path, **settings: Any) -> Path:
    path = home.parent / "llm.yaml"
    loading = {"model_id": "org/mine", "model_source": str(source)}
    more = {"experimental_configs": {"nodeinit": settings}} if settings else {}
    path.write_text(json.dumps({"model_loading_config": loading, **more}))
    return path


def files_of(root: Path) -> list[str]:
    return sorted(p.name for p in root.rglob("*") if p.is_file() and ".nodeinit" not in p.parts)


def test_a_directory_is_fetched(nodeinit: Nodeinit, home: Path, source: Path) -> None:
    result = nodeinit("fetch", source)
    assert result.exit_code == 0, result.output
    manifest = LocalSource().manifest(str(source), "tiny")
    path = home / "models" / "tiny" / manifest.revision
    assert verify(path, manifest, ALL, rehash=True) == ()
    for text in ("4 files, 10.3 kB for MODEL_AND_TOKENIZER", str(path), "0 bytes here already"):
        assert text in result.stdout
    assert re.search(r"10\.3 kB fetched in .*B/s\); 4 files, 10\.3 kB verified", result.stdout)


def test_a_second_time_there_is_nothing_to_fetch(nodeinit: Nodeinit, source: Path) -> None:
    nodeinit("fetch", source)
    result = nodeinit("fetch", source)
    assert result.exit_code == 0
    assert "10.3 kB here already" in result.stdout
    assert "nothing to fetch; 4 files" in result.stdout


def test_a_config_says_what_and_where(nodeinit: Nodeinit, home: Path, source: Path) -> None:
    store = home.parent / "given"
    config = write_config(home, source, store=str(store))
    result = nodeinit("fetch", config)
    assert result.exit_code == 0, result.output
    assert (store / "org--mine").is_dir()
    assert not (home / "models").exists()
    nodeinit("fetch", config, "--store", home.parent / "other")
    assert (home.parent / "other" / "org--mine").is_dir()


def test_a_node_finds_what_was_fetched(nodeinit: Nodeinit, home: Path, source: Path) -> None:
    """The very directory that a run of the same config publishes to."""
    found = json.loads(nodeinit("fetch", write_config(home, source), "--json").stdout)
    manifest = LocalSource().manifest(str(source), "org/mine")
    assert bring(manifest, ALL, found["path"], name="node").fetched == 0


def test_a_dry_run_only_says(nodeinit: Nodeinit, home: Path, source: Path) -> None:
    result = nodeinit("fetch", source, "--dry-run")
    assert result.exit_code == 0
    assert re.search(r"model\.safetensors +10\.3 kB  sha256", result.stdout)
    assert "strategy direct" in result.stdout
    assert files_of(home) == []


def test_a_mode(nodeinit: Nodeinit, home: Path, source: Path) -> None:
    result = nodeinit("fetch", source, "--mode", "tokenizer_only")
    assert result.exit_code == 0
    assert files_of(home) == ["config.json", "tokenizer.json"]
    found = json.loads(nodeinit("fetch", source, "--dry-run", "--json").stdout)
    assert found["hosts"]["here"]["present"] == len(b"{}") + len(b"[1, 2, 3]")


def test_json(nodeinit: Nodeinit, source: Path) -> None:
    result = nodeinit("fetch", source, "--json")
    found = json.loads(result.stdout)
    assert (found["state"], found["bytes"], found["fetched"]) == ("fetched", SIZE, SIZE)
    assert found["source"] == str(source)
    assert found["brought"]["here"]["files"] == 4
    assert {file["path"]: file["bytes"] for file in found["files"]} == {
        name: len(data) for name, data in MODEL.items()
    }
    assert "100 %" in result.stderr, "people see on stderr how far it is"


def test_json_of_a_failure(nodeinit: Nodeinit, home: Path) -> None:
    result = nodeinit("fetch", home.parent / "missing", "--json")
    assert result.exit_code == 4
    found = json.loads(result.stdout)
    assert found["state"] == "failed"
    assert "does not exist on this host" in found["reason"]


def test_settings_of_the_command_line(nodeinit: Nodeinit, home: Path, source: Path) -> None:
    write_tree(source, {"other/weights.pkl": b"pickled"})
    refused = nodeinit("fetch", source)
    assert refused.exit_code == 4
    assert "weights.pkl" in refused.stderr
    allowed = nodeinit("fetch", source, "--allow-pickle", "--bandwidth", "1GB")
    assert allowed.exit_code == 0, allowed.output
    bad = nodeinit("fetch", source, "--bandwidth", "10")
    assert bad.exit_code == 2
    assert "--bandwidth is in bytes per second" in bad.stderr
    alone = nodeinit("fetch", source, "--strategy", "swarm")
    assert alone.exit_code == 2
    assert "--strategy needs --hosts" in alone.stderr


def test_quiet(nodeinit: Nodeinit, source: Path) -> None:
    assert nodeinit("fetch", source, "--quiet").output == ""


BAD = {
    "nothing": ([], "Missing argument 'CONFIG|URI'"),
    "a config that is not there": (["lm.yaml"], "did you mean 'llm.yaml'?"),
    "a mode with a misspelling": (["x", "--mode", "tokeniser"], "did you mean 'TOKENIZER_ONLY'?"),
    "a mode that is none": (["x", "--mode", "none"], "NONE fetches nothing"),
    "an address without hosts": (["x", "--address", "auto"], "--address needs --hosts"),
    "another model": (["llm.yaml", "--model", "org/min"], "did you mean 'org/mine'?"),
}


@pytest.mark.parametrize(("arguments", "said"), BAD.values(), ids=list(BAD))
def test_bad_input(
    nodeinit: Nodeinit, home: Path, source: Path, arguments: list[str], said: str
) -> None:
    write_config(home, source)
    result = nodeinit("fetch", *arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert not home.exists()


def test_a_source_that_is_not_there(nodeinit: Nodeinit, home: Path) -> None:
    result = nodeinit("fetch", "/no/such/model")
    assert result.exit_code == 4
    assert result.stderr.startswith("Error: model source /no/such/model does not exist")


SECRET = "s3cr3tpassw0rdX"


@pytest.mark.parametrize(
    "uri",
    [
        f"nowhere://user:{SECRET}@bucket/model",
        f"nowhere://bucket/model?X-Amz-Signature={SECRET}",
    ],
)
def test_no_secret_is_shown(nodeinit: Nodeinit, uri: str) -> None:
    result = nodeinit("fetch", uri, "--json", "--debug")
    assert result.exit_code != 0
    assert "bucket/model" in result.output
    assert SECRET not in result.output


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("org/model", "org/model"),
        ("org/model@main", "org/model"),
        ("hf://org/model@abc123", "org/model"),
        ("gpt2", "gpt2"),
        ("s3://bucket/models/llama-3/", "llama-3"),
        ("https://example.org/a/b?token=x", "b"),
        ("/models/llama", "llama"),
        ("gs://bucket", "bucket"),
    ],
)
def test_what_a_model_is_called(uri: str, name: str, home: Path) -> None:
    assert named_model(uri) == name


def test_a_failure_that_may_pass_is_tried_again(
    nodeinit: Nodeinit, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def flaky(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise TemporaryError("rate_limited: come back", delay=0.01)
        return bring(*arguments, **options)

    monkeypatch.setattr("nodeinit.cli.fetch_places.bring", flaky)
    monkeypatch.setattr("nodeinit.fsm.policy.Policy.backoff", lambda *_: 0.01)
    result = nodeinit("fetch", source)
    assert result.exit_code == 0
    assert "rate_limited: come back; try 2 of 5 in 10 ms" in result.stdout
    assert len(calls) == 2


def test_what_cannot_pass_is_not(
    nodeinit: Nodeinit, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise PermanentError("auth: the token is not good; set HF_TOKEN")

    monkeypatch.setattr("nodeinit.cli.fetch_places.bring", refused)
    result = nodeinit("fetch", source)
    assert result.exit_code == 4
    assert result.stderr == "Error: auth: the token is not good; set HF_TOKEN\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_and_says_what_is_kept(
    nodeinit: Nodeinit,
    home: Path,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    opened, real = [], LocalSource.open
    write_tree(source, BIGGER)

    def slow(self: LocalSource, ref: str, file: Any, *more: Any, **options: Any) -> Any:
        opened.append(file.path)
        if len(opened) == 2:
            os.kill(os.getpid(), number)
            time.sleep(0.5)  # whoever gets the signal has long seen it then
        return real(self, ref, file, *more, **options)

    monkeypatch.setattr(LocalSource, "open", slow)
    result = nodeinit("fetch", source)
    assert result.exit_code == 5, result.output
    assert "interrupted: stopping" in result.stdout
    assert result.stderr.startswith("cancelled; ")
    assert re.search(r"\S+ \S+ of 2\.0 MB are kept: the same command goes on", result.stderr)
    found = json.loads(nodeinit("fetch", source, "--json").stdout)
    assert 0 < found["hosts"]["here"]["staged"] < sum(map(len, BIGGER.values()))
    assert found["fetched"] == found["bytes"] - found["hosts"]["here"]["staged"]
    assert staged(home / "models") == []


def test_an_interrupt_before_anything_came(
    nodeinit: Nodeinit, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(self: LocalSource, *_: Any, **__: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        raise TemporaryError("timeout: it would have taken longer")

    monkeypatch.setattr(LocalSource, "open", slow)
    result = nodeinit("fetch", source)
    assert result.exit_code == 5, result.output
    assert result.stderr == "cancelled; no file or part that can be kept had come yet\n"


def snapshot(*names: str) -> ClusterSnapshot:
    return ClusterSnapshot(tuple(sim_host(name, GPU=1) for name in names))


def test_which_hosts() -> None:
    hosts = snapshot("gpu-1", "gpu-2", "cpu-9")
    assert picked("all", hosts) == ("cpu-9", "gpu-1", "gpu-2")
    assert picked("2", hosts) == ("cpu-9", "gpu-1")
    assert picked("cpu-9, gpu-1", hosts) == ("cpu-9", "gpu-1")
    assert picked("cpu", hosts) == ("cpu-9",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("4", "the cluster has 3 living hosts"),
        ("0", "the cluster has 3 living hosts"),
        ("gqu-1", "did you mean 'gpu-1'?"),
        ("gpu", "'gpu' names 2 hosts; give ids"),
        (",", "give all, how many, or names"),
    ],
)
def test_hosts_that_are_none(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        picked(text, snapshot("gpu-1", "gpu-2", "cpu-9"))


@pytest.mark.parametrize("columns", ["20", "40", "200"])
def test_a_terminal_of_any_width(home: Path, source: Path, columns: str) -> None:
    """A real pseudo-terminal: bars while it works, and the result when it is done."""
    program = "from nodeinit.cli.main import main; main()"
    command = f"{sys.executable} -c '{program}' fetch {source}"
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": columns, "TERM": "xterm-256color"},
    )
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout
    assert "10.3 kB verified" in re.sub(r"\s+", " ", done.stdout)


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    made = Elsewhere()
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(180)
def test_hosts_of_a_real_ray(tmp_path: Path, elsewhere: Elsewhere) -> None:
    program, source = Program(tmp_path / "home"), write_tree(tmp_path / "tiny", MODEL)
    asked = ("fetch", str(source), "--address", elsewhere.address, "--hosts")
    wrong = program.run(*asked, "4")
    assert wrong.returncode == 2
    assert "the cluster has 3 living hosts" in wrong.stderr
    result = program.run(*asked, "all", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert len(found["brought"]) == 3
    assert "all hosts 100 %" in result.stderr
    assert found["fetched"] == SIZE, "they share a disk: it comes once"
    assert {one["strategy"].partition(":")[0] for one in found["brought"].values()} == {"shared"}
    again = program.run(*asked, "all")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("10.3 kB here already") == 3
    assert again.stdout.count("strategy direct: 3 hosts, and nothing to fetch") == 1
    assert again.stdout.count("nothing to fetch; 4 files") == 3
