"""Which files a URL stands for: an index page, a file of checksums, or a directory that has one."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlsplit, urlunsplit

import attrs

from nodeinit.download.sources import checksums
from nodeinit.download.sources.autoindex import crawl
from nodeinit.download.sources.web import Answer
from nodeinit.errors import PermanentError

Ask = Callable[[str, str], Answer]
"""Gets a URL; the second text says what for."""


@attrs.frozen
class Index:
    """The files at `base`, a URL that ends in a slash, and their checksums where there are some."""

    base: str
    paths: list[str]
    sums: dict[str, checksums.Sum] | None = None


def read_index(url: str, ask: Ask) -> Index:
    """The index that a URL leads to; it names at least one file.

    Raises `PermanentError` (`not_found`) where there is none, and what `ask` raises.
    """
    try:
        answer = ask(url, "read the index")
    except PermanentError as error:
        if not _is_absent(error):
            raise
        # A directory without an index page is refused or not found; what lies in it may be.
        return _published(url, ask, error)
    here = urlunsplit(urlsplit(answer.url)._replace(query="", fragment=""))
    if _is_html(answer):
        return _of_page(url, here if here.endswith("/") else f"{here}/", answer, ask)
    if here.endswith("/"):
        return _published(url, ask, PermanentError(f"not_found: {url} has no index of files"))
    base, name = here.rsplit("/", 1)
    kind = checksums.MANIFEST if answer.body.lstrip()[:1] in (b"{", b"[") else checksums.SUMS
    sums = checksums.parsed(kind, answer.body, f"{name!r} at {url}")
    if not sums:
        raise PermanentError(f"unsupported: {url} is not a list of files with their checksums")
    return Index(f"{base}/", list(sums), sums)


def _of_page(url: str, base: str, answer: Answer, ask: Ask) -> Index:
    def page(path: str) -> bytes:
        return ask(base + quote(path), f"read the index of {path!r}").body

    paths = crawl(base, answer.body, page)
    if not paths:
        return _published(url, ask, PermanentError(f"not_found: {url} has no index of files"))
    for name in checksums.NAMES:
        if name in paths and (sums := _sums(base, name, ask)) is not None:
            return Index(base, paths, sums)
    return Index(base, paths)


def _published(url: str, ask: Ask, otherwise: PermanentError) -> Index:
    """What a file of checksums in the directory names; raises `otherwise` if there is none."""
    base = f"{url.rstrip('/')}/"
    for name in (checksums.MANIFEST, checksums.SUMS):
        try:
            sums = _sums(base, name, ask)
        except PermanentError as error:
            if not _is_absent(error):
                raise
            continue
        if sums:
            return Index(base, list(sums), sums)
    raise otherwise


def _sums(base: str, name: str, ask: Ask) -> dict[str, checksums.Sum] | None:
    return checksums.parsed(name, ask(base + name, f"read {name!r}").body, f"{name!r} at {base}")


def _is_absent(error: PermanentError) -> bool:
    return str(error).startswith(("auth:", "not_found:"))


def _is_html(answer: Answer) -> bool:
    kind = answer.headers.get("content-type", "").lower()
    return "html" in kind or answer.body.lstrip()[:1] == b"<"
