"""What a client of the served model does: `urllib`, since it is nowhere missing."""

from __future__ import annotations

import json
import urllib.request
from typing import Any


def complete(url: str, model: str) -> dict[str, Any]:
    """One chat completion of a few tokens."""
    with _ask(url, model, stream=False) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def stream(url: str, model: str) -> list[dict[str, Any]]:
    """The chunks of a streamed one, up to the end that the server says."""
    chunks = []
    with _ask(url, model, stream=True) as answer:
        for line in answer:
            text = line.decode().strip()
            if text == "data: [DONE]":
                return chunks
            if text.startswith("data: "):
                chunks.append(json.loads(text.removeprefix("data: ")))
    raise AssertionError(f"the stream broke off after {len(chunks)} chunks")


def _ask(url: str, model: str, *, stream: bool) -> Any:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 4,
        "ignore_eos": True,
        "stream": stream,
    }
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    return urllib.request.urlopen(request, timeout=120)
