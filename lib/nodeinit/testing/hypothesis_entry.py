"""What Hypothesis calls when it is imported: our types get their strategies when they are imported.

Whoever has nodeinit installed runs this with every `import hypothesis`, so nothing of nodeinit is
imported for it: a type is registered once its own module is there, and its strategy is looked up
when a test asks for it.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

STRATEGIES = {
    "nodeinit.context": ("CallbackCtx", "contexts"),
    "nodeinit.config.model": ("LLMConfig", "configs"),
    "nodeinit.placement.request": ("PlacementRequest", "requests"),
    "nodeinit.placement.topology": ("ClusterSnapshot", "clusters"),
    "nodeinit.testing.scenario": ("Scenario", "scenarios"),
}
"""The types with strategies: the module, the name there, and that of the strategy."""


def register() -> None:
    """Register the types that are imported already, and watch for the others."""
    for name in STRATEGIES:
        if name in sys.modules:
            _register(sys.modules[name])
    if not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher())


def _register(module: Any) -> None:
    from hypothesis import strategies as st

    kind, name = STRATEGIES[module.__name__]

    def resolve(_kind: Any) -> Any:
        return getattr(importlib.import_module("nodeinit.testing.strategies"), name)()

    st.register_type_strategy(getattr(module, kind), resolve)


class _Watcher:
    """Finds no modules; those of our types, found by others, are registered once they are there."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec that another finder has, if it is one of our types' modules."""
        if name not in STRATEGIES:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """A loader that registers what was loaded; otherwise the one that it is made of."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: Any) -> None:
        """Run the module as ever, and register its type."""
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _register(module)
