"""Ray Serve, started, told what to serve, asked how far it is, and told to stop. Blocking calls.

Applications are deployed from a config, as `serve deploy` does it: they are built on the cluster,
and this process needs no engine. Source: ray 2.60 `ray/serve/_private/client.py`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from ray import serve

from nodeinit.errors import ConfigError, Fault
from nodeinit.ray.llm import deployed

_HERE = "127.0.0.1"


@attrs.frozen
class Replica:
    """A replica of a deployment: its `state` as Serve calls it, and where it is, once it is."""

    app: str
    deployment: str
    replica_id: str
    state: str
    node_id: str | None


@attrs.frozen
class AppStatus:
    """How far Serve is with an application. `message` is what it says to it, with those of parts."""

    name: str
    status: str
    message: str
    replicas: tuple[Replica, ...]


def start(data: Mapping[str, Any], host: str | None, port: int | None) -> bool:
    """Start Serve as a config file wants it, unless it runs; whether it was started.

    `host` and `port` come first; without any word of it requests are taken on this machine only.
    """
    if running():
        return False
    http = {"host": _HERE, **(data.get("http_options") or {})}
    http |= {k: v for k, v in (("host", host), ("port", port)) if v is not None}
    options: dict[str, Any] = {"http_options": http}
    if "proxy_location" in data:
        options["proxy_location"] = data["proxy_location"]
    if data.get("grpc_options"):
        options["grpc_options"] = dict(data["grpc_options"])
    if data.get("logging_config"):
        options["logging_config"] = dict(data["logging_config"])
    with _quietly():
        serve.start(**options)
    return True


def running() -> bool:
    """Whether a Serve runs on this cluster."""
    return _client() is not None


def check(data: Mapping[str, Any], source: str) -> None:
    """Raise `ConfigError` for a config that Serve would not take."""
    from pydantic import ValidationError
    from ray.serve.schema import ServeDeploySchema

    try:
        ServeDeploySchema.model_validate(data)
    except ValidationError as error:
        faults = [
            Fault(".".join(map(str, one["loc"])) or "file", one["msg"]) for one in error.errors()
        ]
        raise ConfigError(faults, source=source) from error


def deploy(data: Mapping[str, Any], names: Iterable[str]) -> None:
    """Have Serve serve the applications of a config, beside those that it serves already.

    Deploying a config would end all other applications that came from one, so they are in it too.
    """
    from ray.serve.schema import ServeDeploySchema

    ours = set(names)
    others = [
        app["deployed_app_config"]
        for name, app in deployed.applications().items()
        if name not in ours and app["status"] != "DELETING" and app.get("deployed_app_config")
    ]
    together = {**data, "applications": [*others, *data["applications"]]}
    client = _client()
    assert client is not None, "start Serve first"
    client.deploy_apps(ServeDeploySchema.model_validate(together))


def statuses(names: Iterable[str]) -> tuple[AppStatus, ...]:
    """How far Serve is with these applications; those that it does not know are left out."""
    known = deployed.applications()
    return tuple(_status(name, known[name]) for name in names if name in known)


def delete(names: Sequence[str]) -> None:
    """Delete applications, and wait until they are gone."""
    for name in names:
        # Serve itself may be gone.
        with _quietly(), contextlib.suppress(serve.exceptions.RayServeException):
            serve.delete(name)


def shut_down() -> None:
    """End Serve."""
    serve.shutdown()


def address() -> str | None:
    """The URL at which Serve takes requests, if this machine can reach it so."""
    client = _client()
    if client is None:
        return None
    http: Any = client.get_serve_details().get("http_options") or {}
    host = http.get("host") or _HERE
    shown = _HERE if host in ("0.0.0.0", "::") else host
    return f"http://{shown}:{http.get('port', 8000)}"


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Serve tells stderr what it does."""
    logger = logging.getLogger("ray.serve")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _client() -> Any:
    from ray.serve.context import _get_global_client

    return _get_global_client(raise_if_no_controller_running=False)


def _text(value: Any) -> str:
    """What one of Serve's enums says."""
    return str(getattr(value, "value", value))


def _status(name: str, app: Mapping[str, Any]) -> AppStatus:
    deployments: Mapping[str, Any] = app.get("deployments") or {}
    said = [app.get("message") or ""] + [d.get("message") or "" for d in deployments.values()]
    return AppStatus(
        name,
        _text(app["status"]),
        "\n".join(dict.fromkeys(text.strip() for text in said if text.strip())),
        tuple(
            Replica(name, kind, str(r["replica_id"]), _text(r["state"]), r.get("node_id"))
            for kind, deployment in deployments.items()
            for r in deployment.get("replicas") or ()
        ),
    )
