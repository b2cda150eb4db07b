"""Take secrets out of values that people will read: reprs, errors, logs, journals.

A secret is recognised by the name it stands under (`HF_TOKEN`, `api_key`, `credentials`), by its
place in a URL (a password, the signature of a presigned request), or by its shape (the prefixes
that vendors give their tokens so that scanners can find them). Names alone are no proof:
`max_tokens`, `tokenizer` and `eos_token` are ordinary settings of a model and stay readable.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Set
from typing import Any

from pyrsistent import PMap, PVector, pmap, pset, pvector

HIDDEN = "***"
"""What stands in the place of a secret."""

_ALWAYS = {
    *("secret", "secrets", "password", "passwords", "passwd", "passphrase", "pwd"),
    *("credential", "credentials", "authorization", "signature", "cookie"),
    *("apikey", "accesskey", "secretkey", "privatekey", "authtoken", "accesstoken"),
}
_AT_THE_END = {"token", "pat", "auth", "sig"}
_PAIRS = {
    *((word, "key") for word in ("api", "access", "private", "account", "storage", "signing")),
    *((word, "tokens") for word in ("access", "api", "auth", "bearer", "refresh", "session")),
    ("connection", "string"),
}
# Words before `token` that speak of text, not of access.
_OF_TEXT = {
    *("pad", "bos", "eos", "unk", "cls", "sep", "mask", "stop", "start", "end", "first", "next"),
    *("last", "per", "special", "image", "video", "audio", "added", "decoder", "forced", "to"),
}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_SHAPES = re.compile(
    r"\b(?:hf_|api_org_)[A-Za-z0-9]{16,}"  # Hugging Face
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bsk-[A-Za-z0-9_-]{16,}|\bxox[abprs]-[\w-]{10,}|\bnvapi-[\w-]{16,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{30,}|\bya29\.[\w-]{16,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # JSON Web Token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
_HEADER = re.compile(
    r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:\w+\s+)?)[^\s\"',;]+"
    r"|(?-i:\b(?:Bearer|Basic))\s+(?=\S*\d)[\w.~+/=-]{8,}"
)
_ASSIGNED = re.compile(
    # NAME=value in a command line or a message; 'name': value in the text of a dict or of JSON
    r"([A-Za-z_][\w.-]*)(\s?=\s?|[\"']\s*:\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&\"'{}()\[\]]+)"
)
_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*)://([^\s\"'<>]+)")
_PARAMETER = re.compile(r"([?&;#])([^=&;#\s]+)=([^&;#\s]*)")
# In these, what stands before `@` names a bucket, a container or nobody (`anonymous@`).
_STORES = {"s3", "gs", "abfs", "abfss", "azure", "az", "wasb", "wasbs"}


def is_secret(name: str) -> bool:
    """Whether a value under this name (of a key, a variable, a URL parameter) is a secret."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    pairs = set(itertools.pairwise(words))
    if not _ALWAYS.isdisjoint(words) or not _PAIRS.isdisjoint(pairs):
        return True
    if words[-1] == "token" and len(words) > 1 and words[-2] in _OF_TEXT:
        return False
    return words[-1] in _AT_THE_END


def redact(value: Any) -> Any:
    """A copy of a value in which every secret is `***`.

    Goes through mappings, lists, tuples and sets, plain or frozen, and keeps their kind. What is
    neither a container nor text is returned as it is. `None`, `True` and `False` are no secrets
    even under a secret's name: that a token is not set is worth reading.
    """
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        plain = {_redact_key(key): _under(key, item) for key, item in value.items()}
        return pmap(plain) if isinstance(value, PMap) else plain
    if isinstance(value, PVector):
        return pvector(redact(item) for item in value)
    if isinstance(value, list):
        return [redact(item) for item in value]
    if isinstance(value, tuple):
        return tuple(redact(item) for item in value)
    if isinstance(value, Set):
        items = [redact(item) for item in value]
        kind = type(value) if isinstance(value, set | frozenset) else pset
        return kind(items)
    return value


def redacted(value: Any) -> str:
    """The `repr` of a value without its secrets, for the fields of a class that may carry some."""
    return repr(redact(value))


def redact_text(text: str) -> str:
    """A text without the secrets in its URLs, its `NAME=value` pairs, and those known by shape."""
    clean = _URL.sub(_redact_url, text)
    clean = _HEADER.sub(lambda found: f"{found[1] or 'Bearer '}{HIDDEN}", clean)
    clean = _ASSIGNED.sub(_redact_assigned, clean)
    clean = _SHAPES.sub(HIDDEN, clean)
    return text if clean == text else clean


def _redact_key(key: Any) -> Any:
    return redact_text(key) if isinstance(key, str) else key


def _under(key: Any, value: Any) -> Any:
    if (
        isinstance(key, str)
        and is_secret(key)
        and value is not None
        and not isinstance(value, bool)
    ):
        return HIDDEN
    return redact(value)


def _redact_assigned(found: re.Match[str]) -> str:
    name, sign, value = found.groups()
    unset = value.lower() in ("none", "null", "true", "false")
    if unset or value.startswith(HIDDEN) or not is_secret(name):
        return found.group()
    return f"{name}{sign}{HIDDEN}"


def _redact_url(found: re.Match[str]) -> str:
    scheme, rest = found.groups()
    end = re.search(r"[/?#]|$", rest)
    cut = end.start() if end else len(rest)
    authority, tail = rest[:cut], rest[cut:]
    user, at, host = authority.rpartition("@")
    if at:
        name, colon, _password = user.partition(":")
        if colon:
            user = f"{name}:{HIDDEN}"
        elif scheme.lower() not in _STORES:
            user = HIDDEN
    tail = _PARAMETER.sub(_redact_parameter, tail)
    return f"{scheme}://{user}{at}{host}{tail}"


def _redact_parameter(found: re.Match[str]) -> str:
    mark, name, _value = found.groups()
    secret = is_secret(name) or name.lower() == "key"
    return f"{mark}{name}={HIDDEN}" if secret else found.group()
