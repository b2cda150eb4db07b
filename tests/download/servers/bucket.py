"""A bucket of a real server on loopback, as tests see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import attrs


@attrs.frozen
class Bucket:
    """`url` is the server's, `ref` the reference of the bucket and `missing` of one that is not.

    `environment` is that of somebody who may read it, `wrong` that of somebody who may not (empty
    where the server does not check); `secret` is in the first and must never be seen anywhere.
    `put` uploads an object under a key.
    """

    kind: Literal["s3", "gs", "azure"]
    url: str
    ref: str
    missing: str
    environment: Mapping[str, str]
    wrong: Mapping[str, str]
    secret: str
    put: Callable[[str, bytes], None]

    def through(self, proxy: str) -> dict[str, str]:
        """The environment of somebody whose requests go to a proxy before the server."""
        return {name: text.replace(self.url, proxy) for name, text in self.environment.items()}

    def write(self, prefix: str, files: Mapping[str, bytes]) -> str:
        """Upload files below a prefix; its reference."""
        for path, data in files.items():
            self.put(f"{prefix}/{path}", data)
        return f"{self.ref}/{prefix}"
