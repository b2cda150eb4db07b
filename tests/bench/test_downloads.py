"""Downloads, side by side on one machine: ours beside the field, from the same server to the same disk.

`pytest -m bench -s tests/bench/test_downloads.py --peer-python /path/to/python`, whose environment
has boto3 and pyarrow beside Ray (for Ray's own downloaders), and s5cmd and rclone, if they are to
be in the table. Ours hashes every byte and syncs it to the disk, the others do neither. Figures are
ratios within one run: what else the machine does hits all alike, since they take turns.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.download.servers.seaweed import seaweed

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

MIB = 2**20
TOP = Path(__file__).parents[2]
SHARDS = (128, 128, 96, 64, 64, 32)
"""Sizes of the weights, in MiB."""
PASSES = 3


@attrs.frozen
class Run:
    """One client's figures: cold and warm seconds, CPU seconds, peak RSS in MiB, import seconds."""

    cold: float
    cpu: float
    rss: float
    imported: float
    warm: float


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in real safetensors files, with an index and a config."""
    directory = tmp_path_factory.mktemp("model")
    weight_map = {}
    for number, size in enumerate(SHARDS, start=1):
        name = f"model-{number:05}-of-{len(SHARDS):05}.safetensors"
        tensor = {"dtype": "U8", "shape": [size * MIB], "data_offsets": [0, size * MIB]}
        header = json.dumps({f"t{number}": tensor}).encode()
        with (directory / name).open("wb") as writer:
            writer.write(len(header).to_bytes(8, "little") + header)
            for _ in range(size):
                writer.write(os.urandom(MIB))
        weight_map[f"t{number}"] = name
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    (directory / "config.json").write_text('{"model_type": "llama"}')
    (directory / "tokenizer.json").write_text("{}")
    return directory


@pytest.fixture(scope="module")
def peer(pytestconfig: pytest.Config) -> str:
    """The Python of the others."""
    return str(pytestconfig.getoption("--peer-python", default=None) or sys.executable)


def files_of(directory: Path) -> Mapping[str, Path]:
    return {path.name: path for path in sorted(directory.iterdir())}


def test_from_s3(
    model: Path, peer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "server").mkdir()
    with seaweed(tmp_path / "server") as bucket:
        for name, path in files_of(model).items():
            bucket.put(f"bench/{name}", path.read_bytes())
        environment = {**bucket.environment, "AWS_ENDPOINT_URL": bucket.url}
        ref = f"{bucket.ref}/bench"
        contenders = {
            "nodeinit": (sys.executable, ref),
            "Ray, boto3": (peer, ref),
            "Ray, pyarrow": (peer, ref),
            "obstore, S3": (sys.executable, ref),
            "s5cmd": (peer, ref),
            "rclone": (peer, ref),
            "cp -r": (sys.executable, str(model)),
        }
        runs = race(contenders, environment, tmp_path, model)
    with capsys.disabled():
        show("S3 (SeaweedFS on loopback)", runs)


def test_from_the_hub(
    model: Path, peer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hub_of(model, tmp_path) as url:
        environment = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hf")}
        contenders = {
            "nodeinit": (sys.executable, "hf://org/bench"),
            "huggingface_hub": (sys.executable, "hf://org/bench"),
            "obstore, Hub": (sys.executable, "hf://org/bench"),
            "cp -r": (sys.executable, str(model)),
        }
        runs = race(contenders, environment, tmp_path, model)
    with capsys.disabled():
        show("Hugging Face Hub (on loopback, plain HTTP)", runs)


def race(
    contenders: Mapping[str, tuple[str, str]],
    environment: Mapping[str, str],
    scratch: Path,
    model: Path,
) -> dict[str, list[Run]]:
    """Let all download in turns, and check once that each has the right bytes."""
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for turn in range(PASSES):
        for name, (python, ref) in contenders.items():
            target = scratch / "target"
            target.mkdir()
            os.sync()  # nobody pays for the bytes of the one before
            answer = measured(name, python, ref, target, environment)
            if answer is None:
                del runs[name]
                contenders = {n: c for n, c in contenders.items() if n != name}
            else:
                if turn == 0 and sizes(target) != sizes(model):
                    pytest.fail(f"{name} did not bring the files of the model")
                runs[name].append(answer)
            shutil.rmtree(target)
    return runs


def measured(
    name: str, python: str, ref: str, target: Path, environment: Mapping[str, str]
) -> Run | None:
    """A cold download and, in a process of its own, a second one; `None` when it cannot run here."""
    command = [python, "-m", "tests.bench.download_clients", name, ref, str(target)]
    path = os.pathsep.join([str(TOP), str(TOP / "lib"), str(TOP / "machines")])
    environment = {**os.environ, **environment, "PYTHONPATH": path}
    answers: list[dict[str, Any]] = []
    for _ in ("cold", "warm"):
        done = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason"])[-1]
            print(f"\n{name} is left out: {reason}", file=sys.__stderr__)
            return None
        answers.append(json.loads(done.stdout))
    cold, warm = answers
    return Run(cold["seconds"], cold["cpu"], cold["rss"], cold["import"], warm["seconds"])


def sizes(directory: Path) -> list[int]:
    """The sizes of the weights below a directory, links followed, copies of a link left out."""
    found = {p.resolve() for p in directory.rglob("*.safetensors")}
    return sorted(path.stat().st_size for path in found)


def show(title: str, runs: Mapping[str, list[Run]]) -> None:
    """The table: medians over the passes, and ratios to ours."""
    mib = sum(SHARDS)

    def median(name: str, field: str) -> float:
        return statistics.median(getattr(run, field) for run in runs[name])

    mine = {field: median("nodeinit", field) for field in ("cold", "cpu", "warm")}
    print(f"\n{title}: {mib} MiB in {len(SHARDS)} shards, {PASSES} passes, medians")
    print(
        f"{'client':18}{'MiB/s':>8}{'ours is':>9}{'CPU s/GiB':>11}{'RSS MiB':>9}"
        f"{'warm s':>9}{'ours is':>10}{'import s':>10}"
    )
    for name in runs:
        cold, warm = median(name, "cold"), median(name, "warm")
        print(
            f"{name:18}{mib / cold:8.0f}{cold / mine['cold']:8.2f}x"
            f"{median(name, 'cpu') * 1024 / mib:11.2f}{median(name, 'rss'):9.0f}"
            f"{warm:9.3f}{warm / mine['warm']:9.1f}x{median(name, 'imported'):10.2f}"
        )


def hub_of(model: Path, scratch: Path) -> Any:
    """A hub that serves the model as `org/bench`."""
    import contextlib

    hub = pytest.importorskip("tests.download.servers.hub")

    @contextlib.contextmanager
    def serving() -> Iterator[str]:
        (scratch / "hub").mkdir()
        with hub.HubServer(scratch / "hub") as server:
            server.add("org/bench", {n: p.read_bytes() for n, p in files_of(model).items()})
            yield server.url

    return serving()
