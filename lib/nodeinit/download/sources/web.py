"""Small questions to web servers: the index of a model, the size and version of a file.

The bytes of models come by `http_range`. Whoever needs a name and a password has them in `~/.netrc`
(or the file that `NETRC` names), as for curl and pip.
"""

from __future__ import annotations

import base64
import contextlib
import math
import netrc
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import attrs

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.sources.plain_http import check_scheme
from nodeinit.download.sources.taxonomy import Asked, by_status
from nodeinit.errors import PermanentError, TemporaryError

_PATIENCE = 30.0  # seconds without a byte
_LONGEST = 3600.0  # seconds that a server may ask us to wait


@attrs.frozen
class Answer:
    """What a server answered; `url` is where redirects led to."""

    url: str
    headers: Mapping[str, str]
    body: bytes


def ask(
    url: str,
    asked: Asked,
    settings: DownloadSettings,
    *,
    method: str = "GET",
    most: int = 0,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Ask a server for at most `most` bytes.

    Raises what the server's refusal means, with its `Retry-After`; `PermanentError` for a longer
    body and for a redirect to what may not be asked.
    """
    check_scheme(url, asked.place, settings)
    sent = {"User-Agent": "nodeinit", "Accept-Encoding": "identity", **(headers or {})}
    request = urllib.request.Request(url, headers=sent, method=method)
    opener = urllib.request.build_opener(_Redirects(settings, asked))
    with _explaining(asked), opener.open(request, timeout=_PATIENCE) as answer:
        body = answer.read(most + 1)
        if len(body) > most:
            raise PermanentError(asked.failed("unsupported", f"it has more than {most} bytes"))
        given = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.url, given, body)


def delay_of(given: str | None) -> float | None:
    """The seconds that `Retry-After` says to wait, as a number or a date; at most an hour."""
    text = (given or "").strip()
    if not text:
        return None
    try:
        delay = float(text)
    except ValueError:
        try:
            delay = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(delay, 0.0), _LONGEST) if math.isfinite(delay) else None


def asked_to_wait(url: str, headers: Mapping[str, str]) -> float | None:
    """What a server that just refused a request says how long to wait; one more request, unread.

    `None` if it says nothing, or does not refuse any more.
    """
    request = urllib.request.Request(url, headers={**headers, "Range": "bytes=0-0"})
    try:
        urllib.request.urlopen(request, timeout=_PATIENCE).close()
    except urllib.error.HTTPError as error:
        with error:
            return delay_of(error.headers.get("Retry-After")) if error.code in (429, 503) else None
    except (OSError, HTTPException, ValueError):
        return None
    return None


def credentials(url: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The header that the user's netrc file gives for a server, if it does.

    `environ` stands for this process's environment, if given.
    """
    names = os.environ if environ is None else environ
    file = Path(names.get("NETRC") or "~/.netrc").expanduser()
    try:
        found = netrc.netrc(str(file)).authenticators(urlsplit(url).hostname or "")
    except (OSError, netrc.NetrcParseError):  # the second quotes the file
        return {}
    if found is None:
        return {}
    pair = base64.b64encode(f"{found[0]}:{found[2]}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect, but not into the open, and not with credentials to somebody else."""

    def __init__(self, settings: DownloadSettings, asked: Asked) -> None:
        self._settings = settings
        self._asked = asked

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        check_scheme(newurl, f"the redirect from {self._asked.place}", self._settings)
        if req.full_url[:8].lower() == "https://" and newurl[:8].lower() != "https://":
            raise PermanentError(self._asked.failed("unsupported", "it leads to plain http"))
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            new.remove_header("Authorization")
        return new


@contextlib.contextmanager
def _explaining(asked: Asked) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            raise by_status(
                asked, error.code, delay=delay_of(error.headers.get("Retry-After"))
            ) from None
    except TimeoutError:
        raise TemporaryError(asked.failed("timeout", "the server did not answer in time")) from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            word, cause = "timeout", "the server did not answer in time"
        else:
            word, cause = "unavailable", getattr(reason, "strerror", None) or type(reason).__name__
        raise TemporaryError(asked.failed(word, cause)) from None
