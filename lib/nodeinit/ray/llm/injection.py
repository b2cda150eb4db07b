"""The `callback_config` with which `ray.serve.llm` calls nodeinit: what a config gets that has none.

The user's callbacks of ours are wrapped. A callback of Ray's own stays where it is refused: Ray
takes one, and two that bring the model would not know of each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.callbacks import CallbackSpec, imported
from nodeinit.config.callback_config import ADAPTER, is_adapter
from nodeinit.errors import ConfigError, Fault
from nodeinit.frozen import thaw
from nodeinit.ray.llm.supported import unsupported

if TYPE_CHECKING:
    from nodeinit.config import LLMConfig

_BASE = "ray.llm._internal.common.callbacks.base"


@attrs.frozen
class Injection:
    """What to write as a config's `callback_config`, or in `reason` why nodeinit stays out of it.

    Neither: the config has the adapter already.
    """

    callback_config: Mapping[str, Any] | None = None
    reason: str | None = None


def injection(config: LLMConfig, written: Any = None) -> Injection:
    """How nodeinit gets into the replicas of a config; `written` is its `callback_config` in a file.

    Raises `ConfigError` for a callback that is one of Ray's.
    """
    faults = [*unsupported(config)]
    if faults:
        return Injection(reason="; ".join(f"{f.where} = {f.value}: {f.problem}" for f in faults))
    if isinstance(written, Mapping) and is_adapter(written.get("callback_class")):
        return Injection()
    foreign = [*_foreign(config)]
    if foreign:
        raise ConfigError(foreign, source=config.model_id)
    return Injection(_around(config.callbacks))


def _around(specs: tuple[CallbackSpec, ...]) -> dict[str, Any]:
    """The adapter with these callbacks in its arguments."""
    if not specs:
        return {"callback_class": ADAPTER}
    if len(specs) == 1:
        (spec,) = specs
        kwargs: dict[str, Any] = {"callback": spec.target}
        if spec.kwargs:
            kwargs["callback_kwargs"] = thaw(spec.kwargs)
        raises = spec.raise_error
    else:
        kwargs = {"callback": [_entry(spec) for spec in specs]}
        raises = True
    found: dict[str, Any] = {"callback_class": ADAPTER, "callback_kwargs": kwargs}
    return found if raises else found | {"raise_error_on_callback": False}


def _entry(spec: CallbackSpec) -> Any:
    """One of several callbacks, each with a policy of its own."""
    entry: dict[str, Any] = {"callback_class": spec.target}
    if spec.kwargs:
        entry["callback_kwargs"] = thaw(spec.kwargs)
    if not spec.raise_error:
        entry["raise_error_on_callback"] = False
    return entry if len(entry) > 1 else spec.target


def _foreign(config: LLMConfig) -> Iterator[Fault]:
    for spec in config.callbacks:
        kind = _class_of(spec)
        if kind is not None and any(
            base.__name__ == "CallbackBase" and base.__module__ == _BASE for base in kind.__mro__
        ):
            problem = "is a callback of Ray's own, and ray.serve.llm takes only one"
            remedy = (
                f"write its hooks as nodeinit's ({_HOOKS}) in a class without a base, and name "
                "that; nodeinit then calls it in the replica, with a frozen context"
            )
            yield Fault("callback_config.callback_class", problem, spec.name, remedy)


_HOOKS = "on_before_init, on_before_download, on_after_init, …"


def _class_of(spec: CallbackSpec) -> type | None:
    """The class of a callback, if it can be had here; it may only be there where replicas are."""
    target: Any = spec.target
    if isinstance(target, str):
        try:
            target = imported(target)
        except Exception:  # a replica will say what is wrong, where it has to be there
            return None
    return target if isinstance(target, type) else type(target)
