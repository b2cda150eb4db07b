"""Strategies that the tests of several packages share: those of the test kit, and hosts by hand."""

from __future__ import annotations

from nodeinit.testing.by_hand import group, host
from nodeinit.testing.strategies import KINDS, ZONES, mixed_requests, requests
from nodeinit.testing.strategies import clusters as snapshots

__all__ = ["KINDS", "ZONES", "group", "host", "mixed_requests", "requests", "snapshots"]
