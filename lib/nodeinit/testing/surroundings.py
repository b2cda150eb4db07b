"""What is around the runs of a check: the callback's modules, a store with a model, silence."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from nodeinit.clusters.simulated import SIM_MANIFEST
from nodeinit.download.store import published_path
from nodeinit.download.tiny_model import make_tiny_model


def modules_of(instance: Any, callback: Any) -> list[Any]:
    """The modules of a callback's own code: its class's, its bases' and its factory's."""
    names = {kind.__module__ for kind in type(instance).__mro__}
    names.add(getattr(callback, "__module__", ""))
    return [sys.modules[n] for n in sorted(names - {"builtins", ""}) if n in sys.modules]


def tiny_store() -> Path:
    """A store with a small real model where the hosts of the cluster say that they have one."""
    store = Path(tempfile.gettempdir()) / f"nodeinit-check-{os.getuid()}" / "store"
    manifest = attrs.evolve(SIM_MANIFEST, model_id="sim/model")
    make_tiny_model(published_path(store, manifest))
    return store


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Runs fail by the thousand, on purpose: what the engine logs about it is not wanted."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
