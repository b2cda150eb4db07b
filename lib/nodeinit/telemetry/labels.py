"""Values of labels, few whatever happens: each combination costs memory in every process and server."""

from __future__ import annotations

import threading

from nodeinit.redact import redact_text

OTHER = "other"
NONE = "none"
REASONS = frozenset(
    {
        *("cancelled", "cleanup", "deadline", "displaced", "error", "hook", "infeasible"),
        *("journal", "lost", "machine", "released", "rule"),
    }
)
"""The codes of `Reason`: classes of failure."""

MODELS = 50
_LONGEST = 100


class Cap:
    """Lets the first `limit` different values through; those that come later are `other`."""

    def __init__(self, limit: int = MODELS) -> None:
        self._limit = limit
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, value: str) -> str:
        """The label for a value: the same one each time."""
        with self._lock:
            known = self._known.get(value)
            if known is None and len(self._known) < self._limit:
                known = self._known[value] = redact_text(value)[:_LONGEST] or NONE
            return known or OTHER


models = Cap()
"""The models of this process."""


def reason(code: str | None) -> str:
    """The label for the code of a reason; `none` without one."""
    if code is None:
        return NONE
    return code if code in REASONS else OTHER
