"""Listings that no honest server makes, through the real client."""

from __future__ import annotations

import hashlib
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.fetch import bring
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.sources import listing, source_for
from nodeinit.download.store import published_path
from nodeinit.download.watch import Stopped
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.servers.lies import Liar, lying, many
from tests.download.trees import ALL


@pytest.fixture
def liar(no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Liar]:
    with lying() as liar:
        monkeypatch.setenv("AWS_ENDPOINT_URL", liar.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        yield liar


def manifest(stall: float = 20.0, **options: object) -> Manifest:
    ref = "s3://bucket/m"
    return source_for(ref, DownloadSettings(stall=stall)).manifest(ref, "model", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "key",
    [
        "m/../../../x",
        "m/sub/../../x",
        "m//x",
        "m/./x",
        "m/" + "x" * 256,
        "m/a\\b",
        "m/a\nb",
        "m/a\x7fb",
        "m/.nodeinit/locks",
        "m/" + "/".join(["x" * 200] * 12),
    ],
    ids=lambda key: repr(key)[1:20],
)
def test_d11_a_key_that_is_no_plain_path_is_refused_and_nothing_is_written(
    liar: Liar, key: str, tmp_path: Path
) -> None:
    liar.pages = [[("m/config.json", 4), (key, 4)]]
    with pytest.raises(PermanentError, match=r"^unsafe_path: "):
        manifest()
    assert liar.read == []


def test_d11_a_key_with_dots_in_a_manifest_is_refused_before_a_byte_is_written(
    liar: Liar, tmp_path: Path
) -> None:
    made = Manifest("m", "s3://bucket/m", (ManifestFile("../../x", 4, version='"1"'),))
    root = tmp_path / "store"
    with pytest.raises(PermanentError, match=r"^unsafe_path: "):
        bring(made, ALL, published_path(root, made), name="t")
    assert liar.read == []
    assert sorted(tmp_path.rglob("x")) == []


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["m/a", "m/A"], "differ by case alone"),
        (["m/a", "m/a"], "is listed twice"),
        (["m/a", "m/a/b"], "is also a directory"),
    ],
)
def test_keys_that_cannot_live_in_one_directory_are_refused(
    liar: Liar, keys: list[str], message: str
) -> None:
    liar.pages = [[(key, 4) for key in keys]]
    with pytest.raises(PermanentError, match=rf"^unsafe_path: .*{message}"):
        manifest()


def test_keys_of_other_prefixes_are_refused(liar: Liar) -> None:
    """A server that lists what was not asked for: the key would lose its first letters."""
    liar.pages = [[("m/a", 4), ("other/secret", 4)]]
    with pytest.raises(PermanentError, match=r"^unsupported: .*'other/secret'.*not below"):
        manifest()


@pytest.mark.parametrize("size", [-1, 1 << 60, "9" * 30, "x", ""])
def test_a_size_that_cannot_be_is_refused(liar: Liar, size: int | str) -> None:
    liar.pages = [[("m/a", size)]]
    with pytest.raises(PermanentError, match=r"^unsupported: "):
        manifest()


def test_markers_of_directories_are_no_files(liar: Liar) -> None:
    liar.pages = [[("m/", 0), ("m/sub/", 0), ("m/sub/a", 4), ("m/config.json", 4)]]
    assert [file.path for file in manifest().files] == ["config.json", "sub/a"]


def test_several_pages_are_one_listing(liar: Liar) -> None:
    liar.pages = [many(3), many(3), many(1)]
    assert len(manifest().files) == 7
    assert liar.listed == 3


def test_an_endless_listing_ends_with_bounded_memory(
    liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_FILES", 20_000)
    liar.pages, liar.endless = [many(1000)], True
    tracemalloc.start()
    with pytest.raises(PermanentError, match=r"^unsupported: s3://bucket/m has more than 20000"):
        manifest()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 << 20
    assert liar.listed < 40  # the client reads a little ahead


def test_an_endless_listing_of_nothing_ends(liar: Liar) -> None:
    liar.endless = True
    with pytest.raises(TemporaryError, match=r"^stalled: the listing of s3://bucket/m"):
        manifest(stall=1.0)
    ended = liar.listed
    threading.Event().wait(0.3)
    assert liar.listed <= ended + 2  # nobody goes on asking


def test_a_listing_stops_when_it_is_told_to(liar: Liar) -> None:
    liar.endless = True
    with pytest.raises(Stopped):
        manifest(should_stop=lambda: liar.listed > 2)


@pytest.mark.parametrize("right", [True, False])
def test_an_etag_that_only_looks_like_an_md5_is_no_digest(liar: Liar, right: bool) -> None:
    """Those of encrypted objects (SSE-KMS) do."""
    liar.etag = hashlib.md5(liar.body if right else b"encrypted").hexdigest()
    liar.pages = [[("m/a", 4), ("m/b", 5)]]
    digest = f"md5:{liar.etag}" if right else ""
    assert [file.digest for file in manifest().files] == [digest] * 2
    # One is tried; where that shows nothing, each is asked for the checksum that the store keeps.
    assert sorted(liar.read[1:]) == ([] if right else ["/bucket/m/a", "/bucket/m/b"])


def test_a_file_shorter_or_longer_than_listed_has_changed(liar: Liar) -> None:
    liar.pages = [[("m/a", 3), ("m/b", 5)]]
    made = manifest()
    for file in made.files:
        with pytest.raises(PermanentError, match=r"^changed: cannot read"):
            source_for(made.source).open(made.source, file)


def test_an_answer_that_is_no_listing_is_refused(liar: Liar, monkeypatch: object) -> None:
    liar.pages = [[("</Key></Contents><oops>", 1)]]
    liar._page = lambda: "<html>log in here</html>"  # type: ignore[method-assign, misc]
    with pytest.raises((PermanentError, TemporaryError), match=r"^(unsupported|not_found): "):
        manifest()
