"""A check never reaches a real Ray: it would connect to one, or start one, in a user's tests."""

from __future__ import annotations

import ray
import ray.util

from nodeinit import CallbackCtx
from nodeinit.testing import check_callback


class Looks:
    """Asks for what a check answers."""

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        rows = ray.util.placement_group_table()
        assert all(row["state"] == "CREATED" for row in rows.values())
        return ctx.evolve(custom_data=ctx.custom_data.set("groups", len(rows)))


class AsksForMore:
    """Asks for what only a real Ray knows."""

    def on_before_download(self, ctx: CallbackCtx) -> None:
        ray.get(ray.put(1))


def test_the_groups_of_the_cluster_are_those_in_memory() -> None:
    assert check_callback(Looks, profile="quick", on_fail="return").ok
    assert not ray.is_initialized()


def test_what_is_not_answered_fails_and_starts_nothing() -> None:
    report = check_callback(AsksForMore, profile="quick", on_fail="return")
    assert not report.ok
    assert not ray.is_initialized()
