"""How files are brought: by ranges, several at once, with a bound on everything."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.download import parts, streams, work
from nodeinit.download.bucket import Bucket
from nodeinit.download.watch import Stopped
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.engines import CHUNK, FILES, RANGE, Engine, noise
from tests.download.trees import scratch

SIZE = sum(map(len, FILES.values()))


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "CHUNK", CHUNK)
        patch.setattr(parts, "RANGE", RANGE)
        patch.setattr(streams, "PIECE", 300)
        yield


def test_each_byte_is_asked_for_once_by_ranges(tmp_path: Path) -> None:
    engine = Engine.of(tmp_path)
    assert engine.bring().fetched == SIZE == engine.source.sent
    assert engine.holds()
    asked = sorted(engine.source.asked)
    assert len(asked) == len(set(asked))
    for path, data in FILES.items():
        ranges = [(offset, length) for name, offset, length in asked if name == path]
        assert ranges == [
            (offset, min(RANGE, len(data) - offset)) for offset in range(0, len(data), RANGE)
        ]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3 * RANGE), min_size=1),
    st.integers(1, 6),
)
def test_any_sizes_and_any_concurrency(sizes: dict[str, int], concurrency: int) -> None:
    files = {"config.json": b"{}"} | {name: noise(size) for name, size in sizes.items()}
    with scratch() as directory:
        engine = Engine.of(directory, files)
        assert engine.bring(concurrency).fetched == engine.source.sent == engine.manifest.size
        assert engine.holds(files)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_so_many_ranges_are_read_at_once(tmp_path: Path, concurrency: int) -> None:
    barrier = threading.Barrier(concurrency)

    def meet(path: str, offset: int, data: bytes) -> bytes:
        if path == "a.safetensors" and offset % RANGE == 0 and offset < 3 * RANGE:
            barrier.wait(30)  # they are in the same file, too
        return data

    engine = Engine.of(tmp_path, {"a.safetensors": FILES["a.safetensors"]}, meet)
    engine.bring(concurrency)
    assert engine.source.most_together == concurrency


def test_a_range_that_breaks_goes_on_where_it_broke(tmp_path: Path) -> None:
    broken: list[int] = []
    place = RANGE + 2 * CHUNK + 300  # in the middle of a chunk

    def snap(path: str, offset: int, data: bytes) -> bytes:
        if path == "a.safetensors" and offset == place and not broken:
            broken.append(offset)
            raise TemporaryError("unavailable: the line broke")
        return data

    engine = Engine.of(tmp_path, trick=snap)
    engine.bring()
    assert engine.holds()
    assert ("a.safetensors", place, 2 * CHUNK - 300) in engine.source.asked
    assert engine.source.sent == SIZE


def test_d2_a_shard_that_fails_fails_the_fetch(tmp_path: Path) -> None:
    def fail(path: str, offset: int, data: bytes) -> bytes:
        if path == "b.safetensors":
            raise TemporaryError("unavailable: 503")
        return data

    engine = Engine.of(tmp_path, trick=fail)
    with pytest.raises(TemporaryError, match="unavailable: 503"):
        engine.bring()
    assert not engine.path.exists()
    tries = [offset for path, offset, _ in engine.source.asked if path == "b.safetensors"]
    assert max(map(tries.count, tries)) == streams.TRIES
    engine.source.trick = lambda path, offset, data: data
    engine.bring()
    assert engine.holds()


@pytest.mark.parametrize("kind", [PermanentError, ZeroDivisionError])
def test_what_cannot_be_mended_is_not_tried_again(tmp_path: Path, kind: type[Exception]) -> None:
    def refuse(path: str, offset: int, data: bytes) -> bytes:
        raise kind("auth: no")

    engine = Engine.of(tmp_path, trick=refuse)
    with pytest.raises(kind, match="auth: no"):
        engine.bring(1)
    assert len(engine.source.asked) == 1
    assert engine.holds_nothing()


def test_retry_after_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real = streams.Line.rest

    def rest(line: streams.Line, stream: streams.Stream, seconds: float) -> None:
        waits.append(seconds)
        real(line, stream, min(seconds, 0.05))

    monkeypatch.setattr(streams.Line, "rest", rest)
    told: list[str] = []

    def limit(path: str, offset: int, data: bytes) -> bytes:
        if not told:
            told.append(path)
            raise TemporaryError("rate_limited: 429", delay=0.4)
        return data

    engine = Engine.of(tmp_path, trick=limit)
    engine.bring(1)
    assert engine.holds()
    assert 0.3 < waits[0] <= 0.4


def test_a_long_retry_after_is_left_to_the_phase(tmp_path: Path) -> None:
    def limit(path: str, offset: int, data: bytes) -> bytes:
        raise TemporaryError("rate_limited: 429", delay=600)

    engine = Engine.of(tmp_path, trick=limit)
    with pytest.raises(TemporaryError) as caught:
        engine.bring()
    assert caught.value.delay == 600


def stuck_in(paths: tuple[str, ...], release: threading.Event, times: int = 10**6):  # type: ignore[no-untyped-def]
    """A trick that does not return, as a call into a library that waits for ever."""
    left = [times]

    def stick(path: str, offset: int, data: bytes) -> bytes:
        if path in paths and left[0] > 0:
            left[0] -= 1
            release.wait(60)
        return data

    return stick


def test_a_line_without_a_byte_has_stalled(tmp_path: Path) -> None:
    release = threading.Event()
    engine = Engine.of(tmp_path, trick=stuck_in(tuple(FILES), release))
    with pytest.raises(TemporaryError, match=r"^stalled: .*: no byte for 0\.3 s"):
        engine.bring(stall=0.3)
    assert not engine.path.exists()
    engine.source.trick = lambda path, offset, data: data
    engine.bring()
    assert engine.holds()
    release.set()  # what wakes up now has nothing to write to
    assert engine.holds()


def test_one_stream_that_stalls_is_replaced(tmp_path: Path) -> None:
    release = threading.Event()
    stick = stuck_in(("b.safetensors",), release, times=1)
    pace = threading.Event()

    def slow(path: str, offset: int, data: bytes) -> bytes:
        if path == "a.safetensors" and not release.is_set():
            pace.wait(0.03)  # so that the line as a whole is never silent
        return stick(path, offset, data)  # type: ignore[no-any-return]

    files = {
        "b.safetensors": FILES["b.safetensors"],
        "a.safetensors": FILES["a.safetensors"] + b"",
    }
    engine = Engine.of(tmp_path, files, slow)
    engine.bring(2, stall=0.3)
    assert engine.holds(files)
    asked = [offset for path, offset, _ in engine.source.asked if path == "b.safetensors"]
    assert asked.count(asked[0]) == 2
    release.set()
    assert engine.holds(files)


def test_stopping_does_not_wait_for_a_stuck_read(tmp_path: Path) -> None:
    release, stop = threading.Event(), threading.Event()
    asked = threading.Event()
    waited_for = []

    def stick(path: str, offset: int, data: bytes) -> bytes:
        asked.set()
        if not release.wait(20):
            waited_for.append(path)
        return data

    engine = Engine.of(tmp_path, trick=stick)
    threading.Thread(target=lambda: (asked.wait(30), stop.set())).start()
    with pytest.raises(Stopped):
        engine.bring(should_stop=stop.is_set)
    assert not waited_for
    assert engine.holds_nothing()
    release.set()


def test_after_stop_no_more_than_what_was_under_way_comes(tmp_path: Path) -> None:
    stop = threading.Event()

    def told(path: str, offset: int, data: bytes) -> bytes:
        if engine.source.sent > 3000:
            stop.set()
        return data

    engine = Engine.of(tmp_path, trick=told)
    with pytest.raises(Stopped):
        engine.bring(2, should_stop=stop.is_set)
    assert engine.source.sent <= 3000 + 2 * 2 * CHUNK
    assert engine.holds_nothing()


def test_a_bandwidth_is_shared_by_all_streams(tmp_path: Path) -> None:
    slept: list[float] = []
    clock = [100.0]
    bucket = Bucket(1000, lambda: clock[0])
    for count in (500, 500, 1000):
        bucket.take(count, slept.append)
    assert slept == [0.5, 1.0, 2.0]
    clock[0] += 10
    bucket.take(100, slept.append)
    assert slept[-1] == pytest.approx(0.1), "idle time is not saved up"
    Bucket(None).take(10**12, slept.append)
    assert len(slept) == 4


def test_waiting_for_bandwidth_is_no_stall(tmp_path: Path) -> None:
    engine = Engine.of(tmp_path, {"config.json": b"{}", "a": noise(3000)})
    engine.bring(2, stall=0.1, bandwidth=6000)
    assert engine.source.sent == 3002
    assert engine.holds({"config.json": b"{}", "a": noise(3000)})


def test_progress_only_grows_and_ends_at_all(tmp_path: Path) -> None:
    heard: list[tuple[int, int, str, str]] = []
    engine = Engine.of(tmp_path)
    engine.bring(on_progress=lambda *step: heard.append(step))
    fetched = [done for done, _, _, stage in heard if stage == "fetch"]
    assert fetched == sorted(fetched)
    assert heard[-1][:2] == (SIZE, SIZE)


def test_a_large_file_is_made_durable_while_it_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at its end would be a pause of everything, the longer the larger the file is."""
    monkeypatch.setattr(parts, "SYNC_EVERY", 4 * CHUNK)
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(descriptor))
    files = {"a.safetensors": FILES["a.safetensors"]}
    engine = Engine.of(tmp_path, files)
    engine.bring()
    assert len(synced) == len(files["a.safetensors"]) // (4 * CHUNK)
    assert engine.holds(files)


def test_a_disk_that_fails_to_keep_what_it_took_fails_the_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SYNC_EVERY", 4 * CHUNK)

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fail)
    engine = Engine.of(tmp_path)
    with pytest.raises(TemporaryError, match=r"write .*safetensors.*Input/output error"):
        engine.bring()
    assert not engine.path.exists()
