"""Who may be spoken to without encryption: this host itself, and others only when a config says so."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from nodeinit.config.parts import DownloadSettings
from nodeinit.errors import PermanentError


def is_plain(url: str) -> bool:
    """Whether a URL is `http://`."""
    return url[:7].lower() == "http://"


def check_scheme(url: str, name: str, settings: DownloadSettings) -> None:
    """Raise `PermanentError` for a URL that is not HTTP(S), or is plain HTTP to another host.

    `name` is what the URL was given by. An empty URL was not given.
    """
    if not url or url[:8].lower() == "https://":
        return
    host = _host(url)
    if not is_plain(url) or host is None:
        raise PermanentError(f"unsupported: {name} is not a URL of the kind https://HOST")
    if settings.allow_http or _is_loopback(host):
        return
    raise PermanentError(
        f"unsupported: {name} is plain http to {host}: everybody on the way can change the model; "
        "use https, or set experimental_configs.nodeinit.download.allow_http"
    )


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
