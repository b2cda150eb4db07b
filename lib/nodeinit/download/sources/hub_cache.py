"""Takes files from the cache that all programs of this host share that use a hub.

Who has run a model here before, in a notebook or by another server, has its bytes already. They are
copied, never linked: the cache is not ours, and what is ours must not change with it. The caller
verifies them as it does all bytes.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from nodeinit.download.manifest import ManifestFile
from nodeinit.download.paths import check_relative
from nodeinit.download.sources.hub_names import HubRef
from nodeinit.download.watch import CHUNK, Watch

logger = logging.getLogger(__name__)


def cache_of(environ: Mapping[str, str]) -> Path:
    """The directory of the cache, as the hub's library finds it."""
    home = environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = environ.get("HF_HOME") or f"{home}/huggingface"
    given = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(os.path.expandvars(given)).expanduser()


def take(
    ref: HubRef,
    files: Iterable[ManifestFile],
    directory: Path,
    environ: Mapping[str, str],
    watch: Watch,
) -> list[ManifestFile]:
    """Copy what the cache has of a commit below `directory`; answers what is still to be brought."""
    snapshot = cache_of(environ) / f"models--{ref.repo.replace('/', '--')}/snapshots/{ref.commit}"
    left = []
    for file in files:
        target = directory / check_relative(file.path)
        cached = snapshot / file.path
        if (
            target.exists()
            or not _has(cached, file.size)
            or not _copied(cached, target, file, watch)
        ):
            left.append(file)
    return left


def _has(path: Path, size: int) -> bool:
    with contextlib.suppress(OSError):
        return path.is_file() and path.stat().st_size == size
    return False


def _copied(source: Path, target: Path, file: ManifestFile, watch: Watch) -> bool:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as reader, target.open("xb") as writer:
            while count := os.sendfile(writer.fileno(), reader.fileno(), None, CHUNK):
                watch.advance(file.path, count)
    except OSError as error:  # whatever it is, the hub has the file too
        logger.warning("%s of the cache is not taken: %s", source, error)
        with contextlib.suppress(OSError):
            target.unlink()
        return False
    return True
