"""The versions that are installed, and what works with them. Imports none of what it looks for."""

from __future__ import annotations

import importlib.util
import platform
import re
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from nodeinit.cli.doctoring.finding import Finding, bad, ok, warn

OLDEST, NEWEST = (2, 51), (2, 60)
"""The first and the last minor version of Ray that nodeinit was tried with."""

# (from this Ray on, what works, what it is for)
_SINCE = (
    ((2, 51), "the callback in ray.serve.llm"),
    ((2, 54), "groups of one's own in ray.serve.llm (own_group)"),
)
_EXTRAS = (
    ("libtorrent", "swarm", "hosts that give each other the files"),
    ("opentelemetry", "otel", "OpenTelemetry spans"),
    ("hypothesis", "testing", "nodeinit check"),
    ("vllm", "llm", "the engine of ray.serve.llm"),
)


def software() -> Iterator[Finding]:
    """How the installed software is."""
    yield ok(f"nodeinit {_version('nodeinit')}, Python {platform.python_version()}")
    yield from _ray(_version("ray"))
    unmet = [*_unmet()]
    for name, wanted, found in unmet:
        has = f"{name} {found} is installed" if found else f"{name} is not installed"
        yield bad(f"{has}, nodeinit needs {name}{wanted}", f"pip install '{name}{wanted}'")
    if not unmet:
        yield ok("every package that nodeinit needs is there, in a version that it takes")
    there = [f"{what} ({extra})" for module, extra, what in _EXTRAS if _has(module)]
    lacking = [f"{what} (nodeinit[{extra}])" for module, extra, what in _EXTRAS if not _has(module)]
    if there:
        yield ok(f"extras: {', '.join(there)}")
    if lacking:
        yield ok(f"extras that are not installed: {', '.join(lacking)}")


def _ray(version: str | None) -> Iterator[Finding]:
    oldest, newest = (f"{major}.{minor}" for major, minor in (OLDEST, NEWEST))
    remedy = f"pip install 'ray[serve]>={oldest},<={newest}.*'"
    minor = re.match(r"(\d+)\.(\d+)", version or "")
    if version is None or minor is None:
        yield bad("Ray is not installed", remedy)
        return
    number = int(minor[1]), int(minor[2])
    works = [what for since, what in _SINCE if number >= since]
    says = f"Ray {version}: {', '.join(works)}" if works else f"Ray {version}"
    if number < OLDEST:
        yield bad(f"{says} is older than {oldest}, the first that nodeinit works with", remedy)
    elif number > NEWEST:
        says += f"; nodeinit was tried with {oldest} to {newest}"
        yield warn(says, "if something is odd there, try it with the newest of these first")
    else:
        yield ok(says)


def _unmet() -> Iterator[tuple[str, str, str | None]]:
    """What nodeinit requires and does not find: the name, the versions wanted, the one found."""
    for line in _requires():
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _version(requirement.name)
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            yield requirement.name, str(requirement.specifier), found


def _requires() -> list[str]:
    try:
        return metadata.requires("nodeinit") or []
    except metadata.PackageNotFoundError:  # run from its sources
        return []


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
