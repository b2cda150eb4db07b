from __future__ import annotations

import hashlib
import os
import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings

from nodeinit.download.manifest import ManifestFile
from nodeinit.download.sources import index, shown, source_for
from nodeinit.download.sources import local as local_module
from nodeinit.download.sources.local import LocalSource, directory_of
from nodeinit.download.watch import Stopped
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.trees import MODEL, TREES, model, scratch, write_tree


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_the_manifest_is_the_tree(files: dict[str, bytes]) -> None:
    with scratch() as directory:
        manifest = model(directory / "m", files)
        again = model(directory / "copy", dict(reversed(files.items())))
        expected = {
            ManifestFile(path, len(data), hashlib.sha256(data).hexdigest())
            for path, data in files.items()
        }
        assert set(manifest.files) == expected
        assert manifest.files == tuple(sorted(manifest.files))
        assert again.revision == manifest.revision
        assert manifest.source == str(directory / "m")
        for file in manifest.files:
            for offset in (0, file.size // 2, file.size):
                with LocalSource().open(manifest.source, file, offset) as reader:
                    assert reader.read(1000) == files[file.path][offset:]


def test_references_to_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path / "a b", MODEL)
    write_tree(tmp_path / "org" / "name", MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    spaced = str(tmp_path / "a b")
    for ref in [spaced, "~/a b", "./a b", "a b", f"file://{spaced}", f"file://localhost{spaced}"]:
        assert isinstance(source_for(ref), LocalSource)
        assert str(directory_of(ref)) == spaced
    assert str(directory_of((tmp_path / "a b").as_uri())) == spaced
    assert str(directory_of("org/name")) == str(tmp_path / "org" / "name")
    assert source_for("org/name").manifest("org/name", "x").source == str(tmp_path / "org" / "name")


@pytest.mark.parametrize("ref", ["ftp://host/x", "SCP://h/x"])
def test_other_schemes_are_refused_by_name(ref: str) -> None:
    with pytest.raises(PermanentError) as refused:
        source_for(ref)
    scheme = ref.split(":")[0].lower()
    assert f"{scheme}:// is not supported by this version" in str(refused.value)
    assert "a local or shared directory" in str(refused.value)


@pytest.mark.parametrize("ref", ["no/such/directory", "a b", "models/", "org--name/x"])
def test_a_name_that_is_neither_a_directory_nor_an_id_is_refused(
    ref: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PermanentError, match=r"is not a directory here and cannot be the id"):
        source_for(ref)


def test_secrets_of_a_url_are_not_shown() -> None:
    url = "ftp://user:secret@host/path?token=secret#secret"
    assert shown(url) == "ftp://host/path"
    assert shown("/models/a#b?c") == "/models/a#b?c"
    with pytest.raises(PermanentError) as refused:
        source_for(url)
    assert "secret" not in str(refused.value)


def test_an_installed_package_adds_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "theirs-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[nodeinit.sources]\nmem = theirs:Memory\n")
    (tmp_path / "theirs.py").write_text("class Memory:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert type(source_for("mem://x")).__name__ == "Memory"
    with pytest.raises(PermanentError, match="mem://"):
        source_for("ftp://x")

    shutil.copytree(info, tmp_path / "others-1.dist-info")
    (tmp_path / "others-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: others\nVersion: 1\n"
    )
    with pytest.raises(PermanentError, match="several packages serve mem://"):
        source_for("mem://x")


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("/no/such/directory", "does not exist on this host"),
        (__file__, "is not a directory"),
        ("file://elsewhere/x", "names the host 'elsewhere'"),
        ("~nobody-of-this-name/x", "names a user"),
        ("file://", "not the name of a directory"),
        ("/" + "x" * 300, "too long"),
    ],
)
def test_what_is_no_directory_is_refused(ref: str, message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        source_for(ref).manifest(ref, "x")


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub" / ".git").mkdir(parents=True)
    (tmp_path / "sub" / ".git" / "config").touch()
    with pytest.raises(PermanentError, match="nothing to serve"):
        LocalSource().manifest(str(tmp_path), "x")


def test_what_is_left_out_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    junk = [".git/HEAD", ".cache/x", "a.incomplete", "config.json~", ".x.swp", "sub/.DS_Store"]
    write_tree(tmp_path, MODEL | dict.fromkeys(junk, b"junk"))
    write_tree(tmp_path, {".nodeinit/MODEL_AND_TOKENIZER.json": b"{}", ".gitattributes": b"kept"})
    with caplog.at_level("INFO"):
        manifest = LocalSource().manifest(str(tmp_path), "x")
    assert {file.path for file in manifest.files} == {*MODEL, ".gitattributes"}
    for name in (".git", ".cache", "a.incomplete", "config.json~", ".x.swp", "sub/.DS_Store"):
        assert f"{tmp_path / name} is left out" in caplog.text


@pytest.mark.parametrize("where", [".nodeinit/locks/x", "store/.nodeinit/digests/x"])
def test_a_store_is_no_model(tmp_path: Path, where: str) -> None:
    write_tree(tmp_path, MODEL | {where: b""})
    with pytest.raises(PermanentError, match="where nodeinit keeps models"):
        LocalSource().manifest(str(tmp_path), "x")


def test_links_may_not_leave_the_model(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    directory = write_tree(tmp_path / "m", MODEL)
    file = ManifestFile("link.json", 6, "0" * 64)
    for target in (secret, Path("../secret"), tmp_path / "m" / ".." / "secret"):
        link = directory / "link.json"
        link.symlink_to(target)
        with pytest.raises(PermanentError, match="outside of the model's directory"):
            LocalSource().manifest(str(directory), "x")
        with pytest.raises(PermanentError, match="outside of the model's directory"):
            LocalSource().open(str(directory), file)
        link.unlink()
    (directory / "link.json").symlink_to("config.json")
    assert len(LocalSource().manifest(str(directory), "x").files) == len(MODEL) + 1


def test_a_directory_that_becomes_a_link_is_noticed_when_read(tmp_path: Path) -> None:
    manifest = model(tmp_path / "m")
    write_tree(tmp_path / "elsewhere", {"extra.dat": b""})
    (tmp_path / "m" / "sub").rename(tmp_path / "gone")
    (tmp_path / "m" / "sub").symlink_to(tmp_path / "elsewhere")
    file = next(file for file in manifest.files if file.path == "sub/extra.dat")
    with pytest.raises(PermanentError, match="outside"):
        LocalSource().open(manifest.source, file)
    with pytest.raises(PermanentError):
        LocalSource().manifest(manifest.source, "x")


def test_a_snapshot_in_a_hub_cache_is_followed_to_its_blobs(tmp_path: Path) -> None:
    repo = tmp_path / "models--org--name"
    write_tree(tmp_path, {"blobs/c8/xet": b"shared weights", "other/secret": b""})
    write_tree(repo, {"blobs/abc": b"{}"})
    (repo / "blobs" / "def").symlink_to("../../blobs/c8/xet")
    snapshot = repo / "snapshots" / "rev"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/abc")
    (snapshot / "model.safetensors").symlink_to("../../blobs/def")
    manifest = LocalSource().manifest(str(snapshot), "org/name")
    assert [(file.path, file.size) for file in manifest.files] == [
        ("config.json", 2),
        ("model.safetensors", 14),
    ]
    (snapshot / "evil").symlink_to("../../../other/secret")
    with pytest.raises(PermanentError, match="outside"):
        LocalSource().manifest(str(snapshot), "org/name")


@pytest.mark.parametrize("kind", ["fifo", "directory link", "broken link", "circle"])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, kind: str) -> None:
    write_tree(tmp_path, MODEL)
    odd = tmp_path / "odd"
    match kind:
        case "fifo":
            os.mkfifo(odd)
        case "directory link":
            odd.symlink_to("sub")
        case "broken link":
            odd.symlink_to("nowhere")
        case "circle":
            odd.symlink_to("odd")
    with pytest.raises(PermanentError, match="odd"):
        LocalSource().manifest(str(tmp_path), "x")


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    manifest = model(tmp_path)
    file = manifest.files[0]
    (tmp_path / file.path).unlink()
    os.mkfifo(tmp_path / file.path)
    with pytest.raises(PermanentError, match="not a regular file"):
        LocalSource().open(str(tmp_path), file)


@pytest.mark.parametrize("name", [b"back\\slash", b"new\nline", b"\xff\xfe"])
def test_doubtful_names_are_refused(tmp_path: Path, name: bytes) -> None:
    write_tree(tmp_path, MODEL)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    with pytest.raises(PermanentError, match="unsafe_path"):
        LocalSource().manifest(str(tmp_path), "x")


def test_names_that_differ_by_case_are_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, {"Config.json": b"1", "config.json": b"2"})
    with pytest.raises(PermanentError, match="differ by case"):
        LocalSource().manifest(str(tmp_path), "x")


def test_a_file_that_changes_while_it_is_read_is_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path, {"config.json": b"{}"})
    real = local_module.sha256_of

    def meddled(path: Path, on_chunk: object) -> str:
        digest = real(path, lambda _: None)
        path.write_bytes(b"[]")
        os.utime(path, ns=(0, 0))
        return digest

    monkeypatch.setattr(local_module, "sha256_of", meddled)
    with pytest.raises(TemporaryError, match=r"config\.json changed while it was being read"):
        LocalSource().manifest(str(tmp_path), "x")


def test_hashing_can_be_stopped(tmp_path: Path) -> None:
    write_tree(tmp_path, MODEL)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        LocalSource().manifest(str(tmp_path), "x", should_stop=stop.is_set)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are hashed from now on."""
    names: list[str] = []
    real = local_module.sha256_of

    def counted(path: Path, on_chunk: object) -> str:
        names.append(path.name)
        return real(path, lambda _: None)

    monkeypatch.setattr(local_module, "sha256_of", counted)
    return names


def test_a_second_start_hashes_only_what_changed(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_SETTLED_NS", -(10**18))
    ref = str(write_tree(tmp_path / "m", MODEL))

    def manifest() -> str:
        return LocalSource().manifest(ref, "x", index=tmp_path / "index").revision

    first = manifest()
    assert len(hashed) == len(MODEL)
    hashed.clear()
    assert manifest() == first
    assert hashed == []

    # The same size and times, but another file: `mv` and `cp -p` do this.
    other = tmp_path / "other"
    other.write_bytes(b"[]")
    times = (tmp_path / "m" / "config.json").stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.rename(tmp_path / "m" / "config.json")
    assert manifest() != first
    assert hashed == ["config.json"]

    # The same inode, size and modification time, rewritten in place.
    hashed.clear()
    (tmp_path / "m" / "config.json").write_bytes(b"{}")
    os.utime(tmp_path / "m" / "config.json", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert manifest() == first
    assert hashed == ["config.json"]

    hashed.clear()
    next((tmp_path / "index").glob("*.json")).write_text('{"config.json": 7}')
    assert manifest() == first
    assert len(hashed) == len(MODEL)


def test_a_file_that_just_changed_is_not_remembered(tmp_path: Path, hashed: list[str]) -> None:
    ref = str(write_tree(tmp_path / "m", MODEL))
    for _ in range(2):
        LocalSource().manifest(ref, "x", index=tmp_path / "index")
    assert len(hashed) == 2 * len(MODEL)


def test_an_index_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    ref = str(write_tree(tmp_path / "m", MODEL))
    (tmp_path / "file").touch()
    plain = LocalSource().manifest(ref, "x")
    assert LocalSource().manifest(ref, "x", index=tmp_path / "file" / "index") == plain
