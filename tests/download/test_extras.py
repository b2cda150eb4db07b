"""Files that go beside a model: brought like one, and copied into a place of their own."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest

from nodeinit.download.fetch import FetchResult, bring, is_ready
from nodeinit.download.manifest import Extra, Manifest
from nodeinit.download.sources.local import LocalSource
from nodeinit.download.space import check_needs, preflight
from nodeinit.download.store import published_path
from nodeinit.download.watch import Stopped
from nodeinit.errors import PermanentError
from tests.download.trees import ALL, MODEL, NONE, model, staged, write_tree

CACHE = {"rank_0/graph.py": b"compiled", "rank_0/kernel.bin": b"\x7fELF" * 100, "key": b"k"}


@attrs.frozen
class World:
    manifest: Manifest
    root: Path
    place: Path

    @property
    def path(self) -> Path:
        return published_path(self.root, self.manifest)

    def bring(self, **more: object) -> FetchResult:
        return bring(self.manifest, ALL, self.path, name="job", **more)  # type: ignore[arg-type]

    def in_place(self) -> dict[str, bytes]:
        files = [file for file in self.place.rglob("*") if file.is_file()]
        return {str(file.relative_to(self.place)): file.read_bytes() for file in files}


@pytest.fixture
def world(tmp_path: Path) -> World:
    source = write_tree(tmp_path / "cache", CACHE)
    place = tmp_path / "place"
    extra = Extra(str(place), LocalSource().manifest(str(source), "org/model+1"))
    manifest = attrs.evolve(model(tmp_path / "model"), extras=(extra,))
    return World(manifest, tmp_path / "store", place)


def test_they_are_put_in_their_place_and_counted(world: World) -> None:
    assert not is_ready(world.manifest, ALL, world.path)
    result = world.bring()
    assert world.in_place() == CACHE
    assert result.files == len(MODEL) + len(CACHE)
    assert result.fetched == result.bytes == sum(map(len, [*MODEL.values(), *CACHE.values()]))
    assert is_ready(world.manifest, ALL, world.path)
    assert staged(world.root) == []
    for name in CACHE:
        assert (world.place / name).stat().st_mode & 0o200, "a compile cache is written to"
    alone = attrs.evolve(world.manifest, extras=())
    assert bring(alone, ALL, world.path, name="job").digest != result.digest
    assert world.bring().digest == result.digest


def test_they_come_whatever_the_mode(world: World) -> None:
    bring(world.manifest, NONE, world.path, name="job")
    assert world.in_place() == CACHE
    assert not world.path.exists()


@pytest.mark.parametrize("how", ["gone", "changed", "same size", "link"])
def test_only_what_is_absent_or_different_is_written(
    world: World, how: str, tmp_path: Path
) -> None:
    world.bring()
    (world.place / "own").write_bytes(b"of somebody else")
    target, kept = world.place / "key", world.place / "rank_0/graph.py"
    inode = kept.stat().st_ino
    precious = tmp_path / "precious"
    match how:
        case "gone":
            target.unlink()
        case "changed":
            target.write_bytes(b"another key")
        case "same size":
            target.write_bytes(b"x")
        case "link":
            precious.write_bytes(b"x")
            target.unlink()
            target.symlink_to(precious)
    assert not is_ready(world.manifest, ALL, world.path)
    assert world.bring().fetched == 0
    assert world.in_place() == CACHE | {"own": b"of somebody else"}
    assert kept.stat().st_ino == inode
    assert how != "link" or precious.read_bytes() == b"x"


def test_a_touched_file_is_left_as_it_is(world: World) -> None:
    world.bring()
    os.utime(world.place / "key", (1, 1))
    inode = (world.place / "key").stat().st_ino
    world.bring()
    assert (world.place / "key").stat().st_ino == inode


def test_home_is_that_of_the_host(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (extra,) = world.manifest.extras
    manifest = attrs.evolve(
        world.manifest, extras=(attrs.evolve(extra, destination="~/.cache/vllm"),)
    )
    bring(manifest, ALL, world.path, name="job")
    assert (tmp_path / "home/.cache/vllm/key").read_bytes() == b"k"


@pytest.mark.parametrize("destination", ["relative", "", "~nobody-here/x", "{store}/org--model/x"])
def test_a_bad_place_is_refused_before_anything_is_brought(world: World, destination: str) -> None:
    (extra,) = world.manifest.extras
    bad = attrs.evolve(extra, destination=destination.format(store=world.root))
    manifest = attrs.evolve(world.manifest, extras=(bad,))
    with pytest.raises(PermanentError, match=r"^unsafe_path: the destination"):
        bring(manifest, ALL, world.path, name="job")
    assert not world.root.exists()


def test_a_failure_of_an_extra_fails_the_fetch(world: World, tmp_path: Path) -> None:
    (tmp_path / "cache" / "key").write_bytes(b"!")
    with pytest.raises(PermanentError, match=r"^changed: key "):
        world.bring()
    assert world.in_place() == {}
    with pytest.raises(Stopped):
        world.bring(should_stop=lambda: True)


def test_verify_only_wants_them_in_their_place(world: World) -> None:
    source = world.manifest.source
    with pytest.raises(PermanentError, match=r"lacks files that go beside the model: .*key"):
        bring(world.manifest, ALL, source, name="job", verify_only=True)
    write_tree(world.place, CACHE)
    assert bring(world.manifest, ALL, source, name="job", verify_only=True).verified
    assert not world.root.exists()


def test_room_for_them_is_asked_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(
        "nodeinit.download.space.check_space",
        lambda directory, files, here=0: asked.append([file.path for file in files]),
    )
    preflight(world.manifest, ALL, world.path)
    assert [sorted(files) for files in asked] == [sorted([*MODEL, *CACHE, *CACHE])]
    world.bring()
    asked.clear()
    preflight(world.manifest, ALL, world.path)
    assert asked == [[]]
    check_needs([])
