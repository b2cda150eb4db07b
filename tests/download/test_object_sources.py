"""Buckets of three real servers: what is listed, what is read, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import attrs
import google_crc32c
import pytest

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.sources import source_for
from nodeinit.download.sources.places import place_of
from nodeinit.download.sources.stores import open_store
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.faults import Fault
from tests.download.proxy import FaultProxy, flip, hang_up, refuse, reset, stall, truncate
from tests.download.servers.bucket import Bucket

FILES = {
    "config.json": b'{"a": 1}',
    "model.safetensors": bytes(range(256)) * 4000,
    "sub/we ird+%20~é#?.txt": b"text",
    "empty.txt": b"",
}


def manifest(ref: str) -> Manifest:
    return source_for(ref).manifest(ref, "org/model")


def body(ref: str, made: Manifest, path: str, offset: int = 0, length: int | None = None) -> bytes:
    file = next(file for file in made.files if file.path == path)
    with source_for(ref).open(made.source, file, offset, length) as reader:
        return b"".join(iter(lambda: reader.read(100_000), b""))


def test_a_prefix_is_listed_with_sizes_and_versions(bucket: Bucket) -> None:
    ref = bucket.write("m", FILES)
    bucket.put("m2/other.txt", b"no part of it")
    made = manifest(ref)
    assert {file.path: file.size for file in made.files} == {
        path: len(data) for path, data in FILES.items()
    }
    assert made.source == ref
    assert all(file.version for file in made.files)
    assert manifest(ref) == made == manifest(ref + "/") == manifest(f"pyarrow-{ref}")


def test_every_range_of_every_file_is_read(bucket: Bucket) -> None:
    ref = bucket.write("m", FILES)
    made = manifest(ref)
    for path, data in FILES.items():
        assert body(ref, made, path) == data
        size = len(data)
        for offset, length in ((0, 1), (1, None), (size // 2, 7), (size - 1, 1), (size, 0)):
            if size > 20:
                end = None if length is None else offset + length
                assert body(ref, made, path, offset, length) == data[offset:end]


def test_a_file_that_was_overwritten_is_not_read(bucket: Bucket) -> None:
    ref = bucket.write("changing", FILES)
    made = manifest(ref)
    bucket.put("changing/config.json", b'{"a": 2}')
    with pytest.raises(PermanentError, match=r"^changed: cannot read 'config.json' in .*changing"):
        body(ref, made, "config.json", 1, 3)
    assert body(ref, manifest(ref), "config.json") == b'{"a": 2}'
    assert manifest(ref).revision != made.revision


@pytest.mark.parametrize("name", ["SHA256SUMS", "manifest.json"])
def test_the_sha256_of_the_publisher_is_taken(bucket: Bucket, name: str) -> None:
    sums = {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}
    if name == "SHA256SUMS":
        text = "".join(f"{digest}  {path}\n" for path, digest in sums.items())
    else:
        rows = [
            {"path": path, "size": len(FILES[path]), "sha256": digest}
            for path, digest in sums.items()
        ]
        text = json.dumps({"files": rows})
    ref = bucket.write(f"sums-{name}", {**FILES, name: text.encode()})
    made = manifest(ref)
    assert {f.path: f.sha256 for f in made.files if f.path != name} == sums


def test_what_a_store_knows_of_bytes_is_their_digest(bucket: Bucket) -> None:
    """S3: the ETag, where one try shows that it is an MD5. GCS, Azure: a header of each object."""
    ref = bucket.write("m", FILES)
    digests = {file.path: file.digest for file in manifest(ref).files}
    data = FILES["model.safetensors"]
    md5 = hashlib.md5(data)
    expected = {
        "s3": f"md5:{md5.hexdigest()}",
        "gs": f"crc32c:{base64.b64encode(google_crc32c.value(data).to_bytes(4, 'big')).decode()}",
        "azure": f"md5:{base64.b64encode(md5.digest()).decode()}",
    }
    assert digests["model.safetensors"] == expected[bucket.kind]


def test_d4_an_empty_prefix_is_not_found_and_no_other_source_is_asked(bucket: Bucket) -> None:
    bucket.write("m", FILES)
    with pytest.raises(PermanentError, match=r"^not_found: the bucket 'models' has nothing below"):
        manifest(f"{bucket.ref}/mm")
    with pytest.raises(PermanentError, match=r"not_found: .*'m/config/'"):
        manifest(f"{bucket.ref}/m/config")


def test_d4_a_missing_bucket_is_not_found(bucket: Bucket) -> None:
    if bucket.kind == "gs":
        pytest.skip("fake-gcs-server answers 500 to a listing of a missing bucket")
    with pytest.raises(PermanentError, match=r"^not_found: cannot list the files in .*no such"):
        manifest(f"{bucket.missing}/m")


def test_a_file_that_is_gone_is_not_found(bucket: Bucket) -> None:
    ref = bucket.write("m", FILES)
    gone = ManifestFile("gone.bin", 10)
    with pytest.raises(PermanentError, match=r"^not_found: cannot read 'gone.bin' in .*/m"):
        source_for(ref).open(ref, gone)


def test_d3_wrong_credentials_are_an_error_not_another_source(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = bucket.write("m", FILES)
    made = manifest(ref)
    if not bucket.wrong:
        pytest.skip("this server lets everybody in")
    for name, value in bucket.wrong.items():
        monkeypatch.setenv(name, value)
    variable = next(iter(bucket.wrong))
    with pytest.raises(PermanentError, match=rf"^auth: cannot list the files .*{variable}"):
        manifest(ref)
    with pytest.raises(PermanentError, match=rf"^auth: cannot read 'config.json' .*{variable}"):
        body(ref, made, "config.json")


def test_d3_no_credentials_at_all(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    if bucket.kind == "gs":
        pytest.skip("this server lets everybody in")
    for name in bucket.environment:
        if "ENDPOINT" not in name and "REGION" not in name:
            monkeypatch.delenv(name)
    with pytest.raises(PermanentError, match=r"^auth: .*no credentials in the environment; set "):
        manifest(f"{bucket.ref}/m")


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (401, PermanentError, "auth"),
        (403, PermanentError, "auth"),
        (404, PermanentError, "not_found"),
        (400, PermanentError, "unsupported"),
        (301, PermanentError, "unsupported"),
        (408, TemporaryError, "timeout"),
        (429, TemporaryError, "rate_limited"),
        (500, TemporaryError, "unavailable"),
        (503, TemporaryError, "unavailable"),
    ],
)
def test_d7_a_failure_to_read_is_what_it_is_and_nothing_is_assumed(
    bucket: Bucket, proxy: FaultProxy, status: int, kind: type[Exception], word: str
) -> None:
    """Upstream takes any failure to read the `hash` file for "there is none"."""
    sums = f"{hashlib.sha256(b'{}').hexdigest()}  config.json\n".encode()
    ref = bucket.write("d7", {"config.json": b"{}", "hash": b"aaaa", "SHA256SUMS": sums})
    for target in (r"prefix=d7", r"d7(/|%2F)SHA256SUMS"):
        proxy.add(refuse(status, path=target, times=None))
        with pytest.raises(kind, match=rf"^{word}: cannot (list|read) "):
            manifest(ref)
        proxy.forget()


def test_d7_the_hash_file_is_a_file_and_its_change_a_new_revision(bucket: Bucket) -> None:
    ref = bucket.write("d7", {"config.json": b"{}", "hash": b"aaaa"})
    before = manifest(ref).revision
    bucket.put("d7/hash", b"bbbb")
    assert manifest(ref).revision != before


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        # Twice: a kept connection that was closed meanwhile is no failure.
        (hang_up(times=2), "unavailable"),
        (reset(after=500_000), "unavailable"),
        (truncate(after=500_000), "unavailable"),
        (stall(after=500_000), "stalled"),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_a_body_that_breaks_off_is_temporary_and_what_came_is_kept(
    bucket: Bucket, proxy: FaultProxy, fault: Fault, word: str
) -> None:
    ref = bucket.write("m", FILES)
    made = manifest(ref)
    file = next(file for file in made.files if file.path == "model.safetensors")
    proxy.add(attrs.evolve(fault, path="safetensors"))
    came = b""
    with pytest.raises(TemporaryError, match=rf"^{word}: cannot read 'model.safetensors' in"):
        reader = source_for(ref, DownloadSettings(stall=0.5)).open(ref, file, 0, file.size - 1)
        while chunk := reader.read(1 << 20):
            came += chunk
    assert FILES["model.safetensors"].startswith(came)
    proxy.forget()
    # A reset throws away what the reader's own host had not handed over yet.
    assert fault.kind in ("hang_up", "reset") or len(came) > 100_000
    assert body(ref, made, "model.safetensors") == FILES["model.safetensors"]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_heard_and_asked_for_once_however_many_listings_were_refused(
    bucket: Bucket, proxy: FaultProxy, status: int
) -> None:
    ref = bucket.write("m", FILES)
    made = manifest(ref)
    proxy.forget()
    proxy.add(refuse(status, retry_after=30, times=None))
    delays = []
    for read in (lambda: body(ref, made, "config.json", 1, 2), lambda: manifest(ref)) * 2:
        with pytest.raises(TemporaryError) as refused:
            read()
        delays.append(refused.value.delay)
    assert all(delay is not None and 20 < delay <= 30 for delay in delays)
    assert len(proxy.seen) == 4 + 1, [one.target[:60] for one in proxy.seen]


def test_a_flipped_bit_passes_through_here_the_engine_verifies(
    bucket: Bucket, proxy: FaultProxy
) -> None:
    ref = bucket.write("m", FILES)
    made = manifest(ref)
    proxy.add(flip(byte=70_000, path="model"))
    assert (
        body(ref, made, "model.safetensors", 60_000, 20_000)
        != (FILES["model.safetensors"][60_000:80_000])
    )


def test_every_range_names_its_version(bucket: Bucket, proxy: FaultProxy) -> None:
    ref = bucket.write("m", FILES)
    made = manifest(ref)
    proxy.forget()
    body(ref, made, "config.json", 1, 2)
    version = next(file.version for file in made.files if file.path == "config.json")
    assert [(one.headers["if-match"], one.range) for one in proxy.seen] == [(version, "bytes=1-2")]


def test_connections_are_kept_between_ranges(bucket: Bucket) -> None:
    """A new client for each range would shake hands each time."""
    ref = bucket.write("m", FILES)

    first = open_store(place_of(ref), DownloadSettings())
    assert open_store(place_of(ref + "/"), DownloadSettings()) is first


def test_offline_what_is_remembered_is_the_answer_and_no_socket_is_opened(
    bucket: Bucket, proxy: FaultProxy, tmp_path: Path
) -> None:
    ref = bucket.write("m", FILES)
    source = source_for(ref)
    with pytest.raises(PermanentError, match=r"^unavailable: .*/m .*was not read before"):
        source.manifest(ref, "m", offline=True, index=tmp_path)
    assert proxy.seen == []
    made = source.manifest(ref, "m", index=tmp_path)
    proxy.forget()
    assert source.manifest(ref, "m", index=tmp_path, offline=True) == made
    with pytest.raises(PermanentError, match=r"^unavailable: "):
        source.manifest(f"{ref}2", "m", index=tmp_path, offline=True)
    for file in tmp_path.iterdir():
        file.write_text("{}")
    with pytest.raises(PermanentError, match=r"^unavailable: "):
        source.manifest(ref, "m", index=tmp_path, offline=True)
    assert proxy.seen == []


def test_a_warm_start_costs_one_listing_and_a_change_is_seen(
    bucket: Bucket, proxy: FaultProxy, tmp_path: Path
) -> None:
    sums = f"{hashlib.sha256(b'{}').hexdigest()}  config.json\n".encode()
    ref = bucket.write("warm", {"config.json": b"{}", "SHA256SUMS": sums})
    source = source_for(ref)
    made = source.manifest(ref, "m", index=tmp_path)
    assert len(proxy.seen) > 1
    proxy.forget()
    assert source.manifest(ref, "m", index=tmp_path) == made
    assert len(proxy.seen) == 1
    changed = sums.replace(b"config", b"changed")
    bucket.put("warm/changed.json", b"{}")
    bucket.put("warm/SHA256SUMS", changed)
    again = source.manifest(ref, "m", index=tmp_path)
    assert {file.path: bool(file.sha256) for file in again.files} == {
        "SHA256SUMS": False,
        "changed.json": True,
        "config.json": False,
    }
