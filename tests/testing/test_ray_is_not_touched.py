"""A check never reaches a real Ray: it would connect to one, or start one, in a user's tests."""

from __future__ import annotations

import subprocess
import sys

import ray
import ray.util

from nodeinit import CallbackCtx
from nodeinit.testing import check_callback

# Elsewhere in this run of pytest a Ray may be up; there is none in a process of its own.
ALONE = """
import ray
from nodeinit.testing import check_callback
from tests.testing.test_ray_is_not_touched import {name}
report = check_callback({name}, profile="quick", on_fail="return")
print(report.ok, ray.is_initialized())
"""


class Looks:
    """Asks for what a check answers."""

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        rows = ray.util.placement_group_table()
        # One of somebody else may just have lost its host.
        assert all(row["state"] in ("CREATED", "RESCHEDULING") for row in rows.values())
        return ctx.evolve(custom_data=ctx.custom_data.set("groups", len(rows)))


class AsksForMore:
    """Asks for what only a real Ray knows."""

    def on_before_download(self, ctx: CallbackCtx) -> None:
        ray.get(ray.put(1))


def alone(name: str) -> str:
    """Whether the check of a callback is passed, and whether there is a Ray then."""
    program = [sys.executable, "-c", ALONE.format(name=name)]
    return subprocess.run(program, capture_output=True, text=True, check=True).stdout.strip()


def test_the_groups_of_the_cluster_are_those_in_memory() -> None:
    assert check_callback(Looks, profile="quick", on_fail="return").ok
    assert alone("Looks") == "True False"


def test_what_is_not_answered_fails_and_starts_nothing() -> None:
    assert alone("AsksForMore") == "False False"
