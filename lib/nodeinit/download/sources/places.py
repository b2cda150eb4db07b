"""References to buckets, as `ray.serve.llm` takes them.

`s3://bucket/prefix`, `gs://bucket/prefix`, `abfss://container@account.dfs.core.windows.net/prefix`,
`azure://container@account.blob.core.windows.net/prefix`, each also with `pyarrow-` in front (which
names upstream's other client and means the same here), and `s3://anonymous@bucket/prefix` or
`gs://anonymous@bucket/prefix` for a bucket that is read without credentials.
"""

from __future__ import annotations

import re
from typing import Literal

import attrs

from nodeinit.errors import PermanentError

SCHEMES = ("s3", "gs", "abfss", "azure")
ANONYMOUS = "anonymous"

_REFERENCE = re.compile(r"(?i:pyarrow-)?(\w+)://(?:([^/@]*)@)?([^/]*)(?:/(.*))?", re.DOTALL)
_AZURE_HOST = re.compile(r"([a-z0-9]{3,24})\.(?:dfs|blob)\.core\.windows\.net")


@attrs.frozen
class Place:
    """A prefix of a bucket. `prefix` is without slashes at its ends; `host` is Azure's alone."""

    kind: Literal["s3", "gs", "azure"]
    bucket: str
    prefix: str
    scheme: str
    anonymous: bool = False
    host: str = ""

    @property
    def account(self) -> str:
        """The storage account of an Azure container."""
        return self.host.split(".", 1)[0]

    @property
    def ref(self) -> str:
        """The reference that is good on every host; it has no secrets."""
        user = f"{ANONYMOUS}@" if self.anonymous else ""
        at = f"{self.bucket}@{self.host}" if self.kind == "azure" else f"{user}{self.bucket}"
        return f"{self.scheme}://{at}/{self.prefix}".rstrip("/")

    def __str__(self) -> str:
        """The bucket and prefix for people."""
        return self.ref

    def key(self, path: str) -> str:
        """The key of a file of the model."""
        return f"{self.prefix}/{path}" if self.prefix else path


def place_of(ref: str) -> Place:
    """The bucket and prefix that a reference names.

    Raises `PermanentError` for a reference that names none, that has something which must not be
    in it (a password, a query), or a prefix that is not made of plain parts.
    """
    found = _REFERENCE.fullmatch(ref)
    scheme = found[1].lower() if found else ""
    if found is None or scheme not in SCHEMES:
        raise PermanentError("unsupported: this is not the reference of a bucket")
    user, host, prefix = found[2], found[3], (found[4] or "").strip("/")
    if scheme in ("abfss", "azure"):
        place = _azure(scheme, user, host, prefix)
    else:
        if user not in (None, ANONYMOUS):
            raise PermanentError(
                f"auth: {scheme}://…@{host}: credentials do not belong in a reference, which is "
                f"written into journals; set them in the environment, or write {ANONYMOUS}@ for "
                "a public bucket"
            )
        kind: Literal["s3", "gs"] = "s3" if scheme == "s3" else "gs"
        place = Place(kind, host, prefix, scheme, user == ANONYMOUS)
    if not re.fullmatch(r"[A-Za-z0-9$][A-Za-z0-9._-]*", place.bucket):
        raise PermanentError(f"not_found: {scheme}://{host} does not name a bucket")
    if "?" in prefix or "#" in prefix:
        raise PermanentError(
            f"unsupported: {scheme}://{host}: the reference of a bucket has no '?' and no '#'"
        )
    if {"", ".", ".."} & set(prefix.split("/")) and prefix:
        raise PermanentError(
            f"unsafe_path: {place}: a prefix has no empty parts and no '.' or '..'"
        )
    return place


def _azure(scheme: str, container: str | None, host: str, prefix: str) -> Place:
    named = _AZURE_HOST.fullmatch(host.lower())
    if container is None or ":" in container or named is None:
        raise PermanentError(
            f"not_found: {scheme}://…{host}: write {scheme}://CONTAINER@ACCOUNT."
            f"{'dfs' if scheme == 'abfss' else 'blob'}.core.windows.net/PREFIX"
        )
    return Place("azure", container, prefix, scheme, host=host.lower())
