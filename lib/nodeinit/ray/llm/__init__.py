"""nodeinit under `ray.serve.llm`.

Everything here is imported on first use: importing this package imports neither Ray nor vLLM.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nodeinit.ray.llm.app import (
        build_dp_openai_app,
        build_llm_deployment,
        build_openai_app,
        build_pd_openai_app,
        replacing,
    )
    from nodeinit.ray.llm.callback import NodeInitCallback

__all__ = [
    "NodeInitCallback",
    "build_dp_openai_app",
    "build_llm_deployment",
    "build_openai_app",
    "build_pd_openai_app",
    "replacing",
]

_HOMES = dict.fromkeys(__all__, "app") | {"NodeInitCallback": "callback"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
