"""How long a bucket that refuses requests wants us to wait: `obstore` does not show its headers.

The refused request is signed again and sent without `obstore`, once however many ranges were
refused, and `Retry-After` is read from the answer. Where nothing can be signed on this host (a token
from a machine's metadata, an anonymous bucket) the answer is `None`, and the policy's own backoff
holds.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

from nodeinit.download.sources.stores import name_of
from nodeinit.download.sources.web import asked_to_wait

_VALID = timedelta(seconds=60)  # of the signature
_lock = threading.Lock()
_until: dict[str, float] = {}


def delay_of_bucket(store: Any, key: str) -> float | None:
    """The seconds to wait before a bucket is asked again, as far as it says so."""
    import obstore
    from obstore.exceptions import BaseError

    name = name_of(store)
    with _lock:
        left = _until.get(name, 0.0) - time.monotonic()
        if left > 0:
            return left
        if str(store.config.get("skip_signature", "")).lower() == "true":
            return None
        try:
            url = obstore.sign(store, "GET", key, _VALID)
        except (BaseError, ValueError, OSError):
            return None
        delay = asked_to_wait(url, {})
        if delay is not None:
            _until[name] = time.monotonic() + delay
        return delay
