from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from nodeinit.download.fetch import bring
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.oserrors import explained
from nodeinit.download.space import check_space
from nodeinit.download.store import is_complete, published_path
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.trees import ALL, MODEL, TOKENIZER, Faulty, model, published, staged

TOP = Path(__file__).parents[2]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return model(tmp_path / "model")


@pytest.fixture
def path(tmp_path: Path, manifest: Manifest) -> Path:
    return published_path(tmp_path / "store", manifest)


def disk(*, free: int = 2**20, inodes: int = 10**6, counted: int = 10**6) -> os.statvfs_result:
    """A disk with `free` blocks of 4 KiB."""
    return os.statvfs_result((4096, 4096, 2**30, free, free, counted, inodes, inodes, 0, 255))


def test_a_full_disk_is_known_before_the_first_byte(
    manifest: Manifest, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: disk(free=100))
    source = Faulty()
    with pytest.raises(PermanentError, match=r"is too small: 0\.016 GiB are needed and 0\.000 GiB"):
        bring(manifest, ALL, path, name="job", source=source)
    assert source.passed == 0
    assert staged(path.parent.parent) == []
    monkeypatch.setattr(os, "statvfs", lambda _: disk(inodes=3))
    with pytest.raises(PermanentError, match=r"has 3 free inodes and 68 are needed"):
        bring(manifest, ALL, path, name="job", source=source)
    monkeypatch.setattr(os, "statvfs", lambda _: disk(inodes=0, counted=0))
    assert bring(manifest, ALL, path, name="job", source=source).fetched


@pytest.mark.parametrize(("free", "fits"), [(4096 + 42 + 2, True), (4096 + 42 + 1, False)])
def test_space_is_counted_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, fits: bool
) -> None:
    # 16 MiB of reserve are 4096 blocks, 4096 * 40 + 1 bytes are 41, and 1 % of them less than one.
    monkeypatch.setattr(os, "statvfs", lambda _: disk(free=free))
    files = [ManifestFile("a", 4096 * 40 + 1, "0" * 64), ManifestFile("b", 0, "0" * 64)]
    if fits:
        check_space(tmp_path, files)
    else:
        monkeypatch.setattr(os, "statvfs", lambda _: disk(free=4096 + 41))
        with pytest.raises(PermanentError):
            check_space(tmp_path, files)


def test_only_what_is_absent_needs_space(
    manifest: Manifest, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(manifest, ALL, path, name="job")
    os.utime(path / "config.json")
    monkeypatch.setattr(os, "statvfs", lambda _: disk(free=0))
    assert bring(manifest, ALL, path, name="job").fetched == 0


IN_OWN_MOUNT = """
import sys
from pathlib import Path
from tests.download.trees import ALL, TOKENIZER, model
from nodeinit.download.fetch import bring
from nodeinit.download.store import is_complete, published_path
from nodeinit.errors import NodeInitError
top = Path(sys.argv[1])
manifest = model(top / "model")
path = published_path(top / "store", manifest)
"""


def in_own_mount(prepare: str, script: str, directory: Path) -> str:
    """Run a script under mounts that `prepare` (shell) made and nobody else sees; needs root."""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    if (
        os.geteuid()
        or subprocess.run([*command, "mount -t tmpfs none /mnt"], check=False).returncode
    ):
        pytest.skip("needs the right to mount")
    run = subprocess.run(
        [
            *command,
            f'{prepare} && exec "$@"',
            "sh",
            sys.executable,
            "-c",
            IN_OWN_MOUNT + script,
            directory,
        ],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_disk_that_fills_up_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    said = in_own_mount(
        f"mount -t tmpfs -o size=24k none {tmp_path}/store",
        """
from nodeinit.download import staging
staging.check_space = lambda *_, **__: None  # there was enough when it was asked
try:
    bring(manifest, ALL, path, name="job")
except NodeInitError as error:
    print(type(error).__name__, error)
print(path.exists(), list((top / "store/.nodeinit/staging").iterdir()))
print(bring(manifest, TOKENIZER, path, name="job").fetched > 0)
""",
        tmp_path,
    )
    first, second, third = said.splitlines()
    assert first.startswith("PermanentError disk_full: cannot write")
    assert "the disk is full: free space" in first
    assert second == "False []"
    assert third == "True"


def test_a_read_only_store_serves_what_it_has(
    tmp_path: Path, manifest: Manifest, path: Path
) -> None:
    bring(manifest, TOKENIZER, path, name="job")
    before = published(path)
    store = tmp_path / "store"
    said = in_own_mount(
        f"mount --bind {store} {store} && mount -o remount,ro,bind {store}",
        """
print(bring(manifest, TOKENIZER, path, name="job").fetched)
try:
    bring(manifest, ALL, path, name="job")
except NodeInitError as error:
    print(type(error).__name__, error)
""",
        tmp_path,
    )
    first, second = said.splitlines()
    assert first == "0"
    assert second.startswith("PermanentError cannot ")
    assert "the file system is read-only: use another model directory" in second
    assert published(path) == before


@pytest.mark.parametrize("blocked", ["store", "store/.nodeinit", "store/org--model"])
def test_a_file_where_a_directory_should_be(
    tmp_path: Path, manifest: Manifest, path: Path, blocked: str
) -> None:
    (tmp_path / blocked).parent.mkdir(exist_ok=True)
    (tmp_path / blocked).touch()
    with pytest.raises(PermanentError, match=str(tmp_path / "store")):
        bring(manifest, ALL, path, name="job")
    assert not is_complete(path, manifest, ALL)


def test_a_file_that_may_not_be_so_large(tmp_path: Path, manifest: Manifest, path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        with pytest.raises(
            PermanentError, match=r"cannot write .*model\.safetensors: File too large"
        ):
            bring(manifest, ALL, path, name="job")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert staged(tmp_path / "store") == []
    assert bring(manifest, ALL, path, name="job").fetched == sum(map(len, MODEL.values()))


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, PermanentError),
        (errno.EDQUOT, PermanentError),
        (errno.EACCES, PermanentError),
        (errno.EROFS, PermanentError),
        (errno.ENOENT, PermanentError),
        (errno.EXDEV, PermanentError),
        (errno.EIO, TemporaryError),
        (errno.ESTALE, TemporaryError),
        (errno.EMFILE, TemporaryError),
        (errno.ETIMEDOUT, TemporaryError),
    ],
)
def test_each_error_says_what_where_and_whether_to_try_again(
    number: int, kind: type[Exception]
) -> None:
    error = explained(OSError(number, os.strerror(number)), "write", "/models/x")
    assert type(error) is kind
    word = "disk_full: " if number in (errno.ENOSPC, errno.EDQUOT) else ""
    assert str(error).startswith(f"{word}cannot write /models/x: {os.strerror(number)}")
