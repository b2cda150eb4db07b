"""The files of a commit as a hub lists them, checked: a hub may be hostile or half broken."""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nodeinit.download.manifest import ManifestFile
from nodeinit.download.paths import check_paths
from nodeinit.download.sources.hub_names import HubRef, is_commit
from nodeinit.download.sources.hub_weights import redundant
from nodeinit.download.sources.walk import LEFT_OUT
from nodeinit.download.watch import Stopped
from nodeinit.errors import PermanentError

if TYPE_CHECKING:
    from nodeinit.download.sources.hub_http import Hub
    from nodeinit.download.watch import ShouldStop

logger = logging.getLogger(__name__)

_MOST = 50_000  # entries; the largest models have some hundreds
_LARGEST = 2**50  # bytes of one file
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LEFT_OUT = (*LEFT_OUT, ".gitattributes", ".gitignore")


def commit_of(hub: Hub, should_stop: ShouldStop | None) -> tuple[str, bool]:
    """The commit that a revision means now, and whether the model has a gate: one request."""
    revision = quote(hub.ref.revision or "main", safe="")
    found, _ = hub.get_json(f"/api/models/{hub.ref.repo}/revision/{revision}", should_stop)
    commit = found.get("sha") if isinstance(found, dict) else None
    if not is_commit(commit):
        raise _strange(hub.ref, "names no commit")
    return str(commit), bool(found.get("gated"))


def check_gate(hub: Hub, commit: str, files: Sequence[ManifestFile]) -> None:
    """Raise `PermanentError` (`gated: …`) unless a file may be read: a listing is open to all.

    Hosts would be refused later, one by one.
    """
    for file in sorted(files, key=lambda file: file.size)[:1]:
        with hub.streaming(hub.url_of(commit, file.path), {"range": "bytes=0-0"}, file.path):
            pass


def files_of(hub: Hub, commit: str, should_stop: ShouldStop | None) -> tuple[ManifestFile, ...]:
    """The files of a commit: one request for every 1 000 entries."""
    files: list[ManifestFile] = []
    entries = 0
    page: str | None = f"/api/models/{hub.ref.repo}/tree/{commit}?recursive=true&expand=false"
    while page is not None:
        if should_stop is not None and should_stop():
            raise Stopped
        found, following = hub.get_json(page, should_stop)
        if not isinstance(found, list) or (following is not None and not found):
            raise _strange(hub.ref, "does not list its files")
        entries += len(found)
        if entries > _MOST:
            raise PermanentError(
                f"unsupported: {hub.ref} has more than {_MOST} files; a model has some hundreds"
            )
        files += [_file(hub.ref, entry) for entry in found if _is_file(hub.ref, entry)]
        page = following
    check_paths(file.path for file in files)
    return _part_of_model(hub.ref, files)


def _is_file(ref: HubRef, entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise _strange(ref, "lists what is no file")
    return entry.get("type") == "file"


def _file(ref: HubRef, entry: dict[str, Any]) -> ManifestFile:
    path, size, oid, lfs = entry["path"], entry.get("size"), entry.get("oid"), entry.get("lfs")
    sha256: Any = ""
    if lfs is not None:
        # The entry's own digest is that of the pointer, not of the bytes.
        sha256, size = (lfs.get("oid"), lfs.get("size")) if isinstance(lfs, dict) else ("", -1)
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise _strange(ref, f"gives no sha256 of {path!r}")
    elif not is_commit(oid):
        raise _strange(ref, f"gives no digest of {path!r}")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _LARGEST:
        raise _strange(ref, f"gives {size!r} as the size of {path!r}")
    return ManifestFile(path, size, sha256, digest="" if sha256 else f"git-sha1:{oid}")


def _part_of_model(ref: HubRef, files: list[ManifestFile]) -> tuple[ManifestFile, ...]:
    kept = [file for file in files if not _is_left_out(file.path)]
    doubles = redundant(file.path for file in kept)
    if doubles:
        saved = sum(file.size for file in kept if file.path in doubles)
        logger.info(
            "%s: %d files (%.1f GB) have the same weights in other formats and are left out: %s",
            *(ref, len(doubles), saved / 1e9, ", ".join(sorted(doubles)[:10])),
        )
    return tuple(file for file in kept if file.path not in doubles)


def _is_left_out(path: str) -> bool:
    return any(fnmatch.fnmatchcase(part, out) for part in path.split("/") for out in _LEFT_OUT)


def _strange(ref: HubRef, what: str) -> PermanentError:
    return PermanentError(
        f"unsupported: {ref.endpoint} {what} (for {ref}); check that it is a Hugging Face hub"
    )
