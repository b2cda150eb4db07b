"""What nodeinit logs, in lines for people."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

from nodeinit.cli.errors import debugging


class _Plain(logging.Handler):
    """Writes warnings and worse to stderr, one line each; tracebacks only with `--debug`."""

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.levelname.lower()}: {record.getMessage()}"
        if record.exc_info and debugging():
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        # Looked up anew each time: a display on the terminal puts its own in the place of stderr.
        print(text, file=sys.stderr)


@contextlib.contextmanager
def plain_logs() -> Iterator[None]:
    """Write what nodeinit logs within the block."""
    logger, handler = logging.getLogger("nodeinit"), _Plain(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
