"""Bring a model to this host, once, whole and verified. Blocking: call it from a thread.

result = bring(manifest, mode, published_path(root, manifest), name="init-7")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodeinit.config.parts import DownloadSettings
from nodeinit.context import NodeModelDownloadable
from nodeinit.download import extras
from nodeinit.download.formats import check_formats
from nodeinit.download.manifest import Extra, Manifest
from nodeinit.download.one import bring_one
from nodeinit.download.result import FetchResult
from nodeinit.download.sources import Relay, Source
from nodeinit.download.store import Shelf, is_complete, published_path
from nodeinit.download.watch import OnProgress, ShouldStop, Stopped, Watch
from nodeinit.errors import PermanentError

__all__ = ["FetchResult", "Stopped", "bring", "is_ready"]

_DEFAULTS = DownloadSettings()
_ALL = NodeModelDownloadable.MODEL_AND_TOKENIZER


def bring(
    manifest: Manifest,
    mode: NodeModelDownloadable,
    path: str | Path,
    *,
    name: str,
    source: Source | None = None,
    relay: Relay | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
    settings: DownloadSettings = _DEFAULTS,
    verify_only: bool = False,
    rehash: bool = False,
    keep_when_stopped: bool = False,
) -> FetchResult:
    """Make the files of a mode complete at `path`, which is `published_path(root, manifest)`.

    `name` is the job's own on this host: `clean_staging(root, name)` removes what a job left that
    was killed. `source` is the one of `manifest.source` unless given. `settings` say how files
    are brought. With `rehash`, or `verify: full` there, published bytes are read back although their
    markers vouch for them. With `verify_only` nothing is brought and `path` may be any directory.

    The manifest's extras are brought too, whatever the mode, and put into their places; the result
    counts them. `source` and `relay` are the model's alone.

    Raises `Stopped` soon after `should_stop()` is true, `PermanentError` when trying again cannot
    help, and `TemporaryError` when it may; the last alone keeps in staging what was finished, for
    the next try to start from, and with `keep_when_stopped` so does `Stopped`.
    """
    rehash = rehash or settings.verify == "full"
    check_formats(manifest, manifest.select(mode), allow_pickle=settings.allow_pickle)

    def one(
        what: Manifest, mode: NodeModelDownloadable, path: str | Path, **own: Any
    ) -> FetchResult:
        return bring_one(
            what,
            mode,
            path,
            name=name,
            on_progress=on_progress,
            should_stop=should_stop,
            settings=settings,
            rehash=rehash,
            keep_when_stopped=keep_when_stopped,
            **own,
        )

    for extra in manifest.extras:  # a bad destination is refused before anything is brought
        extras.destination(extra, None if verify_only else Shelf.at(path, manifest).root)
    result = one(manifest, mode, path, source=source, relay=relay, verify_only=verify_only)
    watch = Watch(should_stop=should_stop)
    for extra in manifest.extras:
        if verify_only:
            _demand(extra, watch)
            continue
        root = Shelf.at(path, manifest).root
        place = published_path(root, extra.manifest)
        brought = one(extra.manifest, _ALL, place, source=None, relay=None, verify_only=False)
        extras.install(extra, place, root, watch)
        result = result.with_extra(brought)
    return result


def is_ready(manifest: Manifest, mode: NodeModelDownloadable, path: str | Path) -> bool:
    """Whether `bring` would have nothing to do: the model is complete, all extras in their places."""
    if not is_complete(path, manifest, mode):
        return False
    root = Shelf.at(path, manifest).root if manifest.extras else Path()
    for extra in manifest.extras:
        place = published_path(root, extra.manifest)
        if not is_complete(place, extra.manifest, _ALL):
            return False
        if any(extras.missing(extra, root, place)):
            return False
    return True


def _demand(extra: Extra, watch: Watch) -> None:
    problems = extras.lacking(extra, watch)
    if problems:
        raise PermanentError(
            f"{extra.destination} lacks files that go beside the model: {'; '.join(problems[:5])}; "
            "put them there or let nodeinit bring them"
        )
