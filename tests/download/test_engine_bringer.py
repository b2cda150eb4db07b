"""Sources whose own library brings whole files: what it leaves is verified as if it were hostile."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import pytest

from nodeinit.download import bringing
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.watch import Stopped, Watch
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.engines import FILES, Engine
from tests.download.memory import Memory

SIZE = sum(map(len, FILES.values()))

Mischief = Callable[[Path, ManifestFile, int], None]


def nothing(_target: Path, _file: ManifestFile, _call: int) -> None:
    """Leave all as it is."""


@attrs.define
class Library(Memory):
    """Brings whole files, and does `mischief` to each; `calls` are the paths that it was asked."""

    mischief: Mischief = nothing
    calls: list[list[str]] = attrs.field(factory=list)

    def bring(self, ref: str, files: Sequence[ManifestFile], directory: Path, watch: Watch) -> None:
        self.calls.append([file.path for file in files])
        for file in files:
            watch.check()
            target = directory / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.files[file.path])
            watch.advance(file.path, file.size)
            self.mischief(target, file, len(self.calls))


def engine(root: Path, mischief: Mischief = nothing) -> tuple[Engine, Library]:
    source = Library(dict(FILES), mischief=mischief)
    return Engine(root, source, source.manifest("memory://m", "org/model")), source


def test_it_gets_all_that_is_absent_and_ranges_are_not_used(tmp_path: Path) -> None:
    one, library = engine(tmp_path)
    heard: list[tuple[int, int, str, str]] = []
    assert one.bring(on_progress=lambda *step: heard.append(step)).fetched == SIZE
    assert library.calls == [sorted(FILES)]
    assert library.asked == []
    assert one.holds()
    assert heard[-1][:2] == (SIZE, SIZE)
    done = [step[0] for step in heard if step[3] == "fetch"]
    assert done == sorted(done)


def damage(target: Path, file: ManifestFile, call: int) -> None:
    if file.path == "a.safetensors" and call == 1:
        data = bytearray(target.read_bytes())
        data[777] ^= 4
        target.write_bytes(data)


def shorten(target: Path, file: ManifestFile, call: int) -> None:
    if file.path == "a.safetensors" and call == 1:
        os.truncate(target, 7)


def forget(target: Path, file: ManifestFile, call: int) -> None:
    if file.path == "a.safetensors" and call == 1:
        target.unlink()


def link_out(target: Path, file: ManifestFile, call: int) -> None:
    if file.path == "a.safetensors" and call == 1:
        elsewhere = target.parents[5] / "elsewhere"
        target.rename(elsewhere)
        target.symlink_to(elsewhere)


@pytest.mark.parametrize("mischief", [damage, shorten, forget, link_out])
def test_what_is_wrong_is_asked_for_once_more(tmp_path: Path, mischief: Mischief) -> None:
    one, library = engine(tmp_path, mischief)
    one.bring()
    assert library.calls[1:] == [["a.safetensors"]]
    assert one.holds()
    assert not (one.path / "a.safetensors").is_symlink()


def test_a_directory_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    def lead_out(target: Path, file: ManifestFile, call: int) -> None:
        if file.path == "sub/c.dat":
            elsewhere = tmp_path / f"elsewhere-{call}"
            target.parent.rename(elsewhere)
            target.parent.symlink_to(elsewhere)

    one, _ = engine(tmp_path / "store", lead_out)
    with pytest.raises((PermanentError, TemporaryError), match=r"sub/c\.dat"):
        one.bring()
    assert not one.path.exists()


def test_the_same_wrong_bytes_twice_mean_that_it_changed(tmp_path: Path) -> None:
    one, library = engine(tmp_path)
    library.files["tokenizer.json"] = bytes(len(FILES["tokenizer.json"]))
    with pytest.raises(PermanentError, match=r"^changed: tokenizer\.json"):
        one.bring()
    assert one.holds_nothing()


def test_what_it_brought_before_it_failed_is_kept(tmp_path: Path) -> None:
    def fail(target: Path, file: ManifestFile, call: int) -> None:
        if file.path == "b.safetensors" and call == 1:
            os.truncate(target, 100)
            raise TemporaryError("unavailable: the hub is down")

    one, library = engine(tmp_path, fail)
    with pytest.raises(TemporaryError, match="the hub is down"):
        one.bring()
    assert not one.path.exists()
    one.bring()
    assert library.calls[1] == sorted(FILES)[sorted(FILES).index("b.safetensors") :]
    assert one.holds()


def test_the_same_where_nobody_knows_a_sha256(tmp_path: Path) -> None:
    """Then what was brought by a job that died cannot be told from what is half written."""

    def fail(target: Path, file: ManifestFile, call: int) -> None:
        if file.path == "b.safetensors" and call == 1:
            raise TemporaryError("unavailable: the hub is down")

    one, library = engine(tmp_path, fail)
    files = [attrs.evolve(file, sha256="", version="v") for file in one.manifest.files]
    one.manifest = attrs.evolve(one.manifest, files=files)
    with pytest.raises(TemporaryError):
        one.bring()
    one.bring()
    assert library.calls[1] == sorted(FILES)
    assert one.holds()
    assert one.bring(rehash=True).fetched == 0


def test_it_is_left_when_it_is_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bringing, "_GRACE", 0.1)
    monkeypatch.setattr(bringing, "_LOOK", 0.1)
    release, stop = threading.Event(), threading.Event()

    def stick(target: Path, file: ManifestFile, call: int) -> None:
        if call == 1:
            stop.set()
            release.wait(60)

    one, _ = engine(tmp_path, stick)
    with pytest.raises(TemporaryError, match=r"^stalled: memory://m: no byte for 0\.2 s"):
        one.bring(stall=0.2)
    one.bring()
    assert one.holds()
    release.set()
    assert one.holds()

    other, _ = engine(tmp_path / "other", stick)
    release.clear()
    stop.clear()
    with pytest.raises(Stopped):
        other.bring(should_stop=stop.is_set)
    assert other.holds_nothing()
    release.set()
