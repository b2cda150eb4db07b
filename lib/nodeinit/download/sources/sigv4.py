"""Signed addresses of S3 for requests with headers of ours, which those that `obstore` signs cannot have.

AWS Signature Version 4 in the query, as docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
has it. It needs the keys themselves; where a role gives them, `obstore` keeps them to itself.
"""  # noqa: E501

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlsplit

import attrs

_ALGORITHM = "AWS4-HMAC-SHA256"


@attrs.frozen
class Keys:
    """Whose signature it is, and where it is good."""

    access_key: str
    secret_key: str = attrs.field(repr=False)
    token: str = attrs.field(default="", repr=False)
    region: str = "us-east-1"


def signed(
    url: str, keys: Keys, headers: Mapping[str, str], valid: int, now: datetime, method: str = "GET"
) -> str:
    """A URL that anybody may ask for with these `headers` (names in lower case).

    `url` has its path quoted already. The signature is good for `valid` seconds from `now` (UTC) on.
    """
    parts = urlsplit(url)
    day, moment = f"{now:%Y%m%d}", f"{now:%Y%m%dT%H%M%SZ}"
    scope = f"{day}/{keys.region}/s3/aws4_request"
    signs = {"host": parts.netloc, **headers}
    names = ";".join(sorted(signs))
    given = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{keys.access_key}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(valid),
        "X-Amz-SignedHeaders": names,
        **({"X-Amz-Security-Token": keys.token} if keys.token else {}),
    }
    query = "&".join(f"{name}={quote(given[name], safe='')}" for name in sorted(given))
    lines = [f"{name}:{signs[name]}" for name in sorted(signs)]
    whole = [method, parts.path, query, *lines, "", names, "UNSIGNED-PAYLOAD"]
    request = hashlib.sha256("\n".join(whole).encode()).hexdigest()
    key = f"AWS4{keys.secret_key}".encode()
    for word in (day, keys.region, "s3", "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    text = "\n".join([_ALGORITHM, moment, scope, request])
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"{url}?{query}&X-Amz-Signature={signature}"
