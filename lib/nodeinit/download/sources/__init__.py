"""Where the files of a model come from, chosen by the reference that the config gives.

A reference is a path (`/models/x`, `~/x`, `./x`), the id of a model on a hub (`org/name`), or a
URL, whose scheme names the source. Ours are imported when they are asked for: a config without a
bucket needs no client of buckets. A package adds one by an entry point in the group
`nodeinit.sources`: its name is the scheme, its value a class without arguments that is a `Source`.
"""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.oserrors import explaining
from nodeinit.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from nodeinit.config.parts import DownloadSettings
    from nodeinit.download.watch import ShouldStop, Watch

GROUP = "nodeinit.sources"
"""The entry-point group that sources are found in."""

_OBJECTS = "nodeinit.download.sources.objects:ObjectSource"
_HTTP = "nodeinit.download.sources.http_files:HttpSource"
_BUILT_IN = {
    "hf": "nodeinit.download.sources.hub:HubSource",
    **dict.fromkeys(("s3", "gs", "abfss", "azure"), _OBJECTS),
    **{f"pyarrow-{scheme}": _OBJECTS for scheme in ("s3", "gs", "abfss", "azure")},
    "https": _HTTP,
    "http": _HTTP,
}
"""Our own sources by scheme: classes that take `settings` and `environ`."""

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_HUB = "a model of a Hugging Face hub (org/name, org/name@revision, hf://org/name)"
_LOCAL = "a local or shared directory (/path, ~/path, ./path, file:///path)"


class Reader(Protocol):
    """A stream of a file's bytes.

    One that has `readinto(buffer) -> int` too, as files have it, spares a copy of every byte.
    """

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


class Source(Protocol):
    """A place that models come from. Stateless: it may be used from several threads and hosts.

    Errors are `PermanentError` and `TemporaryError`; an `OSError` is explained by whoever asked.
    """

    def manifest(
        self,
        ref: str,
        model_id: str,
        *,
        index: Path | None = None,
        should_stop: ShouldStop | None = None,
        offline: bool = False,
    ) -> Manifest:
        """What the source holds now, with `Manifest.source` a reference that is good on every host.

        `index` is a directory where the source may keep what makes the next call cheaper. With
        `offline` no socket is opened: the answer is what the index remembers, or an error.
        """
        ...

    def open(
        self, ref: str, file: ManifestFile, offset: int = 0, length: int | None = None
    ) -> AbstractContextManager[Reader]:
        """`length` bytes of one file of the manifest from `offset` on, or all that follow.

        The caller verifies them. Raises `PermanentError` (`changed: …`) when the source no longer
        has the version that the manifest names.
        """
        ...


class Bringer(Protocol):
    """A source whose own library brings whole files, faster or more politely than by ranges."""

    def bring(self, ref: str, files: Sequence[ManifestFile], directory: Path, watch: Watch) -> None:
        """Put files of the manifest below `directory`, at their paths. The caller verifies them.

        What an earlier call left there may be taken up. Raises `Stopped` soon after the watch says
        so, with nothing running on.
        """
        ...


class Relay(Protocol):
    """Other hosts that bring the same files: asked before the source, told of what is here."""

    def bring(
        self, ref: str, files: Sequence[ManifestFile], directory: Path, watch: Watch
    ) -> Sequence[ManifestFile]:
        """Put files below `directory`, at their paths, and answer which: durable, their bytes read.

        What it does not bring is fetched from the source. Raises `Stopped` soon after the watch
        says so.
        """
        ...

    def finished(self, file: ManifestFile, path: Path) -> None:
        """A verified file of the manifest is at `path`, on its way to be published: pass it on.

        Called once for each, in the order in which they are ready. Never raises.
        """
        ...


def source_for(
    ref: str,
    settings: DownloadSettings | None = None,
    environ: Mapping[str, str] | None = None,
) -> Source:
    """The source that a reference means. `settings` are the defaults if not given.

    `environ` stands for this process's environment, if given: hosts may have another.
    A name without a scheme is a directory that is here, else a model of a hub. Raises
    `PermanentError` for a scheme that no installed source serves and for a name that cannot be
    either; one source never stands in for another.
    """
    from nodeinit.download.sources.local import LocalSource

    found = _SCHEME.match(ref)
    scheme = found["scheme"].lower() if found else None
    if scheme == "file":
        return LocalSource()
    if scheme is not None:
        return _of_scheme(scheme, ref, settings, environ)
    return _of_scheme("hf", ref, settings, environ) if is_hub_ref(ref) else LocalSource()


def is_hub_ref(ref: str) -> bool:
    """Whether a reference is to a hub: it says so, or is neither a URL nor a directory here.

    Raises `PermanentError` for one that is neither a directory nor can be the id of a model.
    """
    from nodeinit.download.sources.hub_names import HubRef

    found = _SCHEME.match(ref)
    if found and found["scheme"].lower() != "hf":
        return False
    if not found:
        with explaining("look at", ref):
            if ref.startswith(("/", "~", "./", "../")) or Path(ref).is_dir():
                return False
    HubRef.parse(ref)
    return True


def shown(ref: str) -> str:
    """A reference as it may appear in logs: without the user, password and query of a URL."""
    bare = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@", r"\1", ref)
    return re.split(r"[?#]", bare, maxsplit=1)[0] if _SCHEME.match(ref) else ref


def _of_scheme(
    scheme: str,
    ref: str,
    settings: DownloadSettings | None,
    environ: Mapping[str, str] | None,
) -> Source:
    matches = entry_points(group=GROUP, name=scheme)
    ours = _BUILT_IN.get(scheme)
    if not matches and ours is None:
        raise PermanentError(
            f"model source {shown(ref)!r}: {scheme}:// is not supported by this version; "
            f"supported: {_supported()}"
        )
    if len(matches) + (ours is not None) > 1:
        values = ", ".join(sorted(entry.value for entry in matches))
        also = "nodeinit itself and " if ours is not None else ""
        raise PermanentError(
            f"model source {shown(ref)!r}: several packages serve {scheme}:// ({also}{values}); "
            "uninstall all but one"
        )
    if ours is None:
        plugged: Source = next(iter(matches)).load()()
        return plugged
    module, name = ours.split(":")
    given = {"environ": environ} if settings is None else {"settings": settings, "environ": environ}
    built: Source = getattr(import_module(module), name)(**given)
    return built


def _supported() -> str:
    plain = [scheme for scheme in _BUILT_IN if not scheme.startswith(("pyarrow-", "hf"))]
    others = {entry.name for entry in entry_points(group=GROUP)} - {"file", *plain}
    return ", ".join([_LOCAL, _HUB, *(f"{scheme}://" for scheme in (*plain, *sorted(others)))])
