"""How much of a callback is tried."""

from __future__ import annotations

import attrs

from nodeinit.errors import ConfigError, Fault


@attrs.frozen
class Profile:
    """How much is tried: single faults in `worlds` and chance, `sequences` of them in all.

    After these come all sequences in `explored` of the small worlds of `nodeinit.testing.exploring`,
    with so many `retries`, until nothing new comes, or `most` of them were run: a callback that keeps
    times in its instances is never twice the same. Every `again`-th scenario is also run a second
    time, and once with every hook called twice. The cap (seconds) is for machines that hang: a run
    that it cuts short is inconclusive. After a failure so many more sequences (`after_failure`) look
    for what else is broken.
    """

    name: str
    worlds: int
    sequences: int
    explored: int = 0
    retries: int = 2
    most: int = 20_000
    again: int = 50
    cap: float = 600.0
    after_failure: int = 150


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("quick", 1, 500),
        Profile("default", 5, 2_500, explored=5),
        Profile("ci", 5, 20_000, explored=5, again=25),
        Profile("nightly", 5, 200_000, explored=5, retries=3, again=25, cap=7_200.0),
    )
}


def profile_of(found: str | Profile) -> Profile:
    """A profile, given itself or its name. Raises `ConfigError` for a name that is not known."""
    if isinstance(found, Profile):
        return found
    if found not in PROFILES:
        raise ConfigError(Fault("profile", "is not known", found, f"use {', '.join(PROFILES)}"))
    return PROFILES[found]
