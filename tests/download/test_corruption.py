"""Bytes that are wrong: on the way, in staging, in the store; found before anybody is told `ready`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.download import parts, work
from nodeinit.download.store import is_complete, verify
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.engines import CHUNK, FILES, RANGE, Engine
from tests.download.memory import Trick
from tests.download.trees import ALL, published, scratch, tensors

PLACES = st.sampled_from([path for path, data in FILES.items() if data]).flatmap(
    lambda path: st.tuples(st.just(path), st.integers(0, len(FILES[path]) - 1), st.integers(0, 7))
)
"""A bit of a file: path, byte, bit."""


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "CHUNK", CHUNK)
        patch.setattr(parts, "RANGE", RANGE)
        yield


def flipping(place: tuple[str, int, int], times: int) -> Trick:
    path, byte, bit = place
    left = [times]

    def flip(name: str, offset: int, data: bytes) -> bytes:
        if name != path or not offset <= byte < offset + len(data) or not left[0]:
            return data
        left[0] -= 1
        changed = bytearray(data)
        changed[byte - offset] ^= 1 << bit
        return bytes(changed)

    return flip


@settings(max_examples=60, deadline=None)
@given(PLACES)
def test_a_bit_that_flips_on_the_way_is_mended(place: tuple[str, int, int]) -> None:
    with scratch() as directory:
        engine = Engine.of(directory, trick=flipping(place, 1))
        result = engine.bring()
        assert engine.holds()
        assert engine.source.sent == result.fetched + len(FILES[place[0]]), "only this file again"


@settings(max_examples=40, deadline=None)
@given(PLACES)
def test_d13_a_bit_that_differs_at_the_source_is_never_published(
    place: tuple[str, int, int],
) -> None:
    with scratch() as directory:
        engine = Engine.of(directory, trick=flipping(place, 10**6))
        with pytest.raises(PermanentError, match=r"^changed: "):
            engine.bring()
        assert engine.holds_nothing()


def test_a_line_that_never_tells_the_same_twice_is_temporary(tmp_path: Path) -> None:
    times = [0]

    def noisy(path: str, offset: int, data: bytes) -> bytes:
        if path != "sub/c.dat" or offset:
            return data
        times[0] += 1
        return bytes([times[0]]) + data[1:]

    engine = Engine.of(tmp_path, trick=noisy)
    with pytest.raises(TemporaryError, match=r"^corrupted: sub/c\.dat "):
        engine.bring()
    assert not engine.path.exists()


@settings(max_examples=60, deadline=None)
@given(PLACES, st.booleans())
def test_a_bit_that_flips_in_the_store_is_found_and_mended(
    place: tuple[str, int, int], trace: bool
) -> None:
    path, byte, bit = place
    with scratch() as directory:
        engine = Engine.of(directory)
        first = engine.bring()
        file = engine.path / path
        seen = file.stat()
        data = bytearray(file.read_bytes())
        data[byte] ^= 1 << bit
        file.chmod(0o644)
        file.write_bytes(data)
        os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns + trace))
        assert is_complete(engine.path, engine.manifest, ALL) is not trace
        assert [one.file for one in verify(engine.path, engine.manifest, ALL, rehash=True)] == [
            path
        ]
        again = engine.bring(rehash=not trace)
        assert (again.fetched, again.digest) == (len(FILES[path]), first.digest)
        assert engine.holds()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 12 * CHUNK - 1), st.integers(0, 7))
def test_a_bit_that_flips_in_staging_is_found(byte: int, bit: int) -> None:
    name = "a.safetensors"

    def snap(path: str, offset: int, data: bytes) -> bytes:
        if path == name and offset >= 12 * CHUNK:
            raise TemporaryError("unavailable: gone")
        return data

    with scratch() as directory:
        engine = Engine.of(directory, trick=snap)
        with pytest.raises(TemporaryError):
            engine.bring(1)
        (ledger,) = directory.glob(".nodeinit/staging/*/parts/*.ledger")
        if not ledger.with_suffix("").exists():
            return
        part = bytearray(ledger.with_suffix("").read_bytes())
        part[byte] ^= 1 << bit
        ledger.with_suffix("").write_bytes(part)
        engine.source.trick = lambda path, offset, data: data
        engine.source.asked.clear()
        engine.bring()
        asked = sum(length or 0 for path, _, length in engine.source.asked if path == name)
        assert asked == len(FILES[name]) - 11 * CHUNK, "only the chunk that it was in again"
        assert engine.holds()


@pytest.mark.parametrize(
    ("data", "how"),
    [
        (b"", "only 0 bytes"),
        (b"\x10\0\0\0\0\0\0\0{}", "its header says to be 16 bytes"),
        (b"\x02\0\0\0\0\0\0\0{x", "not JSON"),
        (b"\x02\0\0\0\0\0\0\0[]", "not a mapping"),
        (b"\x07\0\0\0\0\0\0\0" + b'{"a":1}', "does not say"),
        (tensors(b"1234")[:-1], "take 4 bytes and it has 3"),
        (tensors(b"1234") + b"5", "take 4 bytes and it has 5"),
        (tensors(b"1234").replace(b"[0, 4]", b"[1, 4]"), "which is not its shape"),
        (tensors(b"1234").replace(b'"U8"', b'"X8"').replace(b"[0, 4]", b"[1, 4]"), "hole"),
        (tensors(b"1234").replace(b"[4]", b"[5]"), "which is not its shape"),
        (tensors(b"1234").replace(b"[0, 4]", b"[-0,4"), "not JSON"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_is_not_what_its_name_says(
    tmp_path: Path, data: bytes, how: str, known: bool
) -> None:
    import attrs

    engine = Engine.of(tmp_path, {"config.json": b"{}", "model.safetensors": data})
    if not known:
        files = [attrs.evolve(file, sha256="", version="v") for file in engine.manifest.files]
        engine.manifest = attrs.evolve(engine.manifest, files=files)
    with pytest.raises(PermanentError, match=rf"^unsafe_format: model\.safetensors .*{how}"):
        engine.bring()
    assert engine.holds_nothing()


def test_d8_d10_an_unchanged_model_is_neither_fetched_nor_written_to(tmp_path: Path) -> None:
    engine = Engine.of(tmp_path)
    engine.bring()
    before = published(engine.path)
    engine.source.asked.clear()
    assert engine.bring().fetched == 0
    assert engine.bring(rehash=True).fetched == 0
    assert engine.source.asked == []
    assert published(engine.path) == before
    for name in FILES:
        assert not (engine.path / name).stat().st_mode & 0o222
