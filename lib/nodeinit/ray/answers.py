"""What a host answered, or why it did not: errors that name it."""

from __future__ import annotations

from typing import Any

import ray
from ray import cloudpickle

from nodeinit.errors import NodeInitError, PermanentError, TemporaryError


class Lost(TemporaryError):
    """The process on a host has died, though perhaps not the host."""


def unpacked(answer: bytes) -> Any:
    """What came back, or an error that says that it cannot be read."""
    try:
        return cloudpickle.loads(answer)
    except Exception as error:
        return PermanentError(f"its answer cannot be read here: {type(error).__name__}: {error}")


def naming(host: str, error: NodeInitError) -> NodeInitError:
    """The error, with its host in front of its message."""
    error.args = (f"host {host}: {error.args[0] if error.args else error}", *error.args[1:])
    return error


def explained(host: str, error: ray.exceptions.RayError) -> NodeInitError:
    """What it means that Ray has no answer of a host."""
    text = " ".join(str(error).split())
    match error:
        case ray.exceptions.RuntimeEnvSetupError():
            return PermanentError(f"host {host}: the runtime_env cannot be set up: {text}")
        case ray.exceptions.RayActorError(actor_init_failed=True):
            return PermanentError(
                f"host {host}: nodeinit does not start there; install the version of this process "
                f"on every host: {text}"
            )
    return Lost(f"host {host}: the process that brings the files is lost: {text}")
