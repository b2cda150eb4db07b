"""What goes wrong between us and a server, in one vocabulary, and whether trying again can help.

Messages say what was asked for, the cause and the remedy. They never quote a URL, a body or another
library's message, which may hold signatures and keys: only a status, and the short code that object
stores give for it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

import attrs

from nodeinit.errors import NodeInitError, PermanentError, TemporaryError

_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(
    r"<Code>\s*([A-Za-z0-9._-]{1,64})\s*</Code>|\"(?:reason|code)\": ?\"(\w{1,64})\""
)
_THROTTLED = ("SlowDown", "ServerBusy", "Throttl", "TooManyRequests", "RequestLimitExceeded")
_OF_A_TOKEN = re.compile(r"TokenRequest|/latest/api/token|/latest/meta-data|MissingCredentials")
_BAD_PATH = re.compile(
    r"Error parsing Path|InvalidPath|empty path segment|illegal character sequence"
)
_BAD_CERTIFICATE = re.compile(
    r"invalid peer certificate|InvalidCertificate|UnknownIssuer|CertificateError|NotValidFor"
)

_BY_STATUS = {
    401: ("auth", "the server does not know who asks"),
    403: ("auth", "the server forbids it"),
    404: ("not_found", "it is not there"),
    412: ("changed", "it is not the version any more that the manifest names"),
    416: ("changed", "it is shorter than the manifest says"),
    501: ("unsupported", "the server cannot do this"),
}
_BY_CODE = {
    "NoSuchBucket": ("not_found", "there is no such bucket"),
    "ContainerNotFound": ("not_found", "there is no such container"),
    "InvalidAccessKeyId": ("auth", "the server does not know the access key"),
    "SignatureDoesNotMatch": ("auth", "the secret key is wrong"),
    "AuthorizationFailure": ("auth", "the key or the signature is wrong"),
    "ExpiredToken": ("auth", "the session token has expired"),
    "InvalidToken": ("auth", "the session token is wrong"),
    "RequestTimeTooSkewed": ("auth", "the clock of this host is wrong"),
    "AuthorizationHeaderMalformed": ("auth", "the region is probably wrong: set AWS_REGION"),
    "PermanentRedirect": ("unsupported", "the bucket is in another region: set AWS_REGION"),
}


@attrs.frozen
class Asked:
    """What was asked of a server, for people: `read config.json`, `s3://bucket/prefix`.

    `credentials` names the variables that would give the right to it. `delay` finds out how long a
    server that refuses wants us to wait (seconds).
    """

    action: str
    place: str
    credentials: str
    delay: Callable[[], float | None] | None = None

    def failed(self, word: str, cause: str, *, remedy: str = "") -> str:
        """The message of an error."""
        end = f"; {remedy}" if remedy else ""
        return f"{word}: cannot {self.action} in {self.place}: {cause}{end}"

    def denied(self, cause: str) -> PermanentError:
        """The error of whoever may not, or did not say who he is."""
        remedy = f"set {self.credentials} on every host, for a user who may list and read there"
        return PermanentError(self.failed("auth", cause, remedy=remedy))


def by_status(
    asked: Asked, status: int, code: str = "", delay: float | None = None
) -> NodeInitError:
    """The error that an HTTP status means; `delay` is what the server said how long to wait."""
    if delay is None and status in (429, 503) and asked.delay is not None:
        delay = asked.delay()
    said = f"HTTP {status}{f' {code}' if code else ''}"
    if status == 429 or any(word in code for word in _THROTTLED):
        return TemporaryError(
            asked.failed("rate_limited", f"too many requests ({said})"), delay=delay
        )
    if status in (408, 504):
        return TemporaryError(asked.failed("timeout", f"the server gave up ({said})"), delay=delay)
    word, cause = _BY_CODE.get(code) or _BY_STATUS.get(status) or ("", "")
    if word == "auth":
        return asked.denied(f"{cause} ({said})")
    if word:
        return PermanentError(asked.failed(word, f"{cause} ({said})", remedy=_REMEDIES[word]))
    if status >= 500:
        return TemporaryError(
            asked.failed("unavailable", f"the server failed ({said})"), delay=delay
        )
    return PermanentError(asked.failed("unsupported", f"the server refuses the request ({said})"))


_REMEDIES = {
    "not_found": "check the name, and the endpoint that the environment gives",
    "changed": "start again to get the new model, and do not write to a model that is being served",
    "unsupported": "",
}


def code_in(text: str) -> str:
    """The short code that object stores give for an error, in the body of their answer."""
    code = _CODE.search(text)
    return (code[1] or code[2]) if code else ""


def by_text(asked: Asked, text: str) -> NodeInitError:
    """The error that a failure of `obstore` means; the text is read, never shown."""
    found = _STATUS.search(text)
    if found and _OF_A_TOKEN.search(text) and int(found[1]) < 429:
        return asked.denied("there are no credentials in the environment")
    if found:
        return by_status(asked, int(found[1]), code_in(text))
    if _OF_A_TOKEN.search(text):
        return asked.denied("there are no credentials in the environment")
    if _BAD_PATH.search(text):
        return PermanentError(
            asked.failed(
                "unsafe_path",
                "a key there is not a path of plain parts ('..', '.' or an empty part)",
                remedy="rename this file in the model's source",
            )
        )
    if "NotPartial" in text or "RangeNotSupported" in text:
        return PermanentError(
            asked.failed("unsupported", "the server does not serve ranges of files")
        )
    if "BareRedirect" in text:
        return PermanentError(
            asked.failed(
                "unsupported",
                "the server says that the bucket is elsewhere",
                remedy="set AWS_REGION to the bucket's region",
            )
        )
    if _BAD_CERTIFICATE.search(text):
        return PermanentError(
            asked.failed(
                "unsupported", "its certificate is not trusted", remedy="set SSL_CERT_FILE"
            )
        )
    if "BadScheme" in text:
        return PermanentError(asked.failed("unsupported", "it leads to plain http"))
    if "invalid list response" in text:
        return PermanentError(
            asked.failed("unsupported", "the answer is not that of an object store")
        )
    return TemporaryError(asked.failed(*_passing(text)))


def _passing(text: str) -> tuple[str, str]:
    if "TimedOut" in text or "kind: Timeout" in text:
        if "kind: Body" in text:
            return "stalled", "the server sent no byte for too long"
        return "timeout", "the server did not answer in time"
    if "dns error" in text:
        return "unavailable", "the name of the server cannot be resolved"
    if "ConnectionRefused" in text:
        return "unavailable", "nobody answers at the endpoint (connection refused)"
    if "kind: Body" in text or "Interrupted" in text:
        return "unavailable", "the connection broke off"
    if "Connect" in text:
        return "unavailable", "the server cannot be reached"
    return "unavailable", "the request failed"


@contextlib.contextmanager
def explaining(asked: Asked) -> Iterator[None]:
    """Turn every failure of `obstore` in the block into the error that explains it.

    `from None`, because a traceback would show what the message leaves out.
    """
    from obstore.exceptions import BaseError, PreconditionError

    try:
        yield
    except FileNotFoundError as error:
        raise by_status(asked, 404, code_in(str(error))) from None
    except PreconditionError:
        raise by_status(asked, 412) from None
    except (BaseError, ValueError) as error:
        raise by_text(asked, str(error)) from None
