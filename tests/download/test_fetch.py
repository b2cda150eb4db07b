from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import attrs
import pytest

from nodeinit.config.parts import DownloadSettings
from nodeinit.context import NodeModelDownloadable
from nodeinit.download.fetch import FetchResult, Stopped, bring
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.store import clean_staging, is_complete, published_path, verify
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.trees import (
    ALL,
    MODEL,
    NO_WEIGHTS,
    NONE,
    TOKENIZER,
    Faulty,
    model,
    published,
    staged,
    write_tree,
)

ONE_BY_ONE = DownloadSettings(concurrency=1)
SIZE = sum(len(data) for data in MODEL.values())


@attrs.frozen
class World:
    """A model, a store, and where the one goes in the other."""

    manifest: Manifest
    root: Path
    path: Path

    def bring(self, mode: NodeModelDownloadable = ALL, **options: object) -> FetchResult:
        return bring(self.manifest, mode, self.path, name="job", **options)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path) -> World:
    manifest = model(tmp_path / "model")
    return World(manifest, tmp_path / "store", published_path(tmp_path / "store", manifest))


def test_a_model_is_brought_whole(world: World) -> None:
    assert world.path == world.root / "org--model" / world.manifest.revision
    assert not is_complete(world.path, world.manifest, ALL)
    result = world.bring()
    assert result == FetchResult(
        path=str(world.path),
        mode=ALL,
        revision=world.manifest.revision,
        files=4,
        bytes=SIZE,
        fetched=SIZE,
        verified=True,
        digest=result.digest,
    )
    assert result.digest.startswith(world.manifest.revision)
    assert {name: data for name, (_, data) in published(world.path).items()} == MODEL
    for mode in NodeModelDownloadable:
        assert is_complete(world.path, world.manifest, mode)
    assert verify(world.path, world.manifest, ALL, rehash=True) == ()
    assert staged(world.root) == []
    for name in MODEL:
        assert (world.path / name).stat().st_mode & 0o777 == 0o444
    assert world.path.stat().st_mode & 0o555 == 0o555  # an engine of another user reads it


def test_a_warm_start_opens_nothing(world: World) -> None:
    world.bring()
    shutil.rmtree(world.manifest.source)
    source = Faulty()
    before = published(world.path)
    result = world.bring(source=source)
    assert (result.fetched, result.bytes, result.verified) == (0, SIZE, True)
    assert source.opened == 0
    assert published(world.path) == before


def test_a_bigger_mode_adds_files_and_touches_none(world: World) -> None:
    small = world.bring(TOKENIZER)
    assert (small.files, small.fetched) == (2, small.bytes)
    assert sorted(published(world.path)) == ["config.json", "tokenizer.json"]
    assert not is_complete(world.path, world.manifest, ALL)
    assert not is_complete(world.path, world.manifest, NO_WEIGHTS)
    before = published(world.path)

    source = Faulty()
    assert world.bring(NO_WEIGHTS, source=source).fetched == len(MODEL["sub/extra.dat"])
    assert source.opened == 0, "an empty file need not be asked for"
    assert not is_complete(world.path, world.manifest, ALL)
    assert world.bring(ALL).fetched == len(MODEL["model.safetensors"])
    after = published(world.path)
    assert {name: after[name] for name in before} == before
    assert set(after) == set(MODEL)
    assert world.bring(TOKENIZER).fetched == 0


def test_nothing_is_brought_for_none(world: World) -> None:
    result = world.bring(NONE)
    assert (result.files, result.bytes, result.fetched, result.verified) == (0, 0, 0, True)
    assert not world.root.exists()


def test_a_mode_without_files_is_refused(tmp_path: Path) -> None:
    manifest = model(tmp_path / "model", {"a.safetensors": b"x"})
    path = published_path(tmp_path / "store", manifest)
    with pytest.raises(PermanentError, match="has no files for TOKENIZER_ONLY"):
        bring(manifest, TOKENIZER, path, name="job")
    assert not is_complete(path, manifest, TOKENIZER)


def test_a_path_that_is_not_the_models_place_is_refused(world: World, tmp_path: Path) -> None:
    precious = write_tree(tmp_path / "precious" / "model", {"a": b"mine"})
    with pytest.raises(PermanentError, match="is not the place of org/model"):
        bring(world.manifest, ALL, precious, name="job")
    write_tree(world.path, {"config.json": b"mine"})
    with pytest.raises(PermanentError, match="was not published by nodeinit"):
        world.bring()
    assert published(world.path).keys() == {"config.json"}
    assert (precious / "a").read_bytes() == b"mine"


def test_an_empty_directory_in_the_place_is_no_obstacle(world: World) -> None:
    world.path.mkdir(parents=True)
    assert world.bring().fetched == SIZE


@pytest.mark.parametrize("path", ["../evil", "/evil", "a\\b", ".nodeinit/ALL.json"])
def test_a_manifest_with_an_unsafe_path_is_refused(world: World, path: str) -> None:
    file = ManifestFile(path, 1, "0" * 64)
    manifest = attrs.evolve(world.manifest, files=(*world.manifest.files, file))
    with pytest.raises(PermanentError, match="unsafe_path"):
        bring(manifest, ALL, published_path(world.root, manifest), name="job")
    assert not world.root.exists()


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "link", "directory"])
def test_damage_is_found_and_the_model_replaced(world: World, damage: str, tmp_path: Path) -> None:
    world.bring()
    victim = world.path / "model.safetensors"
    before = published(world.path)
    place = world.path.stat().st_ino
    with victim.open("rb") as mapped:
        match damage:
            case "flip":
                flip(victim)
            case "truncate":
                os.truncate(victim, 5)
            case "delete":
                victim.unlink()
            case "link":
                victim.unlink()
                victim.symlink_to("config.json")
            case "directory":
                victim.unlink()
                victim.mkdir()
        assert not is_complete(world.path, world.manifest, ALL)
        assert is_complete(world.path, world.manifest, TOKENIZER)
        # Only the damaged file comes from the source; the others keep their inodes.
        assert world.bring().fetched == len(MODEL["model.safetensors"])
        if damage == "delete":
            assert mapped.read() == MODEL["model.safetensors"]
    assert world.path.stat().st_ino != place, "it was replaced, not patched"
    assert verify(world.path, world.manifest, ALL, rehash=True) == ()
    assert is_complete(world.path, world.manifest, ALL)
    after = published(world.path)
    assert {k: v for k, v in after.items() if k != victim.name} == {
        k: v for k, v in before.items() if k != victim.name
    }
    assert staged(world.root) == []


def test_a_damaged_file_is_never_written_to(world: World) -> None:
    world.bring()
    victim = world.path / "config.json"
    with victim.open("rb") as mapped:
        flip(victim)
        damaged = victim.read_bytes()
        world.bring()
        assert mapped.read() == damaged  # a running engine keeps what it has
        assert victim.stat().st_ino != os.fstat(mapped.fileno()).st_ino


def test_a_flipped_bit_that_left_no_trace_is_found_by_rehashing(world: World) -> None:
    world.bring()
    flip(world.path / "model.safetensors", keep_times=True)
    assert is_complete(world.path, world.manifest, ALL)
    (problem,) = verify(world.path, world.manifest, ALL, rehash=True)
    assert problem.file == "model.safetensors"
    assert "sha256" in str(problem)
    assert verify(world.path, world.manifest, TOKENIZER, rehash=True) == ()
    assert world.bring(rehash=True).fetched == len(MODEL["model.safetensors"])
    assert verify(world.path, world.manifest, ALL, rehash=True) == ()


def test_a_damaged_model_is_incomplete_until_it_is_replaced(world: World) -> None:
    world.bring()
    flip(world.path / "model.safetensors", keep_times=True)
    shutil.rmtree(world.manifest.source)
    with pytest.raises(PermanentError):
        world.bring(rehash=True)
    assert not is_complete(world.path, world.manifest, ALL)
    model(Path(world.manifest.source))
    assert world.bring().fetched == len(MODEL["model.safetensors"])


def test_a_touched_file_is_read_again_and_kept(world: World) -> None:
    world.bring()
    before = published(world.path)
    os.utime(world.path / "config.json")
    assert not is_complete(world.path, world.manifest, ALL)
    assert world.bring().fetched == 0
    assert is_complete(world.path, world.manifest, ALL)
    assert published(world.path) == before


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"format": 2, "files": []}'])
def test_a_lost_or_unreadable_marker_is_written_again(world: World, content: bytes | None) -> None:
    world.bring()
    marker = world.path / ".nodeinit" / "MODEL_AND_TOKENIZER.json"
    marker.unlink()
    if content is not None:
        marker.write_bytes(content)
    before = published(world.path)
    assert not is_complete(world.path, world.manifest, ALL)
    assert world.bring().fetched == 0
    assert is_complete(world.path, world.manifest, ALL)
    assert published(world.path) == before


def test_another_revision_has_another_place(world: World, tmp_path: Path) -> None:
    world.bring()
    (tmp_path / "model" / "config.json").write_bytes(b"{ }")
    newer = model(tmp_path / "model", {})
    path = published_path(world.root, newer)
    assert path != world.path
    assert path.parent == world.path.parent
    assert not is_complete(world.path, newer, ALL)
    bring(newer, ALL, path, name="job")
    assert is_complete(world.path, world.manifest, ALL)
    assert is_complete(path, newer, ALL)


def test_a_source_that_changed_is_permanent(world: World) -> None:
    Path(world.manifest.source, "tokenizer.json").write_bytes(b"[1, 2, 4]")
    with pytest.raises(PermanentError, match=r"^changed: tokenizer\.json from"):
        world.bring()
    assert not world.path.exists()
    assert staged(world.root) == []


@pytest.mark.parametrize("data", [b"", b"[1, 2]", b"[1, 2, 3, 4]"])
def test_a_source_file_of_another_size_is_permanent(world: World, data: bytes) -> None:
    Path(world.manifest.source, "tokenizer.json").write_bytes(data)
    with pytest.raises(
        PermanentError, match=f"^changed: .* it has (more than 9|{len(data)}) bytes"
    ):
        world.bring()


def test_a_source_file_that_went_is_permanent(world: World) -> None:
    Path(world.manifest.source, "tokenizer.json").unlink()
    with pytest.raises(PermanentError, match=r"tokenizer\.json: No such file"):
        world.bring()


@pytest.mark.parametrize("fault", ["eio", "flip", "short"])
def test_a_passing_fault_is_mended_on_the_way(world: World, fault: str) -> None:
    source = Faulty(fault, after=len(MODEL["config.json"]) + 10)
    assert world.bring(source=source).fetched == SIZE
    assert source.struck
    assert {name: data for name, (_, data) in published(world.path).items()} == MODEL


@pytest.mark.parametrize("fault", ["eio", "noise"])
def test_a_lasting_fault_is_temporary_and_keeps_what_is_finished(world: World, fault: str) -> None:
    source = Faulty(fault, after=len(MODEL["config.json"]), persistent=True)
    # The next file may be read already while the first one's sum is made.
    with pytest.raises(TemporaryError, match=r"model\.safetensors|tokenizer\.json"):
        world.bring(source=source, settings=ONE_BY_ONE)
    assert not world.path.exists()
    again = Faulty()
    assert world.bring(source=again).fetched == SIZE - len(MODEL["config.json"])
    assert again.opened == 2, "neither what was there, nor what is empty"
    assert staged(world.root) == []


def test_what_a_temporary_error_keeps_is_removed_by_its_name(world: World) -> None:
    with pytest.raises(TemporaryError):
        world.bring(source=Faulty("eio", after=2, persistent=True), settings=ONE_BY_ONE)
    clean_staging(world.root, "another job")
    assert staged(world.root)
    clean_staging(world.root, "job")
    assert staged(world.root) == []
    clean_staging(world.root / "nowhere", "job")


def test_what_another_job_left_is_verified_before_it_is_used(world: World) -> None:
    staging = world.root / ".nodeinit" / "staging"
    source = Faulty("eio", after=2, persistent=True)

    def when_the_first_is_whole() -> None:
        """A file is verified in a thread of its own; the failure of the next one ends that too."""
        deadline = time.monotonic() + 20
        while source.opened > 1 and time.monotonic() < deadline:
            if list(staging.rglob("model/config.json")):
                return
            time.sleep(0.01)

    source.on_open = when_the_first_is_whole
    with pytest.raises(TemporaryError):
        world.bring(source=source, settings=ONE_BY_ONE)
    (left,) = staging.rglob("config.json")
    left.chmod(0o644)
    flip(left)
    assert world.bring().fetched == SIZE
    assert verify(world.path, world.manifest, ALL, rehash=True) == ()
    assert staged(world.root) == []


def test_stopping_leaves_nothing(world: World) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 4

    with pytest.raises(Stopped):
        world.bring(should_stop=stop)
    assert staged(world.root) == []
    assert not world.path.exists()
    with pytest.raises(Stopped):
        world.bring(should_stop=lambda: True)


def test_progress_is_told_sparingly_and_ends_at_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[int, int, str, str]] = []
    world.bring(on_progress=lambda *step: heard.append(step))
    assert heard[0] == (0, 0, "", "verify") or heard[0] == (0, SIZE, "", "fetch")
    assert heard[-1][:2] == (SIZE, SIZE)
    assert heard[-1][3] == "fetch"
    heard.clear()
    world.bring(on_progress=lambda *step: heard.append(step))
    assert heard[-1] == (SIZE, SIZE, "", "verify")
    heard.clear()
    world.bring(rehash=True, on_progress=lambda *step: heard.append(step))
    assert {step[3] for step in heard} == {"verify"}
    assert heard[-1][:2] == (SIZE, SIZE)


def test_verify_only_looks_at_any_directory(world: World, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(world.manifest.source, tmp_path / "elsewhere")

    def check(mode: NodeModelDownloadable = ALL) -> FetchResult:
        return bring(world.manifest, mode, elsewhere, name="job", verify_only=True)

    result = check()
    assert (result.fetched, result.verified, result.path) == (0, True, str(elsewhere))
    assert not (elsewhere / ".nodeinit").exists()
    flip(elsewhere / "model.safetensors", keep_times=True)
    with pytest.raises(PermanentError, match=r"model\.safetensors has the sha256"):
        check()
    assert check(TOKENIZER).verified
    (elsewhere / "config.json").unlink()
    with pytest.raises(PermanentError, match=r"config\.json is missing"):
        check(TOKENIZER)
    assert check(NONE).verified
    assert not world.root.exists()


def flip(file: Path, *, keep_times: bool = False) -> None:
    """Change one bit of a file in place."""
    seen = file.stat()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    with file.open("r+b") as writer:
        writer.write(data)
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns + (0 if keep_times else 1)))
