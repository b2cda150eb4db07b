"""The names of models on a Hugging Face hub: `org/name`, `name`, `…@revision`, `hf://…`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

import attrs

from nodeinit.errors import PermanentError

DEFAULT_ENDPOINT = "https://huggingface.co"

_SCHEME = "hf://"
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_PART}(?:/{_PART})?")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+/-]{0,249}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_OTHER_KINDS = ("datasets", "spaces", "kernels", "buckets")


@attrs.frozen
class HubRef:
    """A model of a hub. `revision` is a branch, a tag or a commit, or empty for the default branch.

    `endpoint` is the hub's address, empty where the reference does not say it: then it is that of
    the environment (`HF_ENDPOINT`).
    """

    repo: str
    revision: str = ""
    endpoint: str = ""

    @classmethod
    def parse(cls, ref: str) -> Self:
        """Read a reference. Raises `PermanentError` for what is not the name of a model."""
        url = urlsplit(ref) if ref[: len(_SCHEME)].lower() == _SCHEME else None
        endpoint = "".join(parse_qs(url.query).get("endpoint", [""])[:1]) if url else ""
        name = unquote(url.netloc + url.path) if url else ref
        repo, at, revision = name.partition("@")
        repo = repo.removeprefix("models/").rstrip("/") if url else repo
        if repo.split("/")[0] in _OTHER_KINDS and repo.count("/") > 0 and url:
            raise PermanentError(f"unsupported: {ref!r} does not name a model but {repo}")
        if not _REPO.fullmatch(repo) or "--" in repo or ".." in repo or repo.endswith(".git"):
            raise PermanentError(
                f"model source {ref!r} is not a directory here and cannot be the id of a model on "
                "a hub, which is name or org/name, with @revision if need be; "
                "a directory is written /path, ~/path or ./path"
            )
        if at and (not _REVISION.fullmatch(revision) or ".." in revision):
            raise PermanentError(
                f"model source {ref!r}: {revision!r} is not a revision; "
                "write a branch, a tag or a commit after the @"
            )
        return cls(repo, revision, endpoint)

    @property
    def commit(self) -> str:
        """The revision if it is a full commit, which cannot change any more; else empty."""
        return self.revision if _COMMIT.fullmatch(self.revision) else ""

    def at(self, environ: Mapping[str, str]) -> Self:
        """The same with its endpoint filled in.

        That of this host's environment comes first: a host may have a mirror beside it.
        """
        given = environ.get("HF_ENDPOINT", "").strip().rstrip("/")
        return attrs.evolve(self, endpoint=given or self.endpoint or DEFAULT_ENDPOINT)

    def pinned(self, commit: str) -> str:
        """The reference to write in a manifest: good on every host, and without secrets.

        It names an endpoint that is not the usual one: a host that was not told of it must not ask
        another hub instead.
        """
        plain = f"{_SCHEME}{self.repo}@{commit}"
        if self.endpoint in ("", DEFAULT_ENDPOINT) or "@" in self.endpoint:
            return plain
        return f"{plain}?endpoint={quote(self.endpoint, safe=':/')}"

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}" if self.revision else self.repo


def is_commit(text: object) -> bool:
    """Whether a value is the full name of a commit."""
    return isinstance(text, str) and _COMMIT.fullmatch(text) is not None
