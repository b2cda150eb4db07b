"""Models that are brought from buckets and web servers to a store, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeinit.download.fetch import bring
from nodeinit.download.manifest import Manifest
from nodeinit.download.sources import source_for
from nodeinit.download.store import published_path
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.proxy import FaultProxy, flip, reset, truncate
from tests.download.servers.bucket import Bucket
from tests.download.servers.web import files_on_the_web
from tests.download.trees import ALL, MODEL, assert_honest, published, write_tree


def tensors(seed: int) -> bytes:
    """A safetensors file of some megabytes, with one tensor."""
    data = bytes((seed + number) % 256 for number in range(256)) * 20_000
    header = {"w": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


BIG = {**MODEL, "model.safetensors": tensors(0)}
SUMS = "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in BIG.items())


def manifest(ref: str) -> Manifest:
    return source_for(ref).manifest(ref, "org/model")


def brought(made: Manifest, root: Path) -> dict[str, bytes]:
    """What is published, after as many tries as a policy has."""
    path = published_path(root, made)
    for attempt in range(3):
        try:
            bring(made, ALL, path, name=f"t{attempt}")
            break
        except TemporaryError:
            assert not path.exists()
            if attempt == 2:
                raise
    assert_honest(path, made)
    return {name: data for name, (_, data) in published(path).items()}


@pytest.fixture(params=["s3", "gs", "azure", "web"])
def ref(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    no_credentials: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[str, FaultProxy]]:
    """A reference to a model that comes through a proxy, and the proxy."""
    files = {**BIG, "SHA256SUMS": SUMS.encode()}
    if request.param == "web":
        write_tree(tmp_path / "web" / "m", files)
        with files_on_the_web(tmp_path / "web") as url, FaultProxy(url) as proxy:
            yield f"{proxy.url}/m/", proxy
        return
    bucket: Bucket = request.getfixturevalue(request.param)
    with FaultProxy(bucket.url) as proxy:
        for name, value in bucket.through(proxy.url).items():
            monkeypatch.setenv(name, value)
        yield bucket.write("fetched", files), proxy


def test_a_model_is_brought_whole_and_once(ref: tuple[str, FaultProxy], tmp_path: Path) -> None:
    made = manifest(ref[0])
    files = brought(made, tmp_path / "store")
    assert {name: files[name] for name in BIG} == BIG
    ref[1].forget()
    assert brought(made, tmp_path / "store") == files
    assert ref[1].seen == []  # a warm start asks nobody


def test_what_the_line_does_to_it_is_made_good(ref: tuple[str, FaultProxy], tmp_path: Path) -> None:
    made = manifest(ref[0])
    ref[1].add(
        flip(byte=1_000_000, path="safetensors"),
        reset(after=10, path="tokenizer"),
        truncate(after=1, path="config"),
    )
    assert {
        name: data for name, data in brought(made, tmp_path / "store").items() if name in BIG
    } == BIG


def test_a_server_that_always_gives_other_bytes_gets_nothing_published(
    ref: tuple[str, FaultProxy], tmp_path: Path
) -> None:
    made = manifest(ref[0])
    ref[1].add(flip(byte=1_000_000, path="safetensors", times=None))
    with pytest.raises((PermanentError, TemporaryError), match=r"model\.safetensors"):
        brought(made, tmp_path / "store")
    assert not published_path(tmp_path / "store", made).exists()


def test_a_model_that_was_overwritten_after_its_listing_is_not_published(
    bucket: Bucket, tmp_path: Path
) -> None:
    made = manifest(bucket.write("overwritten", BIG))
    bucket.put("overwritten/model.safetensors", tensors(1))
    with pytest.raises(PermanentError, match=r"changed"):
        brought(made, tmp_path / "store")
    assert not published_path(tmp_path / "store", made).exists()
    again = manifest(made.source)
    assert again.revision != made.revision
    assert brought(again, tmp_path / "store")["model.safetensors"] == tensors(1)
