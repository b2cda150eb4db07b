"""Files that are there whole or not at all."""

from __future__ import annotations

import secrets
from pathlib import Path

from nodeinit.errors import ConfigError, Fault


def write_text(path: Path, text: str) -> None:
    """Write a text, the same bytes everywhere, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, making its directory. Raises `ConfigError`.

    A file that was there is replaced at once, so that no reader ever meets half of one. A link, and
    what is no file, such as `/dev/stdout`, is written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_bytes(data)
        else:
            _replace(path, data)
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise ConfigError(Fault("output file", problem, repr(str(path)))) from error


def _replace(target: Path, data: bytes) -> None:
    # A name of our own, and not that of the file, which may be as long as a name can be.
    beside = target.with_name(f".nodeinit-{secrets.token_hex(8)}.tmp")
    try:
        beside.write_bytes(data)
        if target.exists():
            beside.chmod(target.stat().st_mode & 0o7777)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
