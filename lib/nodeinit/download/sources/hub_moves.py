"""Where a hub sends those who ask for a large file, remembered for a while.

A hub counts how often it is asked (3 000 times in five minutes for a whole address without a
token), and a model of 140 GB has 9 000 ranges of 16 MiB. What it redirects to may be asked as often
as one likes, for as long as its signature is good.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.errors import PermanentError

if TYPE_CHECKING:
    from nodeinit.download.sources.hub_http import Hub

_GOOD_FOR = 300.0  # seconds; signatures are good for an hour, as far as has been seen


@attrs.define
class Moves:
    """The addresses of files by the addresses that the hub gives for them."""

    _known: dict[str, tuple[str, float]] = attrs.field(factory=dict)
    _asking: dict[str, threading.Lock] = attrs.field(factory=dict)

    @contextlib.contextmanager
    def streaming(self, hub: Hub, url: str, headers: Mapping[str, str], file: str) -> Iterator[Any]:
        """`Hub.streaming` from where `url` was found to lead, or anew."""
        with contextlib.ExitStack() as stack:
            yield self._answer(stack, hub, url, headers, file)

    def _answer(
        self,
        stack: contextlib.ExitStack,
        hub: Hub,
        url: str,
        headers: Mapping[str, str],
        file: str,
    ) -> Any:
        tried = self._find(url)
        if tried:
            # A signature that is good no more makes it permanent, most likely.
            with contextlib.suppress(PermanentError):
                return stack.enter_context(hub.streaming(tried, headers, file))
        # All ranges of a file begin at the same time: one asks, the others wait for its answer.
        with self._asking.setdefault(url, threading.Lock()):
            there = self._find(url)
            if not there or there == tried:
                response = stack.enter_context(hub.streaming(url, headers, file))
                self._note(url, str(response.url), hub.ref.endpoint)
                return response
        return stack.enter_context(hub.streaming(there, headers, file))

    def _find(self, url: str) -> str:
        there, until = self._known.get(url, ("", 0.0))
        return there if time.monotonic() < until else ""

    def _note(self, url: str, there: str, endpoint: str) -> None:
        if not there.startswith(f"{endpoint}/"):
            self._known[url] = (there, time.monotonic() + _GOOD_FOR)
