"""What the errors of `huggingface_hub` and of its HTTP client mean for a fetch."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nodeinit.errors import NodeInitError, PermanentError, TemporaryError
from nodeinit.redact import redact_text

if TYPE_CHECKING:
    from nodeinit.download.sources.hub_names import HubRef

LONGEST_DELAY = 900.0  # seconds; a hub counts requests in windows of 300
_RESET = re.compile(r"\bt\s*=\s*(\d+)")


def explain(
    error: BaseException, ref: HubRef, file: str = "", *, has_token: bool
) -> NodeInitError | None:
    """The error to raise instead, or `None` for one that says nothing about the hub.

    Looks through the library's "not found on this disk" to what kept it from asking the hub.
    """
    for cause in _chain(error):
        if isinstance(cause, NodeInitError):
            return cause
        found = _explain(cause, ref, file, has_token)
        if found is not None:
            return found
    return None


def delay_of(headers: Mapping[str, str]) -> float | None:
    """How many seconds an answer asks to wait (`Retry-After`, `RateLimit: …;r=0;t=55`)."""
    after = headers.get("retry-after", "").strip()
    if after.isdigit():
        return min(float(after), LONGEST_DELAY)
    if after and (date := _date(after)) is not None:
        return min(max(0.0, date - time.time()), LONGEST_DELAY)
    found = _RESET.search(headers.get("ratelimit", ""))
    return min(float(found[1]), LONGEST_DELAY) if found else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    from huggingface_hub.errors import LocalEntryNotFoundError

    seen: BaseException | None = error
    while seen is not None:
        if not isinstance(seen, LocalEntryNotFoundError) or seen.__cause__ is None:
            yield seen
        seen = seen.__cause__


def _explain(error: BaseException, ref: HubRef, file: str, has_token: bool) -> NodeInitError | None:
    from huggingface_hub import errors

    hub = ref.endpoint
    what = f"{file} of {ref}" if file else str(ref)
    match error:
        case errors.HfHubHTTPError():
            return _answered(error, ref, what, has_token)
        case errors.OfflineModeIsEnabled():
            return PermanentError(
                f"unavailable: {what} is not here, and HF_HUB_OFFLINE forbids to ask {hub}; unset "
                "it, or bring the model while there is a network"
            )
        case errors.LocalEntryNotFoundError():
            return TemporaryError(f"unavailable: {hub} did not give {what}")
        case errors.FileMetadataError():
            return PermanentError(
                f"unsupported: {hub} does not answer like a Hugging Face hub about {what}; check "
                "HF_ENDPOINT and proxies"
            )
        case OSError() if "Consistency check failed" in str(error):
            return TemporaryError(f"corrupted: {what} arrived with another size than {hub} said")
    return _not_answered(error, hub, what)


def _answered(error: Any, ref: HubRef, what: str, has_token: bool) -> NodeInitError:
    from huggingface_hub import errors

    hub, status = ref.endpoint, error.response.status_code
    headers = {key.lower(): value for key, value in error.response.headers.items()}
    on_hosts = "set HF_TOKEN (on every host: runtime_env.env_vars) to one that may read it"
    if status in (408, 425, 429) or status >= 500:
        delay = delay_of(headers)
        asked = f", and asks to wait {delay:g} s" if delay is not None else ""
        if status == 429:
            remedy = "" if has_token else "; a HF_TOKEN raises the limit"
            text = f"rate_limited: {hub} has had too many requests (429){asked}: {what}{remedy}"
        else:
            word = "timeout" if status == 408 else "unavailable"
            text = f"{word}: {hub} answered {status} for {what}{asked}"
        return TemporaryError(text, delay=delay)
    if isinstance(error, errors.GatedRepoError):
        return PermanentError(
            f"gated: {hub} gives {what} only to those who accepted its licence; accept it at "
            f"{hub}/{ref.repo} and {on_hosts}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return PermanentError(
            f"not_found: {hub} has {ref.repo} but not its revision {ref.revision!r}; "
            "name a branch, a tag or a commit that exists"
        )
    if isinstance(error, errors.DisabledRepoError):
        return PermanentError(f"auth: {hub} has disabled access to {ref.repo}")
    if isinstance(error, errors.RepositoryNotFoundError):
        remedy = (
            "check the name, and whether the account of HF_TOKEN may read it"
            if has_token
            else f"check the name; if the model is private, {on_hosts}"
        )
        return PermanentError(f"not_found: {hub} shows no model {ref.repo}; {remedy}")
    if status in (401, 403):
        which = "the HF_TOKEN that was sent" if has_token else "requests without a token"
        return PermanentError(f"auth: {hub} refuses {which} ({status}) for {what}; {on_hosts}")
    if status == 404:
        return PermanentError(f"not_found: {hub} does not have {what}; check HF_ENDPOINT")
    if status == 416:
        return PermanentError(f"changed: {what} at {hub} is shorter than its listing said")
    said = " ".join(redact_text(error.server_message or "").split())[:200]
    return PermanentError(
        f"unsupported: {hub} answered {status} for {what}" + (f": {said}" if said else "")
    )


def _not_answered(error: BaseException, hub: str, what: str) -> NodeInitError | None:
    """Of an HTTP client: `httpx2` or `httpx`, as the library's version has it."""
    kinds = {kind.__name__ for kind in type(error).__mro__ if "httpx" in kind.__module__}
    said = " ".join(redact_text(str(error)).split())[:200] or type(error).__name__
    if "TimeoutException" in kinds:
        return TemporaryError(f"timeout: {hub} fell silent about {what}")
    if kinds & {"UnsupportedProtocol", "InvalidURL", "LocalProtocolError", "TooManyRedirects"}:
        return PermanentError(f"unsupported: {hub} cannot be asked for {what}: {said}")
    if kinds & {"TransportError", "DecodingError", "StreamError"}:
        return TemporaryError(
            f"unavailable: {hub} cannot be reached for {what}: {said}; "
            "check the network, proxies and HF_ENDPOINT"
        )
    return None


def _date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None
