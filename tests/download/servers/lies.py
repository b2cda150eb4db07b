"""An S3 server that says what a test wants it to say: listings that no honest server makes."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from xml.sax.saxutils import escape

import attrs
from aiohttp import web

from tests.download.servers.web import serving


@attrs.define(slots=False)
class Liar:
    """Answers every listing with `pages`, one after the other, the last for ever if `endless`.

    A page is a list of keys and sizes. Objects are all `body`.
    """

    url: str = ""
    pages: list[list[tuple[str, int | str]]] = attrs.field(factory=lambda: [[]])
    endless: bool = False
    body: bytes = b"data"
    etag: str = "1"
    listed: int = 0
    read: list[str] = attrs.field(factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "list-type" in request.query:
            return web.Response(text=self._page(), content_type="application/xml")
        self.read.append(request.path)
        return web.Response(
            body=self.body, headers={"ETag": f'"{self.etag}"', "Last-Modified": _THEN}
        )

    def _page(self) -> str:
        number = self.listed
        self.listed += 1
        page = self.pages[min(number, len(self.pages) - 1)]
        more = self.endless or number + 1 < len(self.pages)
        contents = "".join(
            f"<Contents><Key>{escape(key.replace('%N', str(number)))}</Key><Size>{size}</Size>"
            f"<LastModified>2026-01-01T00:00:00Z</LastModified><ETag>&quot;{self.etag}&quot;</ETag></Contents>"
            for key, size in page
        )
        token = f"<NextContinuationToken>{number}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
        )


@contextlib.contextmanager
def lying() -> Iterator[Liar]:
    """A server that lies; it looks at no signatures."""
    liar = Liar()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", liar.answer)
    with serving(app) as url:
        liar.url = url
        yield liar


def many(count: int) -> list[tuple[str, int | str]]:
    """A page of keys that are new on every page."""
    return [(f"m/%N-{number}", 1) for number in itertools.islice(itertools.count(), count)]


_THEN = "Thu, 01 Jan 2026 00:00:00 GMT"
