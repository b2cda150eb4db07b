"""A range of a file, read from a socket into the caller's buffer, of exactly the manifest's version."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from urllib.parse import urljoin, urlsplit

import attrs

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.sources.connections import Exchange, exchange
from nodeinit.download.sources.plain_http import check_scheme
from nodeinit.download.sources.ranges import SINCE, modified_text, version_of
from nodeinit.download.sources.taxonomy import Asked, by_status, code_in
from nodeinit.download.sources.web import delay_of
from nodeinit.errors import PermanentError, TemporaryError

_PIECE = 64 * 1024  # bytes that are waited for at once: small enough to hear of every byte soon
_MOST = 256 * 1024  # and where these come fast, large enough to ask seldom
_FAST = 0.05  # seconds

_REDIRECTS = 5
_SKEW = 300.0  # seconds
_MOST_OF_AN_ERROR = 64 * 1024  # bytes of its body
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@attrs.frozen
class Get:
    """How to ask for a file: its `url`, which may be signed and then is a secret, and `headers`.

    `follows` says whether a redirect leads to the file; a bucket's only says that it is elsewhere.
    """

    url: str = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    follows: bool = False
    environ: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    method: str = "GET"


class HttpRange:
    """`length` bytes of a file from `offset` on; see `Source.open`."""

    def __init__(
        self,
        get: Get,
        file: ManifestFile,
        offset: int,
        length: int | None,
        asked: Asked,
        settings: DownloadSettings,
    ) -> None:
        self._asked = asked
        self._left = max(file.size - offset, 0) if length is None else length
        self._piece = _PIECE
        self._exchange: Exchange | None = None
        if self._left:
            # A server without ranges can still give a whole file.
            part = (offset, self._left) if offset or self._left != file.size else None
            self._exchange = ask_for(get, file, part, asked, settings)

    def readinto(self, buffer: memoryview) -> int:
        """Put the next bytes into a buffer, and answer how many: some, none at the end.

        Raises `TemporaryError` if the connection breaks off before all bytes have come.
        """
        if not self._left or self._exchange is None:
            return 0
        began = time.monotonic()
        with explaining(self._asked, "stalled", "the server sent no byte for too long"):
            count = self._exchange.readinto(buffer[: min(self._left, self._piece)])
        self._piece = _MOST if time.monotonic() - began < _FAST else _PIECE
        if not count:
            raise TemporaryError(
                self._asked.failed("unavailable", f"{self._left} bytes have not come")
            )
        self._left -= count
        return count

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; see `readinto`."""
        buffer = bytearray(min(size, _PIECE))
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def close(self) -> None:
        """Stop reading; the connection is given up if bytes are still coming."""
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None

    def __enter__(self) -> HttpRange:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask_for(
    get: Get,
    file: ManifestFile,
    part: tuple[int, int] | None,
    asked: Asked,
    settings: DownloadSettings,
) -> Exchange:
    """The answer that brings a part (offset, length) of a file, or all of it.

    Raises what a refusal means, and `PermanentError` (`changed: …`) for another version.
    """
    headers = dict(get.headers)
    if part is not None:
        headers["Range"] = f"bytes={part[0]}-{sum(part) - 1}"
    if file.version.startswith(SINCE):
        headers["If-Unmodified-Since"] = file.version[len(SINCE) :]
    elif file.version:
        headers["If-Match"] = file.version
    answer = _answered(get, headers, asked, settings)
    try:
        if answer.status not in (200, 206):
            raise _refused(answer, asked, get)
        _check(answer, file, part, asked)
    except BaseException:
        answer.close()
        raise
    return answer


def _answered(
    get: Get, headers: dict[str, str], asked: Asked, settings: DownloadSettings
) -> Exchange:
    url = get.url
    for _ in range(_REDIRECTS + 1):
        with explaining(asked, "timeout", "the server did not answer in time"):
            answer = exchange(url, headers, settings.stall, get.environ, get.method)
        target = answer.header("Location")
        if answer.status not in (301, 302, 303, 307, 308) or not get.follows or not target:
            return answer
        answer.close()
        before, url = urlsplit(url), urljoin(url, target)
        check_scheme(url, f"the redirect from {asked.place}", settings)
        if before.scheme == "https" and urlsplit(url).scheme != "https":
            raise PermanentError(asked.failed("unsupported", "it leads to plain http"))
        if urlsplit(url)[:2] != before[:2]:
            headers = {k: v for k, v in headers.items() if k.lower() != "authorization"}
    raise PermanentError(asked.failed("unsupported", "the server redirects in circles"))


def _refused(answer: Exchange, asked: Asked, get: Get) -> Exception:
    body = memoryview(bytearray(_MOST_OF_AN_ERROR))
    try:
        text = bytes(body[: answer.readinto(body)]).decode("utf-8", "replace")
    except (OSError, HTTPException):
        text = ""
    code = code_in(text) or answer.header("x-ms-error-code")
    if 300 <= answer.status < 400 and not get.follows:
        return PermanentError(
            asked.failed(
                "unsupported",
                f"the server says that the bucket is elsewhere (HTTP {answer.status})",
                remedy="set AWS_REGION to the bucket's region",
            )
        )
    if answer.status == 403 and (late := _clock_error(answer.header("Date"))):
        return PermanentError(
            asked.failed(
                "auth",
                f"the server's clock says otherwise than this host's, by {late / 60:.0f} minutes, and "
                f"signatures hold for a time (HTTP 403{f' {code}' if code else ''})",
                remedy="set the clock of this host",
            )
        )
    delay = delay_of(answer.header("Retry-After"))
    return by_status(attrs.evolve(asked, delay=None), answer.status, code, delay)


def _check(
    answer: Exchange, file: ManifestFile, part: tuple[int, int] | None, asked: Asked
) -> None:
    """Servers that ignore conditions still say what they give."""
    if part is not None and answer.status != 206:
        raise PermanentError(
            asked.failed("unsupported", "the server does not serve ranges of files")
        )
    if file.version.startswith(SINCE):
        now = version_of(None, _modified(answer.header("Last-Modified")))
    else:
        now = version_of(answer.header("ETag")) or file.version
    if answer.status == 206:
        given = _CONTENT_RANGE.fullmatch(answer.header("Content-Range"))
        first, last, size = given.groups() if given else ("", "", "")
        wanted = part or (0, file.size)
        if (first, last) != (str(wanted[0]), str(sum(wanted) - 1)):
            raise by_status(asked, 416)
    else:
        size = answer.header("Content-Length")
    if (size not in ("", "*") and size != str(file.size)) or (file.version and now != file.version):
        raise by_status(asked, 412)


def _clock_error(date: str) -> float:
    """Seconds between a server's clock and ours, if that is more than signatures allow; else 0."""
    try:
        late = abs(time.time() - parsedate_to_datetime(date).timestamp()) if date else 0.0
    except ValueError:
        return 0.0
    return late if late > _SKEW else 0.0


def _modified(text: str) -> str | None:
    try:
        return modified_text(parsedate_to_datetime(text)) if text else None
    except ValueError:
        return None


@contextlib.contextmanager
def explaining(asked: Asked, late: str, how: str) -> Iterator[None]:
    """Turn failures of the connection into ours; `late` and `how` are a timeout's.

    `from None`, because the library's texts may name the URL, which may be signed.
    """
    try:
        yield
    except TimeoutError:
        raise TemporaryError(asked.failed(late, how)) from None
    except ssl.SSLCertVerificationError:
        raise PermanentError(
            asked.failed(
                "unsupported", "its certificate is not trusted", remedy="set SSL_CERT_FILE"
            )
        ) from None
    except (OSError, HTTPException, ValueError) as error:
        raise TemporaryError(asked.failed("unavailable", _cause(error))) from None


def _cause(error: Exception) -> str:
    match error:
        case socket.gaierror():
            return "the name of the server cannot be resolved"
        case ConnectionRefusedError():
            return "nobody answers at the endpoint (connection refused)"
        case ConnectionError() | HTTPException():
            return "the connection broke off"
        case OSError() if "Tunnel connection failed" in str(error):
            return "the proxy refuses to connect to the server"
        case OSError(strerror=str(reason)):
            return f"the server cannot be reached ({reason})"
    return "the request failed"
