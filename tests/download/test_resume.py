"""What a fetch finds of one that died, and what it does not believe."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from nodeinit.download import parts, space, streams, work
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.space import preflight
from nodeinit.download.work import Work
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.engines import CHUNK, FILES, RANGE, Engine
from tests.download.test_disk_faults import disk
from tests.download.trees import ALL

NAME = "a.safetensors"
SIZE = sum(map(len, FILES.values()))


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "CHUNK", CHUNK)
        patch.setattr(parts, "RANGE", RANGE)
        yield


def broken_off(directory: Path, after: int = 12 * CHUNK, **more: str) -> Engine:
    """An engine whose first fetch fails when it has so many bytes of one file."""

    def snap(path: str, offset: int, data: bytes) -> bytes:
        if path == NAME and offset >= after:
            raise TemporaryError("unavailable: gone")
        return data

    engine = Engine.of(directory, trick=snap)
    files = [
        attrs.evolve(file, **more) if file.path == NAME else file for file in engine.manifest.files
    ]
    engine.manifest = attrs.evolve(engine.manifest, files=files)
    with pytest.raises(TemporaryError, match="gone"):
        engine.bring(1)
    engine.source.trick = lambda path, offset, data: data
    engine.source.sent = 0
    engine.source.asked.clear()
    return engine


def staging_of(engine: Engine) -> tuple[Work, ManifestFile]:
    (directory,) = (engine.root / ".nodeinit" / "staging").iterdir()
    return Work(directory), next(file for file in engine.manifest.files if file.path == NAME)


def test_only_what_is_absent_is_asked_for(tmp_path: Path) -> None:
    engine = broken_off(tmp_path)
    here = 12 * CHUNK
    before = [path for path in FILES if path < NAME]  # files come in order
    rest = SIZE - here - sum(len(FILES[path]) for path in before)
    result = engine.bring()
    assert result.fetched == engine.source.sent == rest
    assert min(offset for path, offset, _ in engine.source.asked if path == NAME) == here
    assert engine.holds()


@pytest.mark.parametrize("how", ["torn", "lost", "line", "garbage"])
def test_what_a_power_failure_left_is_found(tmp_path: Path, how: str) -> None:
    engine = broken_off(tmp_path)
    place, file = staging_of(engine)
    part, ledger = place.part(file), place.part(file).with_suffix(".ledger")
    match how:
        case "torn":  # half of a chunk was never written
            data = bytearray(part.read_bytes())
            data[5 * CHUNK + 100 : 6 * CHUNK] = bytes(CHUNK - 100)
            part.write_bytes(data)
        case "lost":
            with part.open("r+b") as writer:
                writer.truncate(5 * CHUNK)
        case "line":
            ledger.write_bytes(ledger.read_bytes()[:-7])
        case "garbage":
            ledger.write_bytes(ledger.read_bytes() + b"99999999 " + b"0" * 32 + b"\n\xff\xfe\n12")
    lost = {"torn": 1, "lost": 7, "line": 1, "garbage": 0}[how]
    engine.bring()
    rest = len(FILES[NAME]) - (12 - lost) * CHUNK
    asked = [length or 0 for path, _, length in engine.source.asked if path == NAME]
    assert sum(asked) == rest
    assert engine.holds()


@pytest.mark.parametrize("what", ["version", "digest", "chunk", "ledger"])
def test_a_part_of_something_else_is_dropped(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = broken_off(tmp_path, version="one", digest="md5:00")
    # With a sha256 the revision is the same whatever else is said of the file.
    if what == "chunk":
        monkeypatch.setattr(work, "CHUNK", CHUNK * 2)
    elif what == "ledger":
        place, file = staging_of(engine)
        place.part(file).with_suffix(".ledger").unlink()
    else:
        files = [
            attrs.evolve(file, **{what: "two"}) if file.path == NAME else file
            for file in engine.manifest.files
        ]
        engine.manifest = attrs.evolve(engine.manifest, files=files)
    engine.bring()
    asked = [length or 0 for path, _, length in engine.source.asked if path == NAME]
    assert sum(asked) == len(FILES[NAME])
    assert engine.holds()


def test_another_version_without_sha256_is_another_revision(tmp_path: Path) -> None:
    engine = broken_off(tmp_path, sha256="", version='"one"')
    engine.manifest = attrs.evolve(
        engine.manifest,
        files=[
            attrs.evolve(file, version='"two"') if file.path == NAME else file
            for file in engine.manifest.files
        ],
    )
    assert engine.bring().fetched == SIZE


def test_what_came_on_trust_is_resumed_from_its_chunks(tmp_path: Path) -> None:
    engine = broken_off(tmp_path, sha256="", version='"one"')
    place, file = staging_of(engine)
    data = bytearray(place.part(file).read_bytes())
    data[3 * CHUNK] ^= 1
    place.part(file).write_bytes(data)
    engine.bring()
    assert engine.holds(), "the torn chunk was not taken for what came first"


def test_whole_files_that_came_on_trust_are_kept(tmp_path: Path) -> None:
    """Their sha256 was written down when they were whole; nobody else knows it."""
    engine = Engine.of(tmp_path)
    files = [attrs.evolve(file, sha256="", version="v") for file in engine.manifest.files]
    engine.manifest = attrs.evolve(engine.manifest, files=files)

    def snap(path: str, offset: int, data: bytes) -> bytes:
        if path == "tokenizer.json":
            raise TemporaryError("unavailable: gone")
        return data

    engine.source.trick = snap
    with pytest.raises(TemporaryError):
        engine.bring(1)
    engine.source.trick = lambda path, offset, data: data
    assert engine.bring().fetched == len(FILES["tokenizer.json"])
    assert engine.holds()


def test_room_is_counted_less_what_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.of(tmp_path)
    fits = sum(-(-len(data) // 4096) for data in FILES.values()) + 4096  # and 16 MiB
    monkeypatch.setattr(space.os, "statvfs", lambda _: disk(free=fits))
    with pytest.raises(PermanentError, match=r"^disk_full: "):
        preflight(engine.manifest, ALL, engine.path)  # 1 % is lacking
    monkeypatch.setattr(space.os, "statvfs", lambda _: disk(free=fits + 1))
    preflight(engine.manifest, ALL, engine.path)
    assert not engine.path.parent.exists(), "it only looks"
    monkeypatch.undo()
    engine = broken_off(tmp_path)
    monkeypatch.setattr(space.os, "statvfs", lambda _: disk(free=fits - 2))
    preflight(engine.manifest, ALL, engine.path)
    engine.bring()
    monkeypatch.setattr(space.os, "statvfs", lambda _: disk(free=0))
    preflight(engine.manifest, ALL, engine.path)


def test_d6_a_waiter_looks_for_itself_and_goes_on_where_the_first_failed(tmp_path: Path) -> None:
    failing, waiting = threading.Event(), threading.Event()

    def snap(path: str, offset: int, data: bytes) -> bytes:
        if path == NAME and offset >= 8 * CHUNK and not failing.is_set():
            waiting.wait(30)
            failing.set()
            raise PermanentError("auth: the token ended")
        return data

    engine = Engine.of(tmp_path, trick=snap)
    errors: list[Exception] = []

    def first() -> None:
        try:
            engine.bring(1)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    while not list(engine.root.glob(".nodeinit/staging/*")):
        streams.time.sleep(0.01)

    def heard(done: int, total: int, file: str, stage: str) -> None:
        if stage == "wait":
            waiting.set()

    engine.bring(on_progress=heard)
    thread.join()
    assert [str(error) for error in errors] == ["auth: the token ended"]
    assert engine.holds()
