"""Checksums that stores keep of objects: taken where they say something, and held to at once."""

from __future__ import annotations

import base64
import hashlib
import http.client
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import google_crc32c
import pytest
from aiohttp import web

from nodeinit.config.parts import DownloadSettings
from nodeinit.download import crcs
from nodeinit.download.digests import Digester
from nodeinit.download.fetch import bring
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.sources import objects, source_for
from nodeinit.download.sources.places import place_of
from nodeinit.download.sources.sigv4 import Keys, signed
from nodeinit.download.sources.store_checksums import with_kept
from nodeinit.download.sources.stores import open_store
from nodeinit.download.sources.taxonomy import Asked
from nodeinit.download.store import published_path
from nodeinit.download.watch import Watch
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.proxy import FaultProxy, flip
from tests.download.servers.bucket import Bucket
from tests.download.servers.seaweed import KEY, SECRET
from tests.download.servers.web import serving
from tests.download.trees import ALL, MODEL, tensors

DATA = bytes(range(256)) * 300
BIG = {**MODEL, "model.safetensors": tensors(bytes(range(250)) * 12_000)}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def kept(ref: str, path: str = "w.bin", size: int = len(DATA)) -> ManifestFile:
    """What the store behind a reference knows of a file."""
    place = place_of(ref)
    store = open_store(place, DownloadSettings())
    file = ManifestFile(path, size)
    asked = Asked("ask for it", ref, "KEYS")
    [found] = with_kept(
        place, store, [file], lambda _file, _key: asked, DownloadSettings(), Watch()
    )
    return found


def put(bucket: Bucket, key: str, data: bytes, headers: Mapping[str, str]) -> None:
    """Upload an object to S3 with a checksum."""
    url = signed(
        f"{bucket.url}/models/{key}", Keys(KEY, SECRET), headers, 60, datetime.now(UTC), "PUT"
    )
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request("PUT", f"{parts.path}?{parts.query}", body=data, headers=dict(headers))
    assert connection.getresponse().status == 200
    connection.close()


CRC32 = b64(zlib.crc32(DATA).to_bytes(4, "big"))
CRC32C = b64(google_crc32c.value(DATA).to_bytes(4, "big"))
SHA256 = hashlib.sha256(DATA)


@pytest.mark.parametrize(
    ("kind", "value", "digest"),
    [
        ("crc32", CRC32, f"crc32:{CRC32}"),
        ("crc32c", CRC32C, f"crc32c:{CRC32C}"),
        ("sha256", b64(SHA256.digest()), ""),
    ],
)
def test_s3_shows_what_it_was_given_to_who_signs_for_it(
    s3: Bucket, monkeypatch: pytest.MonkeyPatch, kind: str, value: str, digest: str
) -> None:
    for name, text in s3.environment.items():
        monkeypatch.setenv(name, text)
    put(s3, f"kept-{kind}/w.bin", DATA, {f"x-amz-checksum-{kind}": value})
    found = kept(f"{s3.ref}/kept-{kind}")
    assert found.digest == digest
    assert found.sha256 == (SHA256.hexdigest() if kind == "sha256" else "")
    file = ManifestFile("w.bin", len(DATA), found.sha256, digest=found.digest)
    for data, is_right in ((DATA, True), (DATA[:-1] + b"\0", False)):
        digester = Digester(file)
        digester.update(data)
        assert (digester.problem() is None) is is_right


@pytest.mark.parametrize(
    ("headers", "digest"),
    [
        ({}, ""),
        ({"x-amz-checksum-crc32": CRC32}, f"crc32:{CRC32}"),
        ({"x-amz-checksum-crc32": CRC32, "x-amz-checksum-type": "COMPOSITE"}, ""),
        ({"x-amz-checksum-crc32": f"{CRC32}-17"}, ""),
        ({"x-amz-checksum-sha256": f"{b64(SHA256.digest())}-2"}, ""),
        ({"x-amz-checksum-crc32": CRC32, "x-amz-checksum-crc32c": CRC32C}, f"crc32c:{CRC32C}"),
        ({"x-amz-checksum-crc32": "nonsense"}, ""),
    ],
)
def test_of_s3_only_what_is_of_the_whole_object_is_taken(
    no_credentials: None, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], digest: str
) -> None:
    asked: list[tuple[str, str]] = []

    async def head(request: web.Request) -> web.Response:
        asked.append((request.method, request.headers.get("x-amz-checksum-mode", "")))
        return web.Response(body=DATA, headers=headers)

    app = web.Application()
    app.router.add_get("/bucket/m/w.bin", head)
    with serving(app) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert kept("s3://anonymous@bucket/m").digest == digest
    assert asked == [("HEAD", "ENABLED")]


def test_keys_of_a_role_cannot_sign_the_header(
    no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody is asked
    assert kept("s3://bucket/m").digest == ""


def test_a_checksum_that_cannot_be_computed_here_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(crcs.__dict__, "import_module", missing)
    crcs.step_of.cache_clear()
    assert [crcs.crc(kind) is None for kind in ("crc32", "crc32c", "crc64nvme", "x")] == [
        False,
        *(True,) * 3,
    ]
    monkeypatch.undo()
    crcs.step_of.cache_clear()


def missing(name: str) -> object:
    raise ImportError(name)


def test_a_crc_is_no_name_of_a_revision() -> None:
    def revision(digest: str, version: str) -> str:
        return Manifest("m", "s3://b", (ManifestFile("w", 1, "", version, digest),)).revision

    assert revision("crc32:AAAAAA==", '"1"') != revision("crc32:AAAAAA==", '"2"')
    assert revision("md5:x", '"1"') == revision("md5:x", '"2"')


def test_a_bit_that_flips_on_the_first_arrival_anywhere_is_found(
    bucket: Bucket, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody laid a sha256 beside these files, and no host has seen them before."""
    monkeypatch.setattr(objects, "_TRIED", 0)  # S3's own checksum, not the MD5 that an ETag is
    ref = bucket.write("flips", BIG)
    if bucket.kind == "s3":
        for path, data in BIG.items():
            sum_of = b64(zlib.crc32(data).to_bytes(4, "big"))
            put(bucket, f"flips/{path}", data, {"x-amz-checksum-crc32": sum_of})
    made = source_for(ref).manifest(ref, "org/model")
    assert all(file.digest and not file.sha256 for file in made.files if file.size)
    path = published_path(tmp_path, made)
    proxy.add(flip(byte=1_500_000, path="safetensors"))
    bring(made, ALL, path, name="t")
    assert proxy.faults[0].struck == 1
    assert {name: (path / name).read_bytes() for name in BIG} == BIG


def test_a_bit_that_flips_each_time_gets_nothing_published(
    bucket: Bucket, proxy: FaultProxy, tmp_path: Path
) -> None:
    ref = bucket.write("flips", BIG)
    made = source_for(ref).manifest(ref, "org/model")
    proxy.add(flip(byte=1_500_000, path="safetensors", times=None))
    with pytest.raises((PermanentError, TemporaryError), match=r"model\.safetensors.* has the "):
        bring(made, ALL, published_path(tmp_path, made), name="t")
    assert not published_path(tmp_path, made).exists()
