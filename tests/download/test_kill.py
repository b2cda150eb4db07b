"""A fetch that is killed, at every moment that there is, while somebody watches."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeinit.download.fetch import bring
from nodeinit.download.manifest import Manifest
from nodeinit.download.store import is_complete, published_path, verify
from tests.download.trees import ALL, TOKENIZER, model, published, scratch, staged, tensors
from tests.download.victims import Victim, job

FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"[1, 2, 3]",
    "sub/model.safetensors": tensors(bytes(range(256)) * 40),
    "empty": b"",
}


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    with Victim() as process:
        yield process


def nothing(manifest: Manifest, path: Path) -> None:
    """The store is empty."""


def tokenizer(manifest: Manifest, path: Path) -> None:
    """A smaller mode is there already."""
    bring(manifest, TOKENIZER, path, name="before")


def damaged(manifest: Manifest, path: Path) -> None:
    """All is there, and one file is damaged."""
    bring(manifest, ALL, path, name="before")
    file = path / "sub" / "model.safetensors"
    file.chmod(0o644)
    file.write_bytes(b"x" * file.stat().st_size)


@pytest.mark.parametrize(("before", "step"), [(nothing, 1), (tokenizer, 3), (damaged, 4)])
def test_d5_a_fetch_may_be_killed_at_any_moment(
    victim: Victim, before: Callable[[Manifest, Path], None], step: int
) -> None:
    with scratch() as directory:
        manifest = model(directory / "model", FILES)
        root = directory / "store"
        path = published_path(root, manifest)
        kept: set[bool] = set()
        for moment in itertools.count(1, step):
            shutil.rmtree(root, ignore_errors=True)
            before(manifest, path)
            first = published(path) if before is tokenizer else {}
            place = path.stat().st_ino if before is tokenizer else None
            victim.send(job(manifest, ALL, path, die_at=moment))
            watch_until_answered(victim, manifest, path)
            answer = victim.hear()
            if "fetched" in answer:
                assert victim.hear() == {"killed": False, "status": 0}
                break
            assert answer["killed"]
            if before is tokenizer:
                assert is_complete(path, manifest, TOKENIZER)
            complete = honest(manifest, path)
            kept.add(complete)

            result = bring(manifest, ALL, path, name="after")
            assert result.fetched == 0 or not complete
            assert is_complete(path, manifest, ALL)
            assert verify(path, manifest, ALL, rehash=True) == ()
            after = published(path)
            assert {name: after[name] for name in first} == first
            assert place in (None, path.stat().st_ino), "what readers use was replaced"
            assert staged(root) == []
        assert moment > 40, "there are more moments than that, if they are counted"
        assert kept == {True, False}, "some moments are before the publication and some after it"


BIG = {
    "config.json": b"{}",
    "a.safetensors": tensors(random.Random(1).randbytes(90_000)),
    "b.safetensors": tensors(random.Random(2).randbytes(50_000)),
    "c.dat": random.Random(3).randbytes(4096 * 5),
}
CHUNK, STREAMS = 4096, 2  # of the victim


@pytest.mark.parametrize("kills", [30, pytest.param(500, marks=pytest.mark.slow)])
def test_what_a_kill_costs_is_a_chunk_a_stream(victim: Victim, kills: int) -> None:
    """Killed again and again at random moments, while a reader watches the published path."""
    draw = random.Random(kills)
    left, lives = kills, []
    with scratch() as directory:
        manifest = model(directory / "model", BIG)
        root, served = directory / "store", directory / "served"
        path = published_path(root, manifest)
        while left > 0:
            shutil.rmtree(root, ignore_errors=True)
            served.write_text("")
            killed = 0
            while True:
                die_at = draw.randint(1, 160)
                victim.send(
                    job(manifest, ALL, path, die_at=die_at, served=str(served), concurrency=STREAMS)
                )
                watch_until_answered(victim, manifest, path)
                if "fetched" in victim.hear():
                    victim.hear()
                    break
                killed += 1
                honest(manifest, path)
            assert {name: data for name, (_, data) in published(path).items()} == BIG
            assert staged(root) == []
            passed = sum(map(int, served.read_text().split()))
            assert manifest.size <= passed <= manifest.size + killed * STREAMS * CHUNK
            left -= killed
            lives.append(killed)
    assert max(lives) > 2, "some fetches were killed more than twice before they ended"


def watch_until_answered(victim: Victim, manifest: Manifest, path: Path) -> None:
    """A reader that trusts `is_complete`, as fast as it can, while the fetch is under way."""
    while not victim.has_answered():
        honest(manifest, path)


def honest(manifest: Manifest, path: Path) -> bool:
    """Whether the model is called complete; if it is, every byte of it is right."""
    if not is_complete(path, manifest, ALL):
        return False
    problems = verify(path, manifest, ALL, rehash=True)
    # A reader that was overtaken by a replacement asks again.
    assert not problems or not is_complete(path, manifest, ALL)
    return not problems
