"""What a client, an operator and Ray itself see of Serve."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import requests
from ray import serve
from ray.serve.api import RunTarget, _run_many

from nodeinit import LLMConfig
from nodeinit.ray import RayCluster, records
from tests.ray.conftest import standing

SECONDS = 60


def config(source: Path | str, store: Path, callback: Any = None, **more: Any) -> LLMConfig:
    fields: dict[str, Any] = {"engine_kwargs": {"tensor_parallel_size": 2}, **more}
    settings = {"store": str(store), **fields.pop("nodeinit", {})}
    return LLMConfig(
        model_id="org/tiny",
        model_source=str(source),
        callback=callback,
        nodeinit=settings,
        **fields,
    )


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@attrs.frozen
class Answer:
    code: int
    headers: Mapping[str, str]
    body: Any


@attrs.frozen
class Serving:
    """Serve at a port of the loopback."""

    port: int
    cluster: RayCluster

    def get(self, path: str, seconds: float = 20) -> Answer:
        """What a client gets."""
        answer = requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=seconds)
        try:
            body = answer.json()
        except ValueError:
            body = answer.text
        return Answer(answer.status_code, answer.headers, body)

    def deploy(self, app: Any, name: str) -> None:
        """Deploy an application at a route of its name; does not wait until it runs."""
        _run_many([RunTarget(app, name, f"/{name}")], wait_for_applications_running=False)

    def startupz(self, name: str) -> Answer:
        """What the probe says of an application."""
        return self.get(f"/startupz/{name}")

    def until(self, holds: Callable[[], Any], seconds: float = SECONDS) -> Any:
        """What comes to be true, and then is returned."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < deadline, "it has not come to that in time"
            time.sleep(0.05)
        return found

    def phase(self, name: str, *wanted: str) -> Answer:
        """Wait until the probe tells one of these phases of an application; answers the probe."""
        last = Answer(0, {}, None)

        def told() -> Answer | None:
            nonlocal last
            last = self.startupz(name)
            return last if last.body.get("phase") in wanted else None

        try:
            answer: Answer = self.until(told)
        except AssertionError:
            raise AssertionError(f"not {wanted}, but {json.dumps(last.body)}") from None
        return answer

    def delete(self, name: str) -> None:
        """Delete an application, and wait until Serve has done so."""
        serve.delete(name)

    def left(self) -> dict[str, Any]:
        """What is held or noted on the cluster, beside what is always there."""
        groups, free = asyncio.run(standing(self.cluster))
        assert self.cluster.hosts is not None
        return {"groups": groups, "notes": records.under(""), "free": free}

    def nothing_left(self, store: Path) -> None:
        """Fail unless everything comes back, and only whole models lie in the store."""
        from tests.shared_ray import GPUS, HOSTS

        nothing = {"groups": [], "notes": {}, "free": HOSTS * GPUS}
        deadline = time.monotonic() + 20
        while (left := self.left()) != nothing:
            assert time.monotonic() < deadline, left
            time.sleep(0.1)
        assert staged(store) == []


def staged(store: Path) -> list[str]:
    """The files in a store that belong to no published model."""
    staging = store / ".nodeinit" / "staging"
    return sorted(str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file())
