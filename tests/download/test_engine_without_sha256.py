"""Models whose source gives no sha256: the first bytes that come are trusted, and held to for ever."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import attrs
import google_crc32c
import pytest

from nodeinit.download.fetch import bring
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.store import is_complete, published_path, verify
from nodeinit.errors import PermanentError
from tests.download.trees import ALL, MODEL, TOKENIZER, Faulty, model, published

NAME = "model.safetensors"


def git_sha1(data: bytes) -> str:
    return "git-sha1:" + hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def md5(data: bytes) -> str:
    return "md5:" + base64.b64encode(hashlib.md5(data).digest()).decode()


def crc32c(data: bytes) -> str:
    return "crc32c:" + base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def unknown(_data: bytes) -> str:
    return "md6:AAAAAA=="


def without_sha256(manifest: Manifest, digest: object = None) -> Manifest:
    def bare(file: ManifestFile) -> ManifestFile:
        given = digest(MODEL[file.path]) if callable(digest) else ""
        return attrs.evolve(file, sha256="", version=f'"{file.sha256[:8]}"', digest=given)

    return attrs.evolve(manifest, files=tuple(map(bare, manifest.files)))


@pytest.fixture
def whole(tmp_path: Path) -> Manifest:
    return model(tmp_path / "model")


@pytest.mark.parametrize("digest", [None, git_sha1, md5, crc32c, unknown])
def test_it_is_brought_and_recognised(whole: Manifest, tmp_path: Path, digest: object) -> None:
    manifest = without_sha256(whole, digest)
    path = published_path(tmp_path / "store", manifest)
    known = bring(whole, ALL, published_path(tmp_path / "store", whole), name="job")
    small = bring(manifest, TOKENIZER, path, name="job")
    result = bring(manifest, ALL, path, name="job")
    assert result.fetched == result.bytes - small.bytes
    assert result.digest == known.digest, "the same bytes are told by the same digest"
    assert is_complete(path, manifest, ALL)
    assert verify(path, manifest, ALL, rehash=True) == ()
    again = bring(manifest, ALL, path, name="job", rehash=True, source=(source := Faulty()))
    assert (again.fetched, again.digest, source.opened) == (0, result.digest, 0)


@pytest.mark.parametrize("times", ["kept", "new"])
def test_what_came_first_is_what_must_be_there(whole: Manifest, tmp_path: Path, times: str) -> None:
    manifest = without_sha256(whole)
    path = published_path(tmp_path / "store", manifest)
    bring(manifest, ALL, path, name="job")
    file = path / NAME
    seen = file.stat()
    file.chmod(0o644)
    file.write_bytes(bytes(len(MODEL[NAME])))
    if times == "kept":
        os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert [str(problem.file) for problem in verify(path, manifest, ALL, rehash=True)] == [NAME]
    assert bring(manifest, ALL, path, name="job", rehash=True).fetched == len(MODEL[NAME])
    assert {name: data for name, (_, data) in published(path).items()} == MODEL


def test_a_touched_file_is_kept(whole: Manifest, tmp_path: Path) -> None:
    manifest = without_sha256(whole)
    path = published_path(tmp_path / "store", manifest)
    bring(manifest, ALL, path, name="job")
    os.utime(path / NAME)
    assert not is_complete(path, manifest, ALL)
    assert bring(manifest, ALL, path, name="job").fetched == 0


def test_without_a_record_it_is_not_believed(whole: Manifest, tmp_path: Path) -> None:
    manifest = without_sha256(whole)
    path = published_path(tmp_path / "store", manifest)
    first = bring(manifest, ALL, path, name="job")
    for marker in (path / ".nodeinit").iterdir():
        marker.unlink()
    problems = verify(path, manifest, ALL, rehash=True)
    assert len(problems) == len(MODEL)
    assert "cannot be verified" in str(problems[0])
    assert bring(manifest, ALL, path, name="job").fetched == first.bytes


@pytest.mark.parametrize("digest", [git_sha1, md5])
def test_a_checksum_of_the_source_is_enough(
    whole: Manifest, tmp_path: Path, digest: object
) -> None:
    manifest = without_sha256(whole, digest)
    path = published_path(tmp_path / "store", manifest)
    Path(manifest.source, NAME).write_bytes(MODEL[NAME][:-1] + b"!")
    with pytest.raises(
        PermanentError, match=r"^changed: model\.safetensors .* it has the (git|md5)"
    ):
        bring(manifest, ALL, path, name="job")
    assert not path.exists()
    Path(manifest.source, NAME).write_bytes(MODEL[NAME])
    bring(manifest, ALL, path, name="job")
    for marker in (path / ".nodeinit").iterdir():
        marker.unlink()
    assert bring(manifest, ALL, path, name="job").fetched == 0
