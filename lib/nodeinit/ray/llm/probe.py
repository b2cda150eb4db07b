"""What the installed Ray offers of `ray.serve.llm`, looked at and not only read off its version."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import attrs

from nodeinit.errors import ConfigError, Fault

OLDEST, NEWEST = (2, 51), (2, 60)
"""The first and the last minor version of Ray that the adapter was made for."""

_BASE = "ray.llm._internal.common.callbacks.base"
_NEEDED = ("run_init_node", "placement_group", "runtime_env", "custom_data")


@attrs.frozen
class Upstream:
    """What is there: Ray's `version`, and in how far it is one that we know.

    `can_be_told_hardware` says whether a config can ask for GPUs while Serve reserves none
    (`accelerator_config`, or `use_cpu` in 2.54 and 2.55): only then may a group of ours take the
    place of Serve's.
    """

    version: str
    can_be_told_hardware: bool

    @property
    def untried(self) -> bool:
        """Whether this Ray is later than the last one that the adapter was made for."""
        return _minor(self.version) > NEWEST


def upstream() -> Upstream:
    """Look at the installed Ray. Raises `ConfigError` where the adapter cannot work with it."""
    import ray

    version = str(ray.__version__)
    if _minor(version) < OLDEST:
        raise _unsupported(version, "has no callbacks in ray.serve.llm")
    try:
        base = importlib.import_module(_BASE)
    except ImportError as error:
        remedy = f"pip install 'ray[llm]=={version}'"
        raise _unsupported(
            version, f"cannot import {_BASE} ({type(error).__name__}: {error})", remedy
        ) from error
    known = {field.name for field in _fields(getattr(base, "CallbackCtx", None))}
    lacking = [name for name in _NEEDED if name not in known]
    if lacking:
        listed = ", ".join(lacking)
        raise _unsupported(version, f"has a callback context without {listed}")
    return Upstream(version, _minor(version) >= (2, 54))


def _fields(kind: Any) -> tuple[Any, ...]:
    return dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _unsupported(version: str, problem: str, remedy: str | None = None) -> ConfigError:
    oldest, newest = (f"{major}.{minor}" for major, minor in (OLDEST, NEWEST))
    advice = remedy or f"use Ray {oldest} to {newest}"
    return ConfigError(Fault("ray", problem, version, advice), source="nodeinit.ray.llm")
