from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from nodeinit.context import NodeModelDownloadable
from nodeinit.download import parts, streams, work
from nodeinit.download.fetch import Stopped, bring
from nodeinit.download.manifest import Manifest
from nodeinit.download.store import is_complete, published_path, verify
from nodeinit.errors import TemporaryError
from tests.download.trees import (
    ALL,
    NO_WEIGHTS,
    TOKENIZER,
    TREES,
    Faulty,
    assert_honest,
    model,
    published,
    scratch,
    staged,
)

MODES = st.sampled_from([ALL, TOKENIZER, NO_WEIGHTS])
BRINGS = st.tuples(
    MODES,
    st.sampled_from(["", "", "eio", "flip", "short", "noise", "stop"]),
    st.integers(0, 1500),
    st.booleans(),
)
DAMAGES = st.tuples(
    st.sampled_from(["flip", "grow", "empty", "delete", "touch", "unmark", "tear"]),
    st.integers(0, 10),
)


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "CHUNK", 64)
        patch.setattr(parts, "RANGE", 128)
        patch.setattr(streams, "PIECE", 48)
        yield


@settings(max_examples=150, deadline=None)
@given(TREES, st.lists(st.one_of(BRINGS, BRINGS, DAMAGES), max_size=6))
def test_whatever_happens_nobody_is_told_a_lie(
    files: dict[str, bytes], events: list[tuple[object, ...]]
) -> None:
    with scratch() as directory:
        manifest = model(directory / "model", files)
        root = directory / "store"
        path = published_path(root, manifest)
        untouched: dict[str, tuple[int, bytes]] = {}
        sound = True
        for step in events:
            if len(step) == 2:
                if path.exists():
                    damage(path, manifest, *step)
                    untouched, sound = {}, False
            else:
                brought = try_to_bring(manifest, path, root, *step)
                now = published(path)
                assert {name: now[name] for name in untouched} == untouched
                # A small mode may leave damage outside of it, for a bigger one to replace.
                sound = sound or (brought and step[0] is ALL)
                if brought and sound:
                    untouched = now
            assert_honest(path, manifest)
        for mode in (TOKENIZER, ALL, NO_WEIGHTS):
            result = bring(manifest, mode, path, name="last")
            assert result.fetched <= result.bytes
            assert is_complete(path, manifest, mode)
            assert verify(path, manifest, mode, rehash=True) == ()
        assert {name: data for name, (_, data) in published(path).items()} == files
        assert staged(root) == []


def try_to_bring(
    manifest: Manifest,
    path: Path,
    root: Path,
    mode: NodeModelDownloadable,
    fault: str,
    after: int,
    rehash: bool,
) -> bool:
    source = Faulty("" if fault == "stop" else fault, after, persistent=fault == "noise")
    kept = staged(root)  # what an earlier temporary error kept
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return fault == "stop" and asked > after // 50

    try:
        result = bring(
            manifest, mode, path, name="job", source=source, should_stop=stop, rehash=rehash
        )
    except Stopped:
        event("stopped")
        assert fault == "stop"
        assert staged(root) in ([], kept)
    except TemporaryError:
        event(f"temporary: {fault}")
        assert source.struck
        assert fault == "noise"
    else:
        event("brought")
        if not source.struck:
            assert result.fetched <= source.passed
        assert is_complete(path, manifest, mode)
        assert staged(root) == []
        return True
    return False


def damage(path: Path, manifest: Manifest, how: object, which: object) -> None:
    assert isinstance(which, int)
    markers = path / ".nodeinit"
    if how == "unmark":
        for marker in markers.iterdir():
            marker.unlink()
        return
    if how == "tear":
        for marker in markers.iterdir():
            marker.write_bytes(marker.read_bytes()[: which * 20])
        return
    names = sorted(published(path))
    if not names:
        return
    file = path / names[which % len(names)]
    seen = file.stat()
    data = file.read_bytes()
    if how == "delete":
        file.unlink()
    elif how == "touch":
        os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns + 1))
    else:
        changed = {
            "flip": bytes([data[0] ^ 1]) + data[1:] if data else b"x",
            "grow": data + b"x",
            "empty": b"",
        }[str(how)]
        file.chmod(0o644)
        file.write_bytes(changed)
        os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns + 1))


@settings(max_examples=40, deadline=None)
@given(TREES, st.lists(MODES, min_size=1, max_size=4))
def test_each_byte_is_fetched_once_over_all_modes(
    files: dict[str, bytes], modes: list[NodeModelDownloadable]
) -> None:
    with scratch() as directory:
        manifest = model(directory / "model", files)
        path = published_path(directory / "store", manifest)
        results = [bring(manifest, mode, path, name="job") for mode in modes]
        wanted = {file for mode in modes for file in manifest.select(mode)}
        assert sum(result.fetched for result in results) == sum(file.size for file in wanted)
        assert set(published(path)) == {file.path for file in wanted}
        shutil.rmtree(directory / "model")
        for mode in modes:
            assert bring(manifest, mode, path, name="job").fetched == 0
