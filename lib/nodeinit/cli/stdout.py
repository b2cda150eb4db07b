"""Keeping stdout clean for programs: what others print meanwhile goes to stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def kept_clean(wanted: bool) -> Iterator[IO[str]]:
    """A stream to the real stdout. If `wanted`, nobody else reaches it within the block.

    Neither the `print` of a hook nor a program that a hook starts may come between.
    """
    if not wanted:
        yield sys.stdout
        return
    with _aside(sys.stdout) as out, contextlib.redirect_stdout(sys.stderr):
        yield out


@contextlib.contextmanager
def _aside(stream: IO[str]) -> Iterator[IO[str]]:
    """The stream under a descriptor of its own, while its old one leads to stderr."""
    try:
        number = stream.fileno()
    except (OSError, io.UnsupportedOperation):  # it is in memory: no other program can reach it
        yield stream
        return
    stream.flush()
    with os.fdopen(os.dup(number), "w", encoding="utf-8") as kept:
        os.dup2(2, number)
        try:
            yield kept
        finally:
            kept.flush()
            os.dup2(kept.fileno(), number)
