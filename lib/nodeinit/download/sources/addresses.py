"""The address of an object: where a plain GET may be sent that needs nothing besides.

`obstore` knows the credentials of every cloud and signs with them; the bytes then come without it.
Where signing would ask a server each time (a token of Google's or Microsoft's instead of a key) or
cannot be done, there is no address, and `obstore` itself reads. An address is a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nodeinit.download.sources.places import Place

_VALID = timedelta(minutes=15)  # of a signature; clocks may differ
_PLAIN = re.compile(r"[A-Za-z0-9/._~-]+")


def address(place: Place, store: Any, key: str) -> str | None:
    """The URL of an object of a bucket, good for 15 minutes; `None` if there is none.

    Lets errors of `obstore` through: credentials that cannot be had.
    """
    import obstore

    config: Mapping[str, Any] = store.config
    if str(config.get("skip_signature", "")).lower() == "true":
        return plain_address(place, config, key)
    match place.kind:
        case "s3":
            can_sign = not _is_set(config, "request_payer")
        case "gs":
            can_sign = _has_service_account(config)
        case _:
            if config.get("sas_key"):
                return f"{plain_address(place, config, key)}?{str(config['sas_key']).lstrip('?')}"
            # Other names are signed wrongly there.
            can_sign = bool(config.get("account_key") and _PLAIN.fullmatch(key))
    return obstore.sign(store, "GET", key, _VALID) if can_sign else None


def plain_address(place: Place, config: Mapping[str, Any], key: str) -> str:
    """The URL of an object without any signature."""
    path = quote(key, safe="/-._~")
    match place.kind:
        case "s3":
            region = config.get("region") or "us-east-1"
            endpoint = _first(config, "endpoint_url_s3", "endpoint", "endpoint_url")
            virtual = _is_set(config, "virtual_hosted_style_request")
            if virtual:
                base = endpoint or f"https://{place.bucket}.s3.{region}.amazonaws.com"
            else:
                base = f"{endpoint or f'https://s3.{region}.amazonaws.com'}/{place.bucket}"
        case "gs":
            base = (
                f"{_first(config, 'base_url') or 'https://storage.googleapis.com'}/{place.bucket}"
            )
        case _:
            host = f"https://{place.account}.blob.core.windows.net"
            base = f"{_first(config, 'endpoint') or host}/{place.bucket}"
    return f"{base}/{path}"


def _first(config: Mapping[str, Any], *names: str) -> str:
    return next((str(config[name]).rstrip("/") for name in names if config.get(name)), "")


def _is_set(config: Mapping[str, Any], name: str) -> bool:
    return str(config.get(name, "")).lower() in ("true", "1", "requester")


def _has_service_account(config: Mapping[str, Any]) -> bool:
    """Whether there is a private key of Google's to sign with, here."""
    if config.get("service_account_key"):
        return True
    file = config.get("service_account") or config.get("application_credentials")
    try:
        return bool(file) and "private_key" in json.loads(Path(str(file)).read_bytes())
    except (OSError, ValueError, TypeError):
        return False
