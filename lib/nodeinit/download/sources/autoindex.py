"""The files that the index pages of a web server link to, as nginx, Apache and Python write them."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import quote, unquote, urljoin

from nodeinit.download.sources.listing import MOST_FILES
from nodeinit.errors import PermanentError

_DEEPEST = 16
_MOST_PAGES = 10_000


def crawl(base: str, page: bytes, ask: Callable[[str], bytes]) -> list[str]:
    """The paths of all files below `base` (a URL that ends in a slash), whose index is `page`.

    `ask` gets the page of a directory below it. Links that lead elsewhere (to the directory above,
    to another order of the rows) are no files. Raises `PermanentError` for names that are not plain
    and for an index without an end.
    """
    found: dict[str, None] = {}
    pages = [("", page)]
    asked = 0
    while pages:
        directory, body = pages.pop()
        for path in _links(base, directory, body):
            if not path.endswith("/"):
                found[path] = None
            elif path.count("/") > _DEEPEST or asked >= _MOST_PAGES:
                raise PermanentError(f"unsupported: the index at {base} goes on without an end")
            else:
                asked += 1
                pages.append((path, ask(path)))
        if len(found) > MOST_FILES:
            raise PermanentError(f"unsupported: {base} has more than {MOST_FILES} files")
    return sorted(found)


def _links(base: str, directory: str, page: bytes) -> list[str]:
    parser = _Anchors()
    parser.feed(page.decode("utf-8", "replace"))
    parser.close()
    here = base + quote(directory)
    paths = []
    for link in parser.links:
        if "?" in link or "#" in link:
            continue
        try:
            target = urljoin(here, link)
        except ValueError:
            continue
        if not target.startswith(here) or target == here:
            continue
        raw = target[len(here) :]
        parts = [unquote(part) for part in raw.split("/")]
        if any("/" in part for part in parts):
            raise PermanentError(f"unsafe_path: the index at {base} has a name with a slash in it")
        paths.append(directory + "/".join(parts))
    return paths


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]
