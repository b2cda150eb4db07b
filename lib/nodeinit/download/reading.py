"""The manifest of a whole config: the model's own files, and those that go beside it."""

from __future__ import annotations

import os

import attrs

from nodeinit.config import LLMConfig
from nodeinit.download.formats import fitting
from nodeinit.download.manifest import Extra, Manifest
from nodeinit.download.sources import Source, is_hub_ref, source_for
from nodeinit.download.store import index_path
from nodeinit.download.watch import ShouldStop
from nodeinit.errors import PermanentError
from nodeinit.frozen import EMPTY


def read_manifest(config: LLMConfig, should_stop: ShouldStop | None = None) -> Manifest:
    """What a config's model consists of, asked of its source now. Blocking.

    Raises `PermanentError` and `TemporaryError` as the sources do.
    """

    def asked(ref: str, model_id: str) -> Manifest:
        return _source(ref, config).manifest(
            ref,
            model_id,
            index=index_path(config.nodeinit.store),
            should_stop=should_stop,
            offline=config.nodeinit.download.offline,
        )

    model = fitting(
        asked(_revised(config), config.model_id),
        trust_remote_code=bool(config.engine_kwargs.get("trust_remote_code")),
    )
    extras = tuple(
        Extra(destination, asked(uri, f"{config.model_id}+{number}"))
        for number, (uri, destination) in enumerate(config.extra_files, start=1)
    )
    return attrs.evolve(model, extras=extras)


def _source(ref: str, config: LLMConfig) -> Source:
    """The source of a reference, asked with the keys and endpoints that hosts will have."""
    given = (config.runtime_env or EMPTY).get("env_vars") or {}
    on_hosts = {str(name): str(value) for name, value in given.items()}
    return source_for(ref, config.nodeinit.download, {**os.environ, **on_hosts})


def _revised(config: LLMConfig) -> str:
    """The model's reference, pinned to the `revision` of the engine's arguments if there is one."""
    ref, revision = config.model_source, config.engine_kwargs.get("revision")
    if not revision or not is_hub_ref(ref):
        return ref
    bare, at, named = ref.partition("@")
    if at and named != revision:
        raise PermanentError(
            f"the config names two revisions of {bare}: {named!r} in its model source and "
            f"{revision!r} in engine_kwargs.revision; leave one of them out"
        )
    return f"{bare}@{revision}"
