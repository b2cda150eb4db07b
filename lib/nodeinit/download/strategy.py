"""Who fetches from the origin: every host, one for all, or each what the others do not have. Pure.

choice = choose("auto", manifest.source, found)
choice.strategy, choice.reason
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

import attrs

from nodeinit.errors import PermanentError

AUTO = "auto"
"""The setting that leaves the choice to `choose`."""

FEW = 2
"""So many hosts fetch from the origin each for itself: to organise more costs more than it saves."""


class Strategy(enum.StrEnum):
    """How the files of a model get from their origin to several hosts."""

    DIRECT = "direct"
    SHARED = "shared"
    SWARM = "swarm"
    EXTERNAL = "external"


@attrs.frozen
class Found:
    """What one host found before anything is fetched.

    `lacks` is in bytes. `mirror` is the variable that sends what it fetches to a mirror or a proxy,
    empty where none does. `sees_store` says that it sees what the first host wrote into its store.
    `no_swarm` is why it cannot take part in one, empty when it can.
    """

    host: str
    lacks: int
    mirror: str = ""
    sees_store: bool = False
    no_swarm: str = ""


@attrs.frozen
class Choice:
    """A strategy, and why."""

    strategy: Strategy
    reason: str

    def __str__(self) -> str:
        return f"{self.strategy}: {self.reason}"


def choose(setting: str, source: str, found: Sequence[Found]) -> Choice:
    """The strategy for these hosts, as the setting demands or, with `auto`, as fits them best.

    Raises `PermanentError` when the hosts do not share a store although the setting says so. A swarm
    that cannot be is no error: it may only make faster what works without.
    """
    hosts = f"{len(found)} hosts" if len(found) != 1 else "one host"
    lacking = [one for one in found if one.lacks]
    if not lacking:
        return Choice(Strategy.DIRECT, f"{hosts}, and nothing to fetch")
    strangers = [one.host for one in found[1:] if not one.sees_store]
    shares = len(found) > 1 and not strangers
    match setting:
        case Strategy.DIRECT:
            return Choice(Strategy.DIRECT, "the config says so")
        case Strategy.EXTERNAL:
            mirror = next((one.mirror for one in found if one.mirror), "")
            named = f"; {mirror} names where" if mirror else ""
            return Choice(Strategy.EXTERNAL, f"the config says so{named}")
        case Strategy.SHARED:
            if strangers:
                raise PermanentError(
                    f"unsupported: strategy 'shared', but {strangers[0]} does not see the store of "
                    f"{found[0].host}; mount the store on every host, or use another strategy"
                )
            return Choice(Strategy.SHARED, "the config says so; one host fetches")
        case Strategy.SWARM:
            return _swarm(found, "the config says so")
    if shares:
        return Choice(Strategy.SHARED, f"all {len(found)} hosts see one store; one of them fetches")
    mirrors = [one.mirror for one in lacking]
    if all(mirrors):
        return Choice(Strategy.EXTERNAL, f"{mirrors[0]} names a mirror; every host fetches from it")
    if len(found) <= FEW:
        return Choice(Strategy.DIRECT, f"only {hosts}")
    scheme = _scheme(source)
    if scheme in ("", "file"):
        return Choice(Strategy.DIRECT, "every host reads the source where it lies")
    if scheme in _BUCKETS:
        return Choice(
            Strategy.DIRECT,
            f"{scheme}:// serves all hosts of its region at full speed "
            "(strategy 'swarm' is for a bucket that is far away)",
        )
    origin = "the Hub" if scheme == "hf" else f"{scheme}://"
    return _swarm(found, f"{hosts} fetch from {origin}: each byte leaves it once")


_BUCKETS = ("s3", "gs", "gcs", "az", "azure", "abfs", "abfss")

_ENDPOINTS = {
    "hf": ("HF_ENDPOINT",),
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
}
_HOMES = ("huggingface.co", "amazonaws.com")
_PROXIES = {"http": ("http_proxy",)}  # HTTPS everywhere else


def mirror_of(source: str, environ: Mapping[str, str]) -> str:
    """Which environment variable sends what is fetched from a source elsewhere; empty if none."""
    scheme = _scheme(source)
    if scheme in ("", "file"):
        return ""
    if scheme == "hf" and "endpoint" in parse_qs(urlsplit(source).query):
        return "HF_ENDPOINT"  # of the driver: a reference is pinned to its hub
    for name in _ENDPOINTS.get(scheme, ()):
        host = urlsplit(environ.get(name, "")).hostname or ""
        if host and not host.endswith(_HOMES):
            return name
    bypassed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if _matches(urlsplit(source).hostname or "", bypassed):
        return ""
    for name in _PROXIES.get(scheme, ("https_proxy",)):
        for variable in (name, name.upper()):
            if environ.get(variable):
                return variable
    return ""


def _scheme(source: str) -> str:
    """The scheme of a manifest's source: `pyarrow-s3` is `s3`."""
    return urlsplit(source).scheme.lower().removeprefix("pyarrow-")


def _matches(host: str, bypassed: str) -> bool:
    entries = [entry.strip().lstrip(".") for entry in bypassed.split(",")]
    return "*" in entries or any(
        entry and (host == entry or host.endswith(f".{entry}")) for entry in entries
    )


def _swarm(found: Sequence[Found], reason: str) -> Choice:
    if len(found) == 1:
        return Choice(Strategy.DIRECT, "a swarm of one host is none")
    for one in found:
        if one.no_swarm:
            return Choice(Strategy.DIRECT, f"no swarm, as on {one.host} {one.no_swarm}")
    return Choice(Strategy.SWARM, reason)
