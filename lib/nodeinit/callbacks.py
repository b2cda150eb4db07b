"""Callbacks: what a user's class may look like, how it is named in a config, and how it is made.

Any class with at least one hook is a callback; there is no base class. A callback is made once per
process and specification, so state kept on `self` lasts across its hooks.
"""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import attrs

from nodeinit.context import CallbackCtx
from nodeinit.errors import ConfigError, Fault, nearest
from nodeinit.frozen import EMPTY, FrozenMap, freeze_map
from nodeinit.redact import redacted

ON_NODE_DOWNLOAD = "on_node_download"


class RayServeLLMCallback(Protocol):
    """The hooks of the standard machine. All are optional, and each may be `async`.

    For type checkers and readers: a callback need not inherit from it.
    """

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx | None:
        """Fires on idle -> config, before anything is read or planned."""

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx | None:
        """Fires on config -> download, and again with every new plan (`ctx.attempt` is raised)."""

    def on_before_placement(self, ctx: CallbackCtx) -> CallbackCtx | None:
        """Fires on download -> placement, when every host of the plan has its files."""

    def on_after_init(self, ctx: CallbackCtx) -> CallbackCtx | None:
        """Fires on placement -> ready, when the placement is valid and the model complete."""

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        """Fires on releasing -> failed and cancelled. It observes: its answer is ignored."""

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx | None:
        """Runs on every host after its files are there; only `custom_data` comes back."""


@attrs.frozen
class CallbackSpec:
    """How a config names one callback.

    `target` is `"package.module:Class"` (or with a dot), a class, a function that makes an
    instance, or an instance. `kwargs` go to the constructor and to nothing else. `raise_error` is
    the error policy: `True` fails the initialization when a hook raises, `False` logs it with its
    traceback and goes on with the context as it was before that hook.
    """

    target: Any
    kwargs: FrozenMap = attrs.field(default=EMPTY, converter=freeze_map, repr=redacted)
    raise_error: bool = True

    @property
    def name(self) -> str:
        """What errors and journals call the callback."""
        if isinstance(self.target, str):
            return self.target
        if inspect.isclass(self.target) or inspect.isfunction(self.target):
            return f"{self.target.__module__}:{self.target.__qualname__}"
        kind = type(self.target)
        return f"{kind.__module__}:{kind.__qualname__}"


def parse_callbacks(
    value: Any,
    kwargs: Mapping[str, Any] | None = None,
    *,
    raise_error: bool = True,
) -> tuple[CallbackSpec, ...]:
    """The specifications that a config's `callback` value stands for.

    Takes `None`, one target, one `CallbackSpec`, or a list of these; `kwargs` go to a single target
    only. Raises `ValueError` where that is not so.
    """
    if value is None:
        if kwargs:
            raise ValueError("callback_kwargs without a callback; name the callback too")
        return ()
    if isinstance(value, list | tuple):
        if kwargs and len(value) != 1:
            raise ValueError(
                "callback_kwargs is ambiguous with several callbacks; "
                "give each as CallbackSpec(target, kwargs)"
            )
        return tuple(
            spec
            for item in value
            for spec in parse_callbacks(item, kwargs, raise_error=raise_error)
        )
    if isinstance(value, CallbackSpec):
        return (value,)
    return (CallbackSpec(value, freeze_map(kwargs, "callback_kwargs"), raise_error),)


_instances: dict[Any, Any] = {}
_making = threading.Lock()


def get_or_create(spec: CallbackSpec) -> Any:
    """The one instance of a callback in this process.

    Raises `ConfigError` naming what is wrong with the specification: it does not import, it is not
    something that can be called, or its constructor does not take the keyword arguments.
    """
    key: Any = spec if isinstance(spec.target, str) else (id(spec.target), spec.kwargs)
    with _making:
        if key not in _instances:
            # The target is kept too: an id is only unique while its object lives.
            _instances[key] = (make_callback(spec), spec.target)
        return _instances[key][0]


def make_callback(spec: CallbackSpec) -> Any:
    """A new instance of a callback (an instance stands for itself); raises as `get_or_create` does."""
    return maker(spec)()


def maker(spec: CallbackSpec) -> Callable[[], Any]:
    """A function that makes instances of a callback; the specification is looked at only once."""
    target = imported(spec.target) if isinstance(spec.target, str) else spec.target
    if not (inspect.isclass(target) or inspect.isroutine(target)):
        if spec.kwargs:
            raise _fault(spec, "is an instance already, so callback_kwargs cannot be given to it")
        return lambda: target
    kwargs = dict(spec.kwargs)
    try:
        inspect.signature(target).bind(**kwargs)
    except TypeError as error:
        raise _fault(
            spec,
            f"cannot be made with callback_kwargs {sorted(kwargs)}: {error}",
            "match callback_kwargs to the parameters of its constructor",
        ) from None
    except ValueError:
        pass  # a builtin without a signature: the call itself will tell

    def make() -> Any:
        try:
            return target(**kwargs)
        except Exception as error:
            raise _fault(spec, f"its constructor raised {type(error).__name__}: {error}") from error

    return make


def imported(path: str) -> Any:
    """What an import path names. Raises `ConfigError` for what cannot be imported."""
    module_name, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    if not module_name or not attribute:
        raise ConfigError(
            Fault("callback", "is not an import path", repr(path), 'write "package.module:Class"')
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigError(
            Fault(
                "callback",
                f"cannot import {module_name!r}: {type(error).__name__}: {error}",
                repr(path),
                "the module must be importable here and on every host (see PYTHONPATH)",
            )
        ) from error
    target: Any = module
    for part in attribute.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            hint = nearest(part, [name for name in dir(target) if not name.startswith("_")])
            raise ConfigError(
                Fault(
                    "callback",
                    f"module {module_name!r} has no {part!r}",
                    repr(path),
                    f"did you mean {hint!r}?" if hint else None,
                )
            ) from None
    return target


def _fault(spec: CallbackSpec, problem: str, remedy: str | None = None) -> ConfigError:
    return ConfigError(Fault("callback", problem, repr(spec.name), remedy))


def check_hooks(spec: CallbackSpec, callback: Any, known: Iterable[str]) -> tuple[str, ...]:
    """The hooks that a callback has, of those that a machine knows, in the machine's order.

    Raises `ConfigError` for a callback without any, for a name that looks like a hook but is none
    (with the nearest one), and for a hook that is not callable or cannot take what it will get.
    """
    names = tuple(known)
    faults = []
    for name in dir(callback):
        if name.startswith("on_") and name not in names:
            hint = nearest(name, names)
            faults.append(
                Fault(
                    f"callback {spec.name}",
                    f"has the unknown hook {name!r}",
                    remedy=(f"did you mean {hint!r}?" if hint else f"known: {', '.join(names)}"),
                )
            )
    found = tuple(name for name in names if hasattr(callback, name))
    for name in found:
        problem = _signature_problem(getattr(callback, name), name)
        if problem:
            faults.append(Fault(f"callback {spec.name}.{name}", problem))
    if not found and not faults:
        faults.append(
            Fault(
                f"callback {spec.name}",
                "has no hook of this machine",
                remedy=f"define at least one of {', '.join(names)}",
            )
        )
    if faults:
        raise ConfigError(faults, source="callback")
    return found


def _signature_problem(hook: Any, name: str) -> str | None:
    if not callable(hook):
        return f"is a {type(hook).__name__}, not a method"
    arguments: tuple[Any, ...] = (None, "node") if name == ON_NODE_DOWNLOAD else (None,)
    wanted = "(self, ctx, node_id)" if name == ON_NODE_DOWNLOAD else "(self, ctx)"
    try:
        inspect.signature(hook).bind(*arguments)
    except TypeError as error:
        return f"cannot be called as {name}{wanted}: {error}"
    except ValueError:
        return None
    return None
