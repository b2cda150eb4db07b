"""Sending a job to a host and its outcome back, with the user's own classes in it.

A class of an installed package is sent by its name, as usual. One of a script, a notebook or a test
cannot be imported on a host: it is sent by value, so the host gets it whether or not it has the
module. The host tries names first, so that its modules keep their state.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import attrs
from ray import cloudpickle

from nodeinit.callbacks import CallbackSpec
from nodeinit.clusters.base import FetchJob
from nodeinit.context import FIELDS
from nodeinit.errors import NodeInitError, PermanentError

_packing = threading.Lock()


@attrs.frozen
class Parcel:
    """A job twice: `by_name` refers to modules that the host has, `by_value` brings them along.

    `by_value` is `None` where there is nothing to bring, and `note` then says why it could not be.
    """

    by_name: bytes
    by_value: bytes | None = None
    note: str = ""


def pack(job: FetchJob) -> Parcel:
    """Make a job ready for the journey.

    Raises `PermanentError` naming the callback and attribute, or the field of the context, that
    cannot be pickled.
    """
    # What is pickled by value is the whole process's setting, and jobs are packed side by side.
    with _packing:
        try:
            by_name = cloudpickle.dumps(job)
        except Exception as error:
            raise PermanentError(_why_not(job, error)) from error
        modules = _modules_of(job)
        if not modules:
            return Parcel(by_name)
        try:
            with _by_value(modules):
                return Parcel(by_name, cloudpickle.dumps(job))
        except Exception as error:
            names = ", ".join(module.__name__ for module in modules)
            note = f" ({names} cannot be sent along: {type(error).__name__}: {error})"
            return Parcel(by_name, None, note)


def unpack(parcel: Parcel) -> FetchJob:
    """The job, on the host. Raises `PermanentError` when the host lacks a module that it needs."""
    try:
        job = cloudpickle.loads(parcel.by_name)
    except (ImportError, AttributeError) as error:
        if parcel.by_value is None:
            raise PermanentError(
                f"the job needs a module that is not there: {error}{parcel.note}; "
                "install it, or bring it with runtime_env"
            ) from error
        job = cloudpickle.loads(parcel.by_value)
    assert isinstance(job, FetchJob)
    return job


def pack_outcome(outcome: Any) -> bytes:
    """What a host answers, as bytes; an answer that cannot be pickled becomes an error about that."""
    try:
        return bytes(cloudpickle.dumps(outcome))
    except Exception as error:
        custom = dict(getattr(outcome, "custom_data", {}))
        field = _unpicklable(custom)
        what = f"custom_data[{field[0]!r}], {field[1]}" if field else "the outcome"
        return bytes(
            cloudpickle.dumps(PermanentError(f"{what} cannot be sent back from the host: {error}"))
        )


def portable(error: BaseException) -> NodeInitError:
    """An error as it can travel: ours as it is, any other as a `PermanentError` naming its type."""
    if isinstance(error, NodeInitError):
        with contextlib.suppress(Exception):
            cloudpickle.loads(cloudpickle.dumps(error))
            return error
        return PermanentError(str(error))
    return PermanentError(f"{type(error).__name__}: {error}")


def _modules_of(job: FetchJob) -> list[types.ModuleType]:
    """The modules that callbacks are defined in and that a host may not have.

    What is in `__main__` is pickled by value anyway.
    """
    names = {_owner(spec).__module__ for spec in job.hooks if not isinstance(spec.target, str)}
    modules = (sys.modules.get(name) for name in sorted(names - {"__main__", "builtins"}))
    return [module for module in modules if module is not None]


def _owner(spec: CallbackSpec) -> Any:
    target = spec.target
    return target if inspect.isclass(target) or inspect.isroutine(target) else type(target)


@contextlib.contextmanager
def _by_value(modules: list[types.ModuleType]) -> Iterator[None]:
    with contextlib.ExitStack() as undo:
        for module in modules:
            cloudpickle.register_pickle_by_value(module)
            undo.callback(cloudpickle.unregister_pickle_by_value, module)
        yield


def _why_not(job: FetchJob, error: Exception) -> str:
    """Which part of a job cannot be pickled, as exactly as it can be said."""
    for spec in job.hooks:
        if _pickles(spec) is None:
            continue
        for place, values in (("attribute", _state(spec)), ("callback_kwargs", dict(spec.kwargs))):
            found = _unpicklable(values)
            if found:
                return (
                    f"callback {spec.name} cannot be sent to a host: its {place} {found[0]!r} is "
                    f"{found[1]}; make that in the hook that needs it, or name the callback by "
                    "its class"
                )
        return f"callback {spec.name} cannot be sent to a host: {_pickles(spec)}"
    found = _unpicklable({name: getattr(job.ctx, name) for name in FIELDS})
    if found and found[0] == "custom_data":
        inner = _unpicklable(dict(job.ctx.custom_data))
        found = (f"custom_data[{inner[0]!r}]", inner[1]) if inner else found
    what = f"ctx.{found[0]} ({found[1]})" if found else "the job"
    return f"{what} cannot be sent to a host: {type(error).__name__}: {error}"


def _state(spec: CallbackSpec) -> dict[str, Any]:
    """What an instance carries, in `__dict__` or in slots."""
    if _owner(spec) is spec.target or isinstance(spec.target, str):
        return {}
    slots = {name for kind in type(spec.target).__mro__ for name in getattr(kind, "__slots__", ())}
    state = {name: getattr(spec.target, name) for name in slots if hasattr(spec.target, name)}
    return {**state, **getattr(spec.target, "__dict__", {})}


def _unpicklable(values: dict[str, Any]) -> tuple[str, str] | None:
    """The first value that cannot be pickled: its name and its type."""
    for name, value in values.items():
        if _pickles(value) is not None:
            return name, f"a {_kind(value)}"
    return None


def _kind(value: Any) -> str:
    """The type of a value, as people write it."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def _pickles(value: Any) -> str | None:
    """Why a value cannot be pickled; `None` when it can."""
    try:
        cloudpickle.dumps(value)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
