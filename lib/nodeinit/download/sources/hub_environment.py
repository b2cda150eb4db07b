"""What the process that brings files of a hub finds in its environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_XET = {
    # The library would take 2 GB, and 512 MB more for every file; a host has other things to do.
    "HF_XET_RECONSTRUCTION_DOWNLOAD_BUFFER_SIZE": "256mb",
    "HF_XET_RECONSTRUCTION_DOWNLOAD_BUFFER_PERFILE_SIZE": "64mb",
    "HF_XET_RECONSTRUCTION_DOWNLOAD_BUFFER_LIMIT": "1gb",
    "HF_XET_RECONSTRUCTION_MIN_PREFETCH_BUFFER": "256mb",
    "HF_XET_CHUNK_CACHE_SIZE_BYTES": "0",  # a damaged cache would be damaged for ever
}
_NEVER = ("HF_XET_HIGH_PERFORMANCE", "HF_XET_HP")  # they lift the bounds above


def environment_of(
    endpoint: str, notes: Path, environ: Mapping[str, str], token: str | None
) -> dict[str, str]:
    """What the child finds in its environment: the token too, where no other user can read it."""
    kept = {key: value for key, value in environ.items() if key not in _NEVER}
    if token is not None:
        kept["HF_TOKEN"] = token
    return {
        **_XET,
        **kept,
        "HF_XET_CACHE": str(notes / "xet"),
        # The child must find what we found, wherever Ray or a virtual environment put it.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "HF_HUB_DISABLE_PROGRESS_BARS": "0",  # they are how it counts
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_ENDPOINT": endpoint,
        "PYTHONUNBUFFERED": "1",
    }
