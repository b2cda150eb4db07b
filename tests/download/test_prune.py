"""What is pruned from a store, and that a model in use never is."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import attrs
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from nodeinit.context import NodeModelDownloadable
from nodeinit.download import marks, pruning
from nodeinit.download.catalogue import Entry, catalogue, damage
from nodeinit.download.fetch import bring
from nodeinit.download.manifest import Manifest
from nodeinit.download.pruning import Policy, choose, prune
from nodeinit.download.store import Shelf, is_complete, published_path
from tests.download.trees import ALL, MODEL, TOKENIZER, model, staged

MODES = (NodeModelDownloadable.MODEL_AND_TOKENIZER,)


def fetched(directory: Path, name: str = "org/model", **files: bytes) -> tuple[Manifest, Path]:
    """A model in the store below `directory`; `files` make it another revision."""
    source = directory / f"source-{len(list(directory.iterdir()))}"
    manifest = attrs.evolve(model(source, MODEL | files), model_id=name)
    path = published_path(directory / "store", manifest)
    bring(manifest, ALL, path, name="before")
    return manifest, path


def listed(directory: Path) -> tuple[Entry, ...]:
    return catalogue(directory / "store")


ALL_GO = Policy(keep=0)


def test_a_store_is_listed(tmp_path: Path) -> None:
    manifest, path = fetched(tmp_path)
    (entry,) = listed(tmp_path)
    assert entry.model_id == "org/model"
    assert entry.shelf.path == path
    assert entry.modes == MODES
    assert (entry.files, entry.bytes) == (len(manifest.files), manifest.size)
    assert (entry.problems, entry.users, entry.staged) == ((), (), 0)
    assert time.time() - entry.used < 60


def test_what_nodeinit_did_not_publish_is_not_listed(tmp_path: Path) -> None:
    fetched(tmp_path)
    other = tmp_path / "store" / "my--own" / "thing"
    other.mkdir(parents=True)
    (other / "precious").write_text("x")
    assert len(listed(tmp_path)) == 1
    prune(listed(tmp_path), ALL_GO)
    assert (other / "precious").exists()


def test_damage_is_seen_and_named(tmp_path: Path) -> None:
    _, path = fetched(tmp_path)
    victim = path / "model.safetensors"
    victim.chmod(0o644)
    victim.write_bytes(b"short")
    (entry,) = listed(tmp_path)
    assert [problem.file for problem in entry.problems] == ["model.safetensors"]
    assert [problem.file for problem in damage(entry, full=False)] == ["model.safetensors"]


def test_a_flipped_bit_is_found_by_reading(tmp_path: Path) -> None:
    _, path = fetched(tmp_path)
    victim = path / "model.safetensors"
    stamp = victim.stat().st_mtime_ns
    data = bytearray(victim.read_bytes())
    data[1] ^= 1
    victim.chmod(0o644)
    victim.write_bytes(data)
    os.utime(victim, ns=(stamp, stamp))
    (entry,) = listed(tmp_path)
    assert damage(entry, full=False) == ()
    (problem,) = damage(entry, full=True)
    assert problem.file == "model.safetensors"
    assert "sha256" in problem.what


def test_without_a_policy_no_model_goes(tmp_path: Path) -> None:
    manifest, path = fetched(tmp_path)
    assert prune(listed(tmp_path), Policy()) == ()
    assert is_complete(path, manifest, ALL)


def test_a_model_goes_whole(tmp_path: Path) -> None:
    manifest, path = fetched(tmp_path)
    (result,) = prune(listed(tmp_path), ALL_GO)
    assert (result.freed, result.why) == (manifest.size, None)
    assert not path.exists()
    assert staged(tmp_path / "store") == []
    assert listed(tmp_path) == ()
    assert bring(manifest, ALL, path, name="again").fetched == manifest.size


def test_a_dry_run_takes_nothing(tmp_path: Path) -> None:
    manifest, path = fetched(tmp_path)
    (result,) = prune(listed(tmp_path), ALL_GO, dry_run=True)
    assert result.freed == manifest.size
    assert is_complete(path, manifest, ALL)


def test_a_model_in_use_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, path = fetched(tmp_path)
    shelf = Shelf.at(path, manifest)
    stale = listed(tmp_path)  # from before it was taken into use
    with marks.using(shelf, "llm-1"), monkeypatch.context() as patched:
        patched.setattr(pruning, "unmark", lambda _: pytest.fail("it was withdrawn, if briefly"))
        for entries in (stale, listed(tmp_path)):
            (result,) = prune(entries, ALL_GO)
            assert result.freed == 0
            assert "in use by llm-1" in (result.why or "")
        assert is_complete(path, manifest, ALL)
    (result,) = prune(listed(tmp_path), ALL_GO)
    assert result.freed == manifest.size


def test_who_comes_while_a_model_is_being_withdrawn_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The narrowest moment: after the first look at the marks, before the markers are gone."""
    manifest, path = fetched(tmp_path)
    bring(manifest, TOKENIZER, path, name="another mode")
    shelf = Shelf.at(path, manifest)
    held = []
    withdraw = pruning.unmark

    def unmark(directory: Path) -> None:
        held.append(marks.take(shelf, "just in time"))
        assert is_complete(path, manifest, ALL), "it saw a complete model, and will use it"
        withdraw(directory)
        assert not is_complete(path, manifest, ALL)

    monkeypatch.setattr(pruning, "unmark", unmark)
    (result,) = prune(listed(tmp_path), ALL_GO)
    assert "just in time" in (result.why or "")
    assert is_complete(path, manifest, ALL)
    assert is_complete(path, manifest, TOKENIZER)
    held[0].release()


def test_a_model_that_is_being_fetched_stays(tmp_path: Path) -> None:
    manifest, path = fetched(tmp_path)
    with FileLock(Shelf.at(path, manifest).lock):
        (result,) = prune(listed(tmp_path), ALL_GO)
    assert "fetching" in (result.why or "")
    assert is_complete(path, manifest, ALL)


def test_readers_and_a_pruner_side_by_side(tmp_path: Path) -> None:
    """Users mark, then fetch, then read; whatever the pruner does, the model is there for them."""
    manifest, path = fetched(tmp_path)
    shelf = Shelf.at(path, manifest)
    over = threading.Event()
    looked = threading.Condition()
    freed: list[int] = []

    def pruner() -> None:
        while not over.is_set():
            found = sum(one.freed for one in prune(listed(tmp_path), ALL_GO))
            with looked:
                freed.append(found)
                looked.notify_all()

    def let_the_pruner_look() -> None:
        """Until a look that began with nobody using the model has ended."""
        with looked:
            seen = len(freed)
            assert looked.wait_for(lambda: len(freed) >= seen + 2, timeout=60)

    thread = threading.Thread(target=pruner)
    thread.start()
    try:
        for number in range(60):
            with marks.using(shelf, "reader"):
                bring(manifest, ALL, path, name=f"reader-{number}")
                for file in manifest.files:
                    assert (path / file.path).stat().st_size == file.size
            if number % 10 == 0:
                let_the_pruner_look()
    finally:
        over.set()
        thread.join()
    assert sum(map(bool, freed)) >= 6, "what nobody used was not freed"


def leave_staged(directory: Path, manifest: Manifest) -> Path:
    """What a job that is no more left half-fetched."""
    path = Shelf.of(directory / "store", manifest).scratch("dead") / "model"
    path.mkdir(parents=True)
    (path / "part").write_bytes(b"x" * 1000)
    return path


def test_staging_of_dead_jobs_goes_unless_it_is_fresh(tmp_path: Path) -> None:
    manifest, _ = fetched(tmp_path)
    leave_staged(tmp_path, manifest)
    (fresh,) = prune(listed(tmp_path), Policy())
    assert "may take it up again" in (fresh.why or "")
    assert staged(tmp_path / "store") != []
    (result,) = prune(listed(tmp_path), Policy(older_than=0, keep=9))
    assert (result.what, result.freed) == ("staging", 1000)
    assert staged(tmp_path / "store") == []


def test_staging_of_a_living_job_stays(tmp_path: Path) -> None:
    manifest, _ = fetched(tmp_path)
    part = leave_staged(tmp_path, manifest)
    with FileLock(Shelf.of(tmp_path / "store", manifest).lock):
        (result,) = prune(listed(tmp_path), Policy(older_than=0, keep=9))
    assert "fetching" in (result.why or "")
    assert part.exists()


def test_a_pruner_that_dies_leaves_no_half_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dies(BaseException):
        pass

    manifest, path = fetched(tmp_path)
    for name in ("unmark", "fsync_directory"):
        with monkeypatch.context() as patched, contextlib.suppress(Dies):

            def die(*_: object, real: object = getattr(pruning, name)) -> None:
                real(*_)  # type: ignore[operator]
                raise Dies

            patched.setattr(pruning, name, die)
            prune(listed(tmp_path), ALL_GO)
        assert not is_complete(path, manifest, ALL)
        bring(manifest, ALL, path, name="again")
        assert is_complete(path, manifest, ALL)


def entry(number: int, name: str, size: int, used: float, in_use: bool) -> Entry:
    mark = marks.Mark("who", "host", 1, 0.0, "", True)
    return Entry(
        Shelf(Path("/nowhere"), name, f"{number:016x}"),
        name,
        MODES,
        1,
        size,
        0,
        (),
        used,
        (mark,) if in_use else (),
    )


ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 100), st.integers(0, 50), st.booleans()),
    max_size=8,
    unique_by=lambda row: row[2],
)
MAYBE = st.none() | st.integers(0, 100)


@given(ROWS, MAYBE, st.none() | st.integers(0, 3), MAYBE)
def test_what_goes(
    rows: list[tuple[str, int, int, bool]], older: int | None, keep: int | None, most: int | None
) -> None:
    entries = [entry(number, *row) for number, row in enumerate(rows)]
    policy = Policy(older, keep, most)
    gone = choose(entries, policy, now=50.0)

    def newer(one: Entry) -> int:
        return sum(o.model_id == one.model_id and o.used > one.used for o in entries)

    loose = [one for one in entries if newer(one) >= (keep or 0)]
    assert set(gone) <= set(loose), "one of the newest would go"
    by_age = [one for one in loose if older is not None and 50.0 - one.used >= older]
    assert set(by_age) <= set(gone)
    if most is None:
        alone = loose if older is None and keep is not None else by_age
        assert set(gone) == set(alone)
    else:
        for_room = [one for one in gone if one not in by_age]
        left = sum(one.bytes for one in entries if one not in gone)
        free = [one for one in loose if one not in gone and not one.users]
        assert left <= most or not free, "there was more that could have gone"
        if for_room:
            assert left + for_room[-1].bytes > most, "one went without need"
            assert all(one.used > for_room[-1].used for one in free), "not the longest unused"
