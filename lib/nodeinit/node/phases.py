"""The names of the standard machine's phases and of what they hold."""

from __future__ import annotations

import enum


class NodePhase(enum.StrEnum):
    """The phases of bringing up a node, in order."""

    CONFIG = "config"
    DOWNLOAD = "download"
    PLACEMENT = "placement"


class Holding(enum.StrEnum):
    """The kinds of things that the standard activities acquire."""

    FETCH = "fetch"  # work on a host that brings files there
    GROUP = "group"  # a placement group of ours
