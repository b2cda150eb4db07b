"""The checksums that object stores keep themselves, and show in the headers of an object.

| | header | of what |
|---|---|---|
| S3 | `x-amz-checksum-…` | of whole objects; one made of parts (`COMPOSITE`) is none |
| GCS | `x-goog-hash` | CRC32C of every object, MD5 of those that were not composed |
| Azure | `x-ms-blob-content-md5` | of what was uploaded in one piece, or as the uploader says |

S3 shows them only to who asks in a signed header, which takes the keys themselves: with those of a
role there are none. One request for each file, once: what they answer is remembered.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import attrs

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.crcs import crc
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.sources.addresses import address, plain_address
from nodeinit.download.sources.connections import Exchange
from nodeinit.download.sources.http_range import Get, ask_for
from nodeinit.download.sources.places import Place
from nodeinit.download.sources.sigv4 import Keys, signed
from nodeinit.download.sources.taxonomy import Asked, explaining
from nodeinit.download.watch import Watch
from nodeinit.errors import PermanentError

_ASKERS = 8
_VALID = 900  # seconds of a signature
_MODE = {"x-amz-checksum-mode": "ENABLED"}
_OF_S3 = ("sha256", "crc64nvme", "crc32c", "crc32", "sha1")  # the best first


def with_kept(
    place: Place,
    store: Any,
    files: Sequence[ManifestFile],
    asked_for: Callable[[ManifestFile, str], Asked],
    settings: DownloadSettings,
    watch: Watch,
) -> Sequence[ManifestFile]:
    """The files with what the store knows of those that have no digest yet.

    `asked_for` says what is asked about a file, and its key. Raises `TemporaryError` as
    reading them does.
    """

    def looked_up(file: ManifestFile) -> ManifestFile:
        if file.sha256 or file.digest or not file.size:
            return file
        watch.check()
        key = place.key(file.path)
        asked = asked_for(file, key)
        with explaining(asked):
            get = _get(place, store, key)
        return file if get is None else _known(file, get, asked, settings, place)

    with ThreadPoolExecutor(_ASKERS) as pool:
        return list(pool.map(looked_up, files))


def _get(place: Place, store: Any, key: str) -> Get | None:
    """How to ask for an object's headers; `None` if it cannot be done here."""
    if place.kind != "s3":
        url = address(place, store, key)
        return Get(url) if url else None
    config: Mapping[str, Any] = store.config
    url = plain_address(place, config, key)
    if str(config.get("skip_signature", "")).lower() == "true":
        return Get(url, _MODE, method="HEAD")
    if not (config.get("access_key_id") and config.get("secret_access_key")):
        return None
    if config.get("request_payer"):
        return None
    keys = Keys(
        config["access_key_id"],
        config["secret_access_key"],
        config.get("session_token", ""),
        config.get("region") or "us-east-1",
    )
    return Get(signed(url, keys, _MODE, _VALID, datetime.now(UTC), "HEAD"), _MODE, method="HEAD")


def _known(
    file: ManifestFile, get: Get, asked: Asked, settings: DownloadSettings, place: Place
) -> ManifestFile:
    part = None if get.method == "HEAD" else (0, 1)
    try:
        answer = ask_for(get, file, part, asked, settings)
    except PermanentError:
        return file  # what is wrong with it, if not only this question, is said when it is read
    try:
        match place.kind:
            case "s3":
                return _of_s3(file, answer)
            case "gs":
                return _of_google(file, answer.header("x-goog-hash"))
        md5 = answer.header("x-ms-blob-content-md5")
        return attrs.evolve(file, digest=f"md5:{md5}") if _is_of(md5, 16) else file
    finally:
        answer.close()


def _of_s3(file: ManifestFile, answer: Exchange) -> ManifestFile:
    if answer.header("x-amz-checksum-type").upper() == "COMPOSITE":
        return file
    for kind in _OF_S3:
        value = answer.header(f"x-amz-checksum-{kind}")
        if kind == "sha256" and _is_of(value, 32):
            return attrs.evolve(file, sha256=base64.b64decode(value).hex())
        if (kind == "sha1" and _is_of(value, 20)) or (kind != "sha1" and _is_crc(kind, value)):
            return attrs.evolve(file, digest=f"{kind}:{value}")
    return file


def _of_google(file: ManifestFile, header: str) -> ManifestFile:
    pairs = (one.strip().partition("=") for one in header.split(","))
    given = {name: value for name, _, value in pairs}
    if _is_crc("crc32c", given.get("crc32c", "")):
        return attrs.evolve(file, digest=f"crc32c:{given['crc32c']}")
    if _is_of(given.get("md5", ""), 16):
        return attrs.evolve(file, digest=f"md5:{given['md5']}")
    return file


def _is_crc(kind: str, value: str) -> bool:
    return _is_of(value, 8 if kind == "crc64nvme" else 4) and crc(kind) is not None


def _is_of(value: str, size: int) -> bool:
    """Whether a text is so many bytes in base64: a checksum of parts (`…-17`) is not."""
    try:
        return len(base64.b64decode(value, validate=True)) == size
    except (binascii.Error, ValueError):
        return False
