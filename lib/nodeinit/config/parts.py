"""The two parts of a config that have a shape of their own: the model, and nodeinit's settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs

from nodeinit.config.values import tidy
from nodeinit.frozen import EMPTY, FrozenMap, freeze_map
from nodeinit.redact import redact

STORE_VARIABLE = "NODEINIT_STORE"
DEFAULT_STORE = "~/.cache/nodeinit/models"


def _source(value: Any) -> Any:
    return freeze_map(value, "model_source") if isinstance(value, Mapping) else value


@attrs.frozen(kw_only=True, repr=False)
class ModelLoadingConfig:
    """Which model to serve and where it comes from, as in `ray.serve.llm`.

    `model_id` is the name under which users ask for the model. `model_source` is a Hugging Face id,
    a path, the URL of a bucket, or a mapping with `bucket_uri` and `extra_files`; `None` means the
    `model_id`. `tokenizer_source` is a Hugging Face id, or `None` for the model's own.
    """

    model_id: str
    model_source: str | FrozenMap | None = attrs.field(default=None, converter=_source)
    tokenizer_source: str | None = None

    @property
    def source(self) -> str:
        """Where the model's files come from, in one piece of text."""
        if isinstance(self.model_source, str):
            return self.model_source
        uri = self.model_source.get("bucket_uri") if self.model_source else None
        return uri or self.model_id

    def __repr__(self) -> str:
        return shown(self)


@attrs.frozen(kw_only=True, repr=False)
class Settings:
    """What a config says to nodeinit itself, under `experimental_configs.nodeinit`.

    Only what the user wrote: `None` or an empty mapping where nothing was. `deadlines` maps phases
    to seconds, `attempts` to how often each is tried. `replans` is how many new plans may follow
    the first, `hook_deadline` (seconds) bounds one call of a hook, `span_tp` allows a tensor
    parallel group on several hosts, `labels` is a selector that every host must satisfy, `topology`
    a label whose value all hosts must share, `pin` is how much of a plan Ray is told (`node`,
    `hosts` or `none`), `probe_gpus` has every reserved bundle say which GPUs a process in it sees,
    `seed` feeds the jitter of delays.
    """

    given_store: str | None = attrs.field(default=None, alias="store")
    deadlines: FrozenMap = attrs.field(default=EMPTY, converter=freeze_map)
    attempts: FrozenMap = attrs.field(default=EMPTY, converter=freeze_map)
    replans: int | None = None
    hook_deadline: float | None = None
    span_tp: bool | None = None
    labels: FrozenMap = attrs.field(default=EMPTY, converter=freeze_map)
    topology: str | None = None
    pin: str | None = None
    probe_gpus: bool | None = None
    seed: int | None = None

    @property
    def store(self) -> str:
        """The directory under which models are published.

        What the user gave, else the environment variable `NODEINIT_STORE` as it is now, else
        `~/.cache/nodeinit/models`. A leading `~` is left for each host to fill in.
        """
        return self.given_store or os.environ.get(STORE_VARIABLE) or DEFAULT_STORE

    def to_dict(self) -> dict[str, Any]:
        """The mapping of a YAML file that these settings came from."""
        return given(self)

    def __repr__(self) -> str:
        return shown(self)


def given(part: Any) -> dict[str, Any]:
    """The fields of a part that differ from their defaults, under the names of a file."""
    fields = {field.alias: getattr(part, field.name) for field in attrs.fields(type(part))}
    return {name: value for name, value in fields.items() if value is not None and value != EMPTY}


def shown(part: Any) -> str:
    """A part for people: what was given, without secrets."""
    pairs = (f"{name}={value!r}" for name, value in redact(tidy(given(part))).items())
    return f"{type(part).__name__}({', '.join(pairs)})"
