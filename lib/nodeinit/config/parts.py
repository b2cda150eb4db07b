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

    @property
    def extra_files(self) -> tuple[tuple[str, str], ...]:
        """What is brought beside the model: pairs of a URL and a directory on every host."""
        if not isinstance(self.model_source, Mapping):
            return ()
        listed = self.model_source.get("extra_files") or ()
        return tuple((str(one["bucket_uri"]), str(one["destination_path"])) for one in listed)

    def __repr__(self) -> str:
        return shown(self)


@attrs.frozen(kw_only=True, repr=False)
class DownloadSettings:
    """How files are brought, under `experimental_configs.nodeinit.download`.

    `strategy` says who fetches from the origin (`auto`, `direct`, `shared`, `swarm`, `external`).
    `concurrency` is how many ranges a host reads at once, `bandwidth` the bytes per second that a
    host may take in all, `stall` the seconds without a byte after which a transfer has failed,
    `verify` whether published files are recognised by their looks (`index`) or read again
    (`full`). `offline` opens no socket. `allow_http` permits plain HTTP, `allow_pickle` formats
    that run code when they are loaded.
    """

    strategy: str = "auto"
    concurrency: int = 8
    bandwidth: int | None = None
    stall: float = 60.0
    verify: str = "index"
    offline: bool = False
    allow_http: bool = False
    allow_pickle: bool = False

    def __repr__(self) -> str:
        return shown(self)


def _download(value: Any) -> Any:
    return DownloadSettings(**value) if isinstance(value, Mapping) else value


@attrs.frozen(kw_only=True, repr=False)
class Settings:
    """What a config says to nodeinit itself, under `experimental_configs.nodeinit`.

    Only what the user wrote: `None` or an empty mapping where nothing was. `deadlines` maps phases
    to seconds, `attempts` to how often each is tried. `replans` is how many new plans may follow
    the first, `hook_deadline` (seconds) bounds one call of a hook, `span_tp` allows a tensor
    parallel group on several hosts, `labels` is a selector that every host must satisfy, `topology`
    a label whose value all hosts must share, `pin` is how much of a plan Ray is told (`node`,
    `hosts` or `none`), `probe_gpus` has every reserved bundle say which GPUs a process in it sees,
    `seed` feeds the jitter of delays, `download` says how files are brought.
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
    download: DownloadSettings = attrs.field(factory=DownloadSettings, converter=_download)

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
    found = {}
    for field in attrs.fields(type(part)):
        value = getattr(part, field.name)
        if isinstance(value, DownloadSettings):
            value = given(value)
        elif value == field.default:
            continue
        if value is not None and value != EMPTY:
            found[field.alias] = value
    return found


def shown(part: Any) -> str:
    """A part for people: what was given, without secrets."""
    pairs = (f"{name}={value!r}" for name, value in redact(tidy(given(part))).items())
    return f"{type(part).__name__}({', '.join(pairs)})"
