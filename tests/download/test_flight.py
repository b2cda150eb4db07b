"""Several processes and threads that want the same model at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nodeinit.download.fetch import FetchResult, Stopped, bring
from nodeinit.download.manifest import Manifest
from nodeinit.download.store import is_complete, published_path, verify
from tests.download.trees import ALL, MODEL, TOKENIZER, Faulty, model, published, staged
from tests.download.victims import Victim, job

SIZE = sum(len(data) for data in MODEL.values())


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return model(tmp_path / "model")


@pytest.fixture
def path(tmp_path: Path, manifest: Manifest) -> Path:
    return published_path(tmp_path / "store", manifest)


def test_of_two_processes_one_fetches_and_the_other_waits(manifest: Manifest, path: Path) -> None:
    with Victim() as first, Victim() as second:
        first.send(job(manifest, ALL, path, hold=True))
        assert first.hear() == {"held": True}
        second.send(job(manifest, ALL, path, tell="wait"))
        assert second.hear() == {"done": 0, "total": SIZE, "stage": "wait"}
        assert not is_complete(path, manifest, ALL)
        first.send("go on")
        assert first.hear() == {"fetched": SIZE}
        answer = second.hear()
        while "stage" in answer:
            answer = second.hear()
        assert answer == {"fetched": 0}
    assert verify(path, manifest, ALL, rehash=True) == ()


def test_a_waiter_takes_over_from_a_process_that_was_killed(manifest: Manifest, path: Path) -> None:
    with Victim() as first, Victim() as second:
        first.send(job(manifest, ALL, path, hold=True))
        assert first.hear() == {"held": True}
        second.send(job(manifest, ALL, path, tell="wait", name="second"))
        assert second.hear()["stage"] == "wait"
        first.send("die")
        assert first.hear()["killed"]
        answer = second.hear()
        while "stage" in answer:
            answer = second.hear()
        assert 0 < answer["fetched"] <= SIZE
    assert is_complete(path, manifest, ALL)
    assert staged(path.parent.parent) == []


def test_a_waiter_can_be_stopped(manifest: Manifest, path: Path) -> None:
    with Victim() as first:
        first.send(job(manifest, ALL, path, hold=True))
        assert first.hear() == {"held": True}
        waiting = threading.Event()
        with pytest.raises(Stopped):
            bring(
                manifest,
                ALL,
                path,
                name="second",
                on_progress=lambda done, total, file, stage: waiting.set(),
                should_stop=waiting.is_set,
            )
        first.send("go on")
        assert first.hear() == {"fetched": SIZE}
    assert is_complete(path, manifest, ALL)


def test_d9_modes_of_one_model_do_not_write_at_once(manifest: Manifest, path: Path) -> None:
    with Victim() as first, Victim() as second:
        first.send(job(manifest, TOKENIZER, path, hold=True))
        assert first.hear() == {"held": True}
        second.send(job(manifest, ALL, path, tell="wait"))
        assert second.hear()["stage"] == "wait"
        first.send("go on")
        small = first.hear()["fetched"]
        answer = second.hear()
        while "stage" in answer:
            answer = second.hear()
        assert answer["fetched"] == SIZE - small
    assert is_complete(path, manifest, ALL)


def test_of_many_threads_one_fetches(manifest: Manifest, path: Path) -> None:
    source = Faulty()
    heard: list[list[tuple[int, int, str, str]]] = [[] for _ in range(8)]

    def fetch(number: int) -> FetchResult:
        def tell(*step: *tuple[int, int, str, str]) -> None:
            heard[number].append(step)

        return bring(manifest, ALL, path, name=f"job-{number}", source=source, on_progress=tell)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(fetch, range(8)))
    for result, steps in zip(results, heard, strict=True):
        assert steps[-1][:2] == (SIZE, SIZE)
        assert steps[-1][3] == ("fetch" if result.fetched else "verify")
    assert sorted(result.fetched for result in results) == [0] * 7 + [SIZE]
    assert source.opened == len(MODEL) - 1, "the empty file need not be asked for"
    assert {name: data for name, (_, data) in published(path).items()} == MODEL


def test_of_many_processes_one_fetches_and_one_takes_over(path: Path, tmp_path: Path) -> None:
    """The holder is killed while three wait: what was brought is not brought again."""
    files = MODEL | {"big.dat": bytes(range(256)) * 400}
    manifest = model(tmp_path / "model", files)
    path = published_path(tmp_path / "store", manifest)
    served = tmp_path / "served"
    with Victim() as first, Victim() as second, Victim() as third, Victim() as fourth:
        first.send(
            job(manifest, ALL, path, die_after=60_000, served=str(served), concurrency=1, hold=True)
        )
        assert first.hear() == {"held": True}
        others = (second, third, fourth)
        for number, other in enumerate(others):
            more = {"tell": "wait", "name": f"other-{number}", "served": str(served)}
            other.send(job(manifest, ALL, path, concurrency=1, **more))
            assert other.hear()["stage"] == "wait"
        first.send("go on")
        assert first.hear()["killed"]
        before = sum(map(int, served.read_text().split()))
        assert before > 50_000
        fetched = []
        for other in others:
            answer = other.hear()
            while "stage" in answer:
                answer = other.hear()
            fetched.append(answer["fetched"])
    assert sorted(fetched)[:2] == [0, 0]
    passed = sum(map(int, served.read_text().split()))
    assert manifest.size <= passed <= manifest.size + 4096, "a chunk is what the kill cost"
    assert {name: data for name, (_, data) in published(path).items()} == files
