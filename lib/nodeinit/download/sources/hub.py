"""A Hugging Face hub as a source: `org/name`, `name`, `…@revision`, `hf://org/name@revision`.

A name is resolved to a commit once, where the manifest is made; hosts are given the commit. The
environment says which hub and as whom, as it does for all programs that use a hub: `HF_ENDPOINT`,
`HF_TOKEN` (or the file that `hf auth login` writes), `HF_HUB_OFFLINE`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.sources import hub_cache, hub_listing
from nodeinit.download.sources.hub_body import Body, Nothing
from nodeinit.download.sources.hub_bring import Job, bring
from nodeinit.download.sources.hub_http import Hub
from nodeinit.download.sources.hub_index import HubIndex
from nodeinit.download.sources.hub_moves import Moves
from nodeinit.download.sources.hub_names import HubRef
from nodeinit.errors import PermanentError

if TYPE_CHECKING:
    from nodeinit.download.sources import Reader
    from nodeinit.download.watch import ShouldStop, Watch

_TRUE = ("1", "ON", "YES", "TRUE")


@attrs.frozen
class HubSource:
    """Serves models of a hub. `environ` stands for this process's environment, if given."""

    settings: DownloadSettings | None = None
    environ: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    _moved: Moves = attrs.field(factory=Moves, init=False, repr=False, eq=False)
    _brought: set[tuple[str, str]] = attrs.field(factory=set, init=False, repr=False, eq=False)

    def manifest(
        self,
        ref: str,
        model_id: str,
        *,
        index: Path | None = None,
        should_stop: ShouldStop | None = None,
        offline: bool = False,
    ) -> Manifest:
        """Look up the commit that `ref` means and list its files, except those that double others.

        A commit that `index` knows is not listed again, and needs no look-up if `ref` names it.
        Offline the answer is what `index` remembers. `sources.hub_weights` says which files double
        others. Raises `PermanentError` for a model that is not there or may not be read, offline
        also for one that is not known; `TemporaryError` when the hub is busy, with the delay that
        it asks for.
        """
        here = HubRef.parse(ref).at(self._environ)
        known = HubIndex(index)
        commit = here.commit
        if offline or self._is_offline():
            commit = commit or known.commit(here) or ""
            files = known.files(here, commit) if commit else None
            if files is None:
                raise _unknown(here, index, self._is_offline())
            return Manifest(model_id, here.pinned(commit), files)
        files = known.files(here, commit) if commit else None
        if files is None:
            commit, files = self._ask(here, known, should_stop)
        if not files:
            raise PermanentError(f"not_found: {here} at {here.endpoint} has no files")
        return Manifest(model_id, here.pinned(commit), files)

    def _ask(
        self, here: HubRef, known: HubIndex, should_stop: ShouldStop | None
    ) -> tuple[str, tuple[ManifestFile, ...]]:
        hub = self._hub(here)
        commit, gated = here.commit, False
        if not commit:
            commit, gated = hub_listing.commit_of(hub, should_stop)
        files = known.files(here, commit)
        if files is None:
            files = hub_listing.files_of(hub, commit, should_stop)
            if gated:
                hub_listing.check_gate(hub, commit, files)
            known.remember_files(here, commit, files)
        known.remember_commit(here, commit)
        return commit, files

    @contextlib.contextmanager
    def open(
        self, ref: str, file: ManifestFile, offset: int = 0, length: int | None = None
    ) -> Iterator[Reader]:
        """A part of a file, by one request; large files are usually redirected elsewhere."""
        here = self._pinned(ref, file.path)
        end = "" if length is None else str(offset + length - 1)
        wants_part = offset > 0 or length is not None
        if length == 0 or offset >= file.size > 0:
            yield Nothing()
            return
        headers = {"accept-encoding": "identity"}
        if wants_part:
            headers["range"] = f"bytes={offset}-{end}"
        hub = self._hub(here)
        url = hub.url_of(here.commit, file.path)
        with self._moved.streaming(hub, url, headers, file.path) as response:
            skip = offset if wants_part and response.status_code != 206 else 0
            if skip > 2**20:
                raise PermanentError(
                    f"unsupported: {here.endpoint} ignores ranges: it answered "
                    f"{response.status_code} for a part of {file.path} of {here}"
                )
            with contextlib.closing(response.iter_bytes()) as chunks:
                yield Body(chunks, hub, file.path, skip, length)

    def bring(self, ref: str, files: Sequence[ManifestFile], directory: Path, watch: Watch) -> None:
        """Bring whole files by the hub's own library, in a process that can be killed.

        What the library's cache on this host has of the commit is copied from there.
        See `sources.hub_bring`. Files that are in `directory` already, whole, are kept. A file that
        is asked for again was not right: then it does not come by Xet, whose client has been seen
        to give wrong bytes in silence.
        """
        here = self._pinned(ref, f"{len(files)} files")
        settings = self.settings or DownloadSettings()
        again = any((ref, file.path) in self._brought for file in files)
        self._brought.update((ref, file.path) for file in files)
        # What was wrong may have come from the cache, and would come from there again.
        left = files if again else hub_cache.take(here, files, directory, self._environ, watch)
        if not left:
            return
        job = Job(
            endpoint=here.endpoint,
            repo=here.repo,
            commit=here.commit,
            files=tuple((file.path, file.size) for file in left),
            directory=str(directory),
            concurrency=settings.concurrency,
            xet=not again,
        )
        bring(job, self._token(), self._environ, settings.stall, watch)

    @property
    def _environ(self) -> Mapping[str, str]:
        return os.environ if self.environ is None else self.environ

    def _pinned(self, ref: str, what: str) -> HubRef:
        here = HubRef.parse(ref).at(self._environ)
        if not here.commit:
            raise PermanentError(f"{here} names no commit; make a manifest of it first")
        if self._is_offline():
            raise PermanentError(
                f"unavailable: {what} of {here} must be fetched, and HF_HUB_OFFLINE forbids it; "
                "unset it, or bring the model while there is a network"
            )
        return here

    def _hub(self, ref: HubRef) -> Hub:
        return Hub(ref, self._token())

    def _is_offline(self) -> bool:
        names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
        return any(self._environ.get(name, "").upper() in _TRUE for name in names)

    def _token(self) -> str | None:
        """The token to show, as the library would find it."""
        token = self._environ.get("HF_TOKEN") or self._environ.get("HUGGING_FACE_HUB_TOKEN")
        if (
            token is None
            and self._environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in _TRUE
        ):
            return None
        if token is None:
            from huggingface_hub import get_token

            token = get_token()
        token = (token or "").strip()
        if any(not 33 <= ord(character) <= 126 for character in token):
            # The HTTP client would show it in its error.
            raise PermanentError("auth: HF_TOKEN has characters that no token has; set it anew")
        return token or None


def _unknown(ref: HubRef, index: Path | None, by_environment: bool) -> PermanentError:
    why = "HF_HUB_OFFLINE is set" if by_environment else "download.offline is true"
    where = f"nothing is remembered of it in {index}" if index else "nothing is remembered"
    return PermanentError(
        f"unavailable: {ref} cannot be looked up: {why}, and {where}; run once with a network, or "
        "give the model's directory as model_source"
    )
