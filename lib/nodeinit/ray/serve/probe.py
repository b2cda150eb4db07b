"""`GET /startupz`, shaped as Kubernetes probes want it: 200 when ready, 503 and why until then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from nodeinit.node.status import Status

PATH = "/startupz"
_AGAIN = (1.0, 30.0)  # seconds: the least and the most to tell a client to wait
_PATIENT = 5.0  # seconds to tell one when nobody knows better


def answer(status: Status) -> Response:
    """The answer to a probe: 200 or 503, and the status as JSON."""
    return respond(status.to_dict(), code=200 if status.ready else 503, wait=_left(status))


def refusal(status: Status) -> Response:
    """The answer to any other request while the replica is not ready: 503, with when to come again."""
    body = {"error": {"message": f"not ready yet: {status.explain}", "phase": status.phase}}
    return respond(body, code=503, wait=_left(status))


def respond(body: Mapping[str, Any], *, code: int, wait: float | None = None) -> Response:
    """A body as JSON that nobody may cache. With 503, `wait` (seconds) says when to ask again."""
    headers = {"Cache-Control": "no-store"}
    if code == 503:
        least, most = _AGAIN
        headers["Retry-After"] = str(round(min(most, max(least, wait or _PATIENT))))
    text = json.dumps(body, ensure_ascii=False)
    return Response(text, code, headers=headers, media_type="application/json")


def is_probe(scope: Mapping[str, Any], path: str) -> bool:
    """Whether an HTTP request is for the probe, wherever Serve has mounted the application."""
    if scope.get("type") != "http" or scope.get("method") not in ("GET", "HEAD"):
        return False
    asked = str(scope.get("path", "")).removeprefix(str(scope.get("root_path") or "").rstrip("/"))
    return asked.rstrip("/") == path


def _left(status: Status) -> float | None:
    return status.progress.left if status.progress is not None else None
