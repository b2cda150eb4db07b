"""The parts that need no cluster: what a probe answers, and what becomes of a user's class."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from ray import serve
from starlette.requests import Request

from nodeinit import LLMConfig
from nodeinit.node.status import Status, StatusProgress, StatusReason
from nodeinit.ray.posts import Posted
from nodeinit.ray.serve import NotReady, deployment, probe, with_node
from nodeinit.ray.serve.overview import Overview, overview
from tests.ray_serve.engines import Chat

STATUS = Status(
    node="n",
    model="m",
    phase="download",
    ready=False,
    attempt=2,
    attempts=5,
    plan=1,
    since=datetime(2030, 1, 1, tzinfo=UTC),
    deadline=datetime(2030, 1, 1, 4, tzinfo=UTC),
    progress=StatusProgress(10, 40, 0.25, 2, "fetch", 5.0, 6.0),
    reason=StatusReason("error", "the hub is slow", "download", True),
    explain="The node is in download.",
)
READY = attrs.evolve(STATUS, phase="ready", ready=True, progress=None, reason=None, deadline=None)


def test_the_probe_is_shaped_as_kubernetes_wants_it() -> None:
    waits, ready = probe.answer(STATUS), probe.answer(READY)
    assert (503, "6") == (waits.status_code, waits.headers["Retry-After"])
    assert (200, False) == (ready.status_code, "Retry-After" in ready.headers)
    assert "no-store" == waits.headers["Cache-Control"]
    body = json.loads(waits.body)
    assert {"phase", "attempt", "progress", "reason", "since", "deadline"} <= set(body)
    assert "2030-01-01T04:00:00.000Z" == body["deadline"]


@pytest.mark.parametrize(("left", "told"), [(None, "5"), (0.2, "1"), (9000.0, "30")])
def test_when_to_come_again_is_bounded(left: float | None, told: str) -> None:
    progress = StatusProgress(10, 40, 0.25, 2, "fetch", 5.0, left)
    assert told == probe.refusal(attrs.evolve(STATUS, progress=progress)).headers["Retry-After"]


@pytest.mark.parametrize(
    ("path", "root", "method", "is_it"),
    [
        ("/startupz", "", "GET", True),
        ("/startupz/", "", "HEAD", True),
        ("/llm/startupz", "/llm", "GET", True),
        ("/llm/startupz", "/llm/", "GET", True),
        ("/llm/v1/startupz", "/llm", "GET", False),
        ("/startupz", "", "POST", False),
        ("/startupzz", "", "GET", False),
    ],
)
def test_the_probe_is_known_wherever_it_is_mounted(
    path: str, root: str, method: str, is_it: bool
) -> None:
    scope = {"type": "http", "method": method, "path": path, "root_path": root}
    assert is_it == probe.is_probe(scope, "/startupz")
    assert not probe.is_probe({**scope, "type": "websocket"}, "/startupz")


@attrs.frozen
class Deployment:
    """What Serve says of one."""

    replica_states: dict[str, int]
    message: str = ""


@attrs.frozen
class App:
    deployments: dict[str, Deployment]
    message: str = ""


def view(*statuses: Status, states: dict[str, int] | None = None, message: str = "") -> Overview:
    replicas = [Posted("a", "d", str(i), f"r{i}", "host", s) for i, s in enumerate(statuses)]
    return overview({"a": App({"d": Deployment(states or {}, message)})}, replicas)


def test_one_ready_replica_is_enough_and_the_one_least_far_is_told_else() -> None:
    running = {"RUNNING": 1, "STARTING": 1}
    config, failed = (attrs.evolve(STATUS, phase=phase) for phase in ("config", "failed"))
    assert view(READY, STATUS, states=running).ready
    assert not view(STATUS, config, states=running).ready
    assert "config" == view(STATUS, config, states=running).to_dict()["phase"]
    assert "failed" == view(STATUS, config, failed).to_dict()["phase"]
    assert "ready" == view(failed, READY, states=running).to_dict()["phase"]


def test_ready_is_what_serve_routes_to() -> None:
    early = view(READY, states={"STARTING": 1})
    assert (False, "engine") == (early.ready, early.to_dict()["phase"])


def test_what_only_serve_can_tell_is_its_message() -> None:
    told = view(states={"STARTING": 1}, message="no room for 8 GPUs").to_dict()
    assert ("pending", "no room for 8 GPUs") == (told["phase"], told["reason"]["message"])
    assert overview({"a": App({}, "importing")}, []).to_dict()["reason"]["message"] == "importing"
    assert not overview({}, []).ready
    assert view(states={"RUNNING": 1}).ready  # a deployment that has no nodes


CONFIG = LLMConfig(model_id="m", model_source="/m", engine_kwargs={"tensor_parallel_size": 2})


class Kinds:
    """Ways to write `__call__`, which Serve tells apart."""

    class Sync:
        def __call__(self, request: Request) -> str:
            return "sync"

    class Async:
        async def __call__(self, request: Request) -> str:
            return "async"

    class Stream:
        async def __call__(self, request: Request) -> AsyncIterator[str]:
            yield "stream"


class Stands:
    """A replica that stands at a status."""

    def __init__(self, status: Status) -> None:
        self.told = status

    def status(self) -> Status:
        return self.told


def asked(cls: type, status: Status, argument: Any) -> Any:
    wrapped: Any = with_node(CONFIG)(cls)
    replica = object.__new__(wrapped)
    replica._nodeinit = Stands(status)
    return wrapped.__call__(replica, argument)


def request(path: str) -> Request:
    scope = {"type": "http", "method": "GET", "path": path, "root_path": ""}
    return Request({**scope, "headers": [], "query_string": b""})


@pytest.mark.filterwarnings("ignore:coroutine .*__del__.* was never awaited")
def test_a_call_keeps_its_kind_and_is_refused_until_the_node_is_ready() -> None:
    assert "sync" == asked(Kinds.Sync, READY, request("/x"))
    assert 503 == asked(Kinds.Sync, STATUS, request("/x")).status_code
    assert 200 == asked(Kinds.Sync, READY, request("/startupz")).status_code
    with pytest.raises(NotReady, match="not ready yet: The node is in download"):
        asked(Kinds.Sync, STATUS, "by a handle")
    calls = [vars(with_node(CONFIG)(cls))["__call__"] for cls in (Kinds.Async, Kinds.Stream)]
    assert inspect.iscoroutinefunction(calls[0]) and inspect.isasyncgenfunction(calls[1])


def test_a_class_keeps_its_name_and_its_own_arguments() -> None:
    wrapped = with_node(CONFIG)(Chat)
    assert (Chat.__name__, Chat.__module__) == (wrapped.__name__, wrapped.__module__)
    assert issubclass(wrapped, Chat)


def test_serve_reserves_the_bundles_and_room_for_the_replica() -> None:
    made = deployment(Chat, CONFIG, num_replicas=3, ray_actor_options={"num_cpus": 2})
    assert "Chat" == made.name and 3 == made.num_replicas
    options = made._deployment_config, made._replica_config
    assert [{"GPU": 1, "CPU": 2}, {"GPU": 1}] == options[1].placement_group_bundles
    assert 60 == options[0].graceful_shutdown_timeout_s
    kept = deployment(Chat, CONFIG, graceful_shutdown_timeout_s=5, name="mine")
    assert ("mine", 5) == (kept.name, kept._deployment_config.graceful_shutdown_timeout_s)
    with pytest.raises(ValueError, match="'sometimes' is not a valid Mode"):
        deployment(Chat, CONFIG, mode="sometimes")
    assert isinstance(made, serve.Deployment)
