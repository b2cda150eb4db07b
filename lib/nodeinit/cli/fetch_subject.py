"""What a fetch is about: a config file, or where a model is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.cli.stores import store_of
from nodeinit.config import LLMConfig
from nodeinit.download.sources import shown
from nodeinit.errors import ConfigError, Fault, nearest

if TYPE_CHECKING:
    from nodeinit.context import NodeModelDownloadable

_CONFIGS = (".yaml", ".yml", ".json")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@attrs.frozen
class Subject:
    """A model to fetch: its config, what of it, and to which hosts (`None`: this one, no Ray)."""

    config: LLMConfig
    mode: NodeModelDownloadable
    hosts: str | None
    address: str | None
    dry_run: bool

    @property
    def shown(self) -> str:
        """Where the model comes from, without secrets."""
        return shown(self.config.model_source)

    @property
    def strategy(self) -> str:
        """Who fetches from the source; one host alone has no choice."""
        return self.config.nodeinit.download.strategy if self.hosts is not None else "direct"


def subject(
    what: str,
    *,
    model: str | None,
    mode: NodeModelDownloadable,
    hosts: str | None,
    address: str | None,
    store: Path | None,
    dry_run: bool,
    **download: Any,
) -> Subject:
    """What a command line means; `download` are settings that it gives in place of the config's.

    Raises `ConfigError`; nothing has been started then.
    """
    if _is_config(what):
        config = LLMConfig.load(what, model=model)
    else:
        config = LLMConfig(model_id=model or named_model(what), model_source=what)
    if store is not None or config.nodeinit.given_store is None:
        settings = attrs.evolve(config.nodeinit, store=str(store_of(store)))
        config = config.evolve(nodeinit=settings)
    if given := {name: value for name, value in download.items() if value}:
        settings = config.nodeinit
        changed = attrs.evolve(settings.download, **given)
        config = config.evolve(nodeinit=attrs.evolve(settings, download=changed))
    return Subject(config, mode, hosts, address, dry_run)


def named_model(uri: str) -> str:
    """The id of a model that is only known by where it is: `org/name`, or the last directory."""
    scheme, separator, rest = uri.partition("://")
    bare = re.split(r"[?#]", rest if separator else uri, maxsplit=1)[0].rstrip("/")
    on_the_hub = scheme.lower() == "hf" if separator else not _is_path(uri)
    if on_the_hub:
        return re.sub(r"@[^/]*(?:/.*)?$", "", bare)
    return Path(bare).expanduser().absolute().name or "model"


def _is_config(what: str) -> bool:
    """Whether a config file is meant, also one that is not there: then the nearest is named."""
    if _URL.match(what):
        return False
    path = Path(what).expanduser()
    if path.is_file():
        return True
    if path.suffix.lower() not in _CONFIGS or path.is_dir():
        return False
    folder = path.parent
    known = [p.name for p in folder.iterdir() if p.is_file()] if folder.is_dir() else []
    hint = nearest(path.name, known)
    remedy = f"did you mean {str(folder / hint)!r}?" if hint else "give the path of a config file"
    raise ConfigError(Fault("CONFIG", "is not there", repr(what), remedy), source="fetch")


def _is_path(what: str) -> bool:
    return what.startswith(("/", "~", "./", "../")) or Path(what).is_dir()
