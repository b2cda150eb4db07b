"""How long a bucket that refuses a listing wants us to wait: `obstore` does not show its headers.

An object of it is asked for without `obstore`, once however many requests were refused, and
`Retry-After` is read from the answer. Where there is no address to ask (`addresses`) the answer is
`None`, and the policy's own backoff holds.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from nodeinit.download.sources.addresses import address
from nodeinit.download.sources.places import Place
from nodeinit.download.sources.stores import name_of
from nodeinit.download.sources.web import asked_to_wait

_lock = threading.Lock()
_until: dict[str, float] = {}


def delay_of_bucket(place: Place, store: Any, key: str) -> float | None:
    """The seconds to wait before a bucket is asked again, as far as it says so."""
    from obstore.exceptions import BaseError

    name = name_of(store)
    with _lock:
        left = _until.get(name, 0.0) - time.monotonic()
        if left > 0:
            return left
        try:
            url = address(place, store, key)
        except (BaseError, ValueError, OSError):
            return None
        delay = asked_to_wait(url, {}) if url else None
        if delay is not None:
            _until[name] = time.monotonic() + delay
        return delay
