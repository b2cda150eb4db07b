"""Ray without its messages on the terminal of whoever embeds it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from ray._private import worker

log = logging.getLogger("nodeinit.ray.messages")

_quiet = threading.RLock()
_print = worker.print_to_stdstream


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let only errors of Ray's logger through, and leave the logger as it was found.

    `ray.init` removes the handlers of the logger when it is told not to configure logging.
    """
    logger = logging.getLogger("ray")
    with _quiet:
        level, handlers = logger.level, logger.handlers[:]
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
            logger.handlers[:] = handlers


@contextlib.contextmanager
def messages_logged() -> Iterator[None]:
    """Log what the cluster has to say (a host died, for one), where Ray prints it to stdout.

    Stdout is the program's; `log_to_driver=False` silences the output of workers only.
    """
    worker.print_to_stdstream = _log
    try:
        yield
    finally:
        worker.print_to_stdstream = _print


def _log(data: Mapping[str, Any], ignore_prefix: bool = False) -> None:
    for line in data.get("lines", ()):
        log.info("%s", line)
