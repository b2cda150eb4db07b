"""The cluster that a plan is made for: one that was saved in a file, or a live one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from nodeinit.cli.where import where_of
from nodeinit.placement.topology import ClusterSnapshot


def snapshot_of(options: Mapping[str, Any]) -> ClusterSnapshot:
    """The cluster that `--cluster`, `--address` or `--hosts` mean, as it is.

    Raises `click.UsageError` for options that do not go together.
    """
    where = where_of(options)
    if options["cluster"] is None:
        from nodeinit.cli.observe import observed

        return observed(where)
    if options["address"] is not None or options["hosts"] is not None:
        problem = "--cluster is a saved cluster, so it goes with neither --address nor --hosts"
        raise click.UsageError(problem)
    from nodeinit.placement.snapshot_file import read_snapshot, with_plenty

    return with_plenty(read_snapshot(options["cluster"]))
