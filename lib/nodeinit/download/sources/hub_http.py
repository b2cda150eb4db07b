"""Requests to a hub, through the session of its own library: proxies, certificates, redirects.

Requests are bounded in size and time, and never repeated here: the library would sleep through what
a hub asks for (`Retry-After: 300`) with nobody able to stop it. Whoever asked is told how long to
wait instead.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

import attrs

from nodeinit.download.paths import check_relative
from nodeinit.download.sources.hub_errors import explain
from nodeinit.download.watch import Stopped
from nodeinit.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from nodeinit.download.sources.hub_names import HubRef
    from nodeinit.download.watch import ShouldStop

TIMEOUT = 10.0  # seconds without a byte; the library's own default
_LONGEST = 60.0  # seconds for one answer of the API, however slowly it drips
_LARGEST = 64 * 1024 * 1024  # bytes of one answer of the API; a page has 1 000 entries


@attrs.frozen
class Hub:
    """A hub as one user sees it. `ref` says at which endpoint, and what is asked about."""

    ref: HubRef
    token: str | None = attrs.field(default=None, repr=False)

    def get_json(self, url: str, should_stop: ShouldStop | None = None) -> tuple[Any, str | None]:
        """What an address of the API answers, and the address of the next page if there is one.

        `url` is below the endpoint. Raises `PermanentError` and `TemporaryError`.
        """
        where = urljoin(f"{self.ref.endpoint}/", url.lstrip("/"))
        if urlsplit(where)[:2] != urlsplit(self.ref.endpoint)[:2]:
            # A next page elsewhere would be given the token.
            raise PermanentError(
                f"unsupported: the listing of {self.ref.repo} goes on at another host than "
                f"{self.ref.endpoint}; use a hub that answers for itself"
            )
        began = time.monotonic()
        data = bytearray()
        with self.streaming(where, {}) as response:
            for chunk in response.iter_bytes():
                data += chunk
                if should_stop is not None and should_stop():
                    raise Stopped
                if len(data) > _LARGEST:
                    raise PermanentError(
                        f"unsupported: {self.ref.endpoint} answers more than "
                        f"{_LARGEST // 2**20} MiB about {self.ref.repo}"
                    )
                if time.monotonic() - began > _LONGEST:
                    raise TemporaryError(
                        f"timeout: {self.ref.endpoint} took more than {_LONGEST:g} s to answer "
                        f"about {self.ref.repo}"
                    )
            following = response.links.get("next", {}).get("url")
        try:
            return json.loads(data), following
        except ValueError:
            raise PermanentError(
                f"unsupported: {self.ref.endpoint} does not answer like a Hugging Face hub about "
                f"{self.ref.repo}; check HF_ENDPOINT and proxies"
            ) from None

    def url_of(self, commit: str, path: str) -> str:
        """The address of a file's bytes, or of what redirects to them."""
        return f"{self.ref.endpoint}/{self.ref.repo}/resolve/{commit}/{quote(check_relative(path))}"

    @contextlib.contextmanager
    def streaming(self, url: str, headers: Mapping[str, str], file: str = "") -> Iterator[Any]:
        """An answer whose body has not been read yet; redirected elsewhere, without the token."""
        from huggingface_hub import __version__
        from huggingface_hub.utils import get_session, hf_raise_for_status

        # Not the library's own headers: to fill them in it asks the hub for what nobody needs.
        sent = {"user-agent": f"nodeinit; hf_hub/{__version__}", **headers}
        if self.token is not None and url.startswith(f"{self.ref.endpoint}/"):
            sent["authorization"] = f"Bearer {self.token}"
        with (
            explaining(self.ref, file, has_token=self.token is not None),
            get_session().stream("GET", url, headers=sent, timeout=TIMEOUT) as response,
        ):
            if response.is_error:
                response.read()
            hf_raise_for_status(response)
            yield response


@contextlib.contextmanager
def explaining(ref: HubRef, file: str = "", *, has_token: bool) -> Iterator[None]:
    """Turn the errors of the library and of its session into ours."""
    try:
        yield
    except Exception as error:
        ours = explain(error, ref, file, has_token=has_token)
        if ours is None:
            raise
        raise ours from None  # the cause may show headers, and its message says nothing more
