"""What the proxy can do to an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import attrs

Kind = Literal["refuse", "hang_up", "reset", "truncate", "stall", "flip"]


@attrs.define
class Fault:
    """What happens to some answers. `at` counts bytes of the body; for `flip`, of the file."""

    kind: Kind
    at: int = 0
    times: int | None = 1
    method: str = "GET"
    path: str = ""
    status: int = 0
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    struck: int = 0

    def strikes(self, method: str, target: str) -> bool:
        if self.times is not None and self.struck >= self.times:
            return False
        return re.fullmatch(self.method, method) is not None and bool(re.search(self.path, target))


def refuse(status: int, *, retry_after: str | int | None = None, **where: object) -> Fault:
    """Answer a status instead of asking the server: `refuse(429, times=3, retry_after=1)`."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Fault("refuse", status=status, headers=headers, **where)  # type: ignore[arg-type]


def hang_up(**where: object) -> Fault:
    """End the connection without an answer."""
    return Fault("hang_up", **where)  # type: ignore[arg-type]


def reset(*, after: int, **where: object) -> Fault:
    """Reset the connection (RST) after so many bytes of the body."""
    return Fault("reset", at=after, **where)  # type: ignore[arg-type]


def truncate(*, after: int, **where: object) -> Fault:
    """End the connection in good order (FIN) after so many bytes, whatever Content-Length says."""
    return Fault("truncate", at=after, **where)  # type: ignore[arg-type]


def stall(*, after: int, **where: object) -> Fault:
    """Send no more after so many bytes of the body, and keep the connection open."""
    return Fault("stall", at=after, **where)  # type: ignore[arg-type]


def flip(*, byte: int, **where: object) -> Fault:
    """Flip one bit of byte `byte` of the file, in whatever range it is asked for."""
    return Fault("flip", at=byte, **where)  # type: ignore[arg-type]
