"""Placement groups as Ray's table has them. Blocking calls.

The rows are read as Ray's head sends them, and not through `placement_group_table`: that one makes
a dictionary of every row, and Ray keeps the rows of removed groups for as long as it lives.
"""

from __future__ import annotations

import functools
from typing import Any

import attrs
import ray
from ray.core.generated import common_pb2, gcs_pb2

from nodeinit.placement.topology import Bundle, Group, PlacedBundle, Placement, reported
from nodeinit.ray.accessor import accessor

CREATED, REMOVED, RESCHEDULING = "CREATED", "REMOVED", "RESCHEDULING"

QUEUED, INFEASIBLE = "QUEUED", "INFEASIBLE"
"""In `Row.reason`: the first try is not over; some bundle fits no host, so there are no more tries."""

_Data = gcs_pb2.PlacementGroupTableData
_Reason = gcs_pb2.PlacementGroupStats.SchedulingState


@attrs.frozen
class Row:
    """A group as Ray's table has it.

    `state` is PENDING, PREPARED, CREATED, RESCHEDULING or REMOVED; `tries` counts how often Ray began
    to place it, and `reason` says how the last try ended. `node_ids` has `None` for a bundle without
    host. `job_id` is the job that made it, `created` when (Unix time, seconds).
    """

    group_id: str
    name: str
    state: str
    reason: str
    tries: int
    strategy: str
    bundles: tuple[Bundle, ...]
    node_ids: tuple[str | None, ...]
    job_id: str
    created: float

    @functools.cached_property
    def group(self) -> Group:
        """The group as a snapshot shows it, always the same object."""
        return Group(
            self.group_id, self.name, self.state, self.bundles, self.strategy, self.node_ids
        )

    def as_placement(self, *, adopted: bool) -> Placement:
        """The placement of a group all of whose bundles have a host."""
        bundles = tuple(
            PlacedBundle(index, node_id or "", bundle.units())
            for index, (bundle, node_id) in enumerate(zip(self.bundles, self.node_ids, strict=True))
        )
        return Placement(self.group_id, self.name, self.strategy, self.state, bundles, adopted)


def read(group_id: str) -> Row | None:
    """A group by its id; `None` when Ray does not know it (any more)."""
    found = accessor().get_placement_group_info(ray.PlacementGroupID(bytes.fromhex(group_id)))
    return _row(_Data.FromString(found)) if found else None


class LiveRows:
    """Reads all groups that are not removed; a row that has not changed is the object it was."""

    def __init__(self) -> None:
        self._known: dict[bytes, Row] = {}

    def read(self) -> tuple[Row, ...]:
        """The rows now, in order of group id."""
        rows: dict[bytes, Row] = {}
        for found in accessor().get_placement_group_table():
            known = self._known.get(found)
            if known is None and (data := _Data.FromString(found)).state != _Data.REMOVED:
                known = _row(data)
            if known is not None:
                rows[found] = known
        self._known = rows
        return tuple(sorted(rows.values(), key=lambda row: row.group_id))


def _row(data: Any) -> Row:
    bundles = sorted(data.bundles, key=lambda bundle: bundle.bundle_id.bundle_index)
    return Row(
        group_id=data.placement_group_id.hex(),
        name=data.name,
        state=_Data.PlacementGroupState.Name(data.state),
        reason=_Reason.Name(data.stats.scheduling_state),
        tries=data.stats.scheduling_attempt,
        strategy=common_pb2.PlacementStrategy.Name(data.strategy),
        bundles=tuple(
            Bundle({name: reported(units) for name, units in bundle.unit_resources.items()})
            for bundle in bundles
        ),
        node_ids=tuple(bundle.node_id.hex() or None for bundle in bundles),
        job_id=data.creator_job_id.hex(),
        created=data.placement_group_creation_timestamp_ms / 1000,
    )
