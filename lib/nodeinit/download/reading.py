"""The manifest of a whole config: the model's own files, and those that go beside it."""

from __future__ import annotations

import attrs

from nodeinit.config import LLMConfig
from nodeinit.download.manifest import Extra, Manifest
from nodeinit.download.sources import source_for
from nodeinit.download.store import index_path
from nodeinit.download.watch import ShouldStop


def read_manifest(config: LLMConfig, should_stop: ShouldStop | None = None) -> Manifest:
    """What a config's model consists of, asked of its source now. Blocking.

    Raises `PermanentError` and `TemporaryError` as the sources do.
    """

    def asked(ref: str, model_id: str) -> Manifest:
        return source_for(ref).manifest(
            ref,
            model_id,
            index=index_path(config.nodeinit.store),
            should_stop=should_stop,
            offline=config.nodeinit.download.offline,
        )

    model = asked(config.model_source, config.model_id)
    extras = tuple(
        Extra(destination, asked(uri, f"{config.model_id}+{number}"))
        for number, (uri, destination) in enumerate(config.extra_files, start=1)
    )
    return attrs.evolve(model, extras=extras)
