"""Ray's placement groups, one blocking call at a time, by id and never by handle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
import ray
from ray.util import placement_group, placement_group_table, remove_placement_group
from ray.util.placement_group import PlacementGroup

from nodeinit.errors import PermanentError, TemporaryError
from nodeinit.frozen import thaw
from nodeinit.placement.topology import (
    UNIT,
    Bundle,
    Group,
    PlacedBundle,
    Placement,
    PlacementPlan,
    reported,
)

NODE_ID = "ray.io/node-id"
"""The label that every host of Ray has."""

CREATED, REMOVED, RESCHEDULING = "CREATED", "REMOVED", "RESCHEDULING"

QUEUED, INFEASIBLE = "QUEUED", "INFEASIBLE"
"""In `Row.reason`: the first try is not over; some bundle fits no host, so there are no more tries."""


@attrs.frozen
class Row:
    """A group as Ray's table has it.

    `state` is PENDING, PREPARED, CREATED, RESCHEDULING or REMOVED; `tries` counts how often Ray began
    to place it, and `reason` says how the last try ended. `node_ids` has `None` for a bundle without
    host.
    """

    group_id: str
    name: str
    state: str
    reason: str
    tries: int
    strategy: str
    bundles: tuple[Bundle, ...]
    node_ids: tuple[str | None, ...]

    def as_group(self) -> Group:
        """The group as a snapshot shows it."""
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


def create(plan: PlacementPlan, name: str) -> str:
    """Ask for a group with every bundle pinned to its host; answers its id, before it is placed.

    The group ends with the job of this process at the latest. Raises `TemporaryError` when a group
    of that name is there, `PermanentError` for a plan that Ray does not take.
    """
    try:
        group = placement_group(
            [
                {name: _exact(value) for name, value in bundle.resources.items()}
                for bundle in plan.bundles
            ],
            strategy=plan.strategy,
            name=name,
            # Older versions (2.51) look at no label when all bundles go to one host, only at this.
            _soft_target_node_id=plan.node_ids[0] if plan.strategy == "STRICT_PACK" else None,
            bundle_label_selector=[
                {**thaw(bundle.labels), NODE_ID: node_id}
                for bundle, node_id in zip(plan.bundles, plan.node_ids, strict=True)
            ],
        )
    except (TypeError, ValueError) as error:
        raise PermanentError(f"Ray does not take the placement group {name}: {error}") from error
    except ray.exceptions.RaySystemError as error:
        raise TemporaryError(f"Ray did not create the placement group {name}: {error}") from error
    return str(group.id.hex())


def read(group_id: str) -> Row | None:
    """A group by its id; `None` when Ray does not know it (any more)."""
    row = placement_group_table(_handle(group_id))
    return _row(row) if row else None


def live() -> list[Row]:
    """All groups of the cluster that are not removed."""
    rows = [_row(row) for row in placement_group_table().values()]
    return [row for row in rows if row.state != REMOVED]


def remove(group_id: str) -> None:
    """Tell Ray to remove a group; one that is gone is fine. Its resources come back a bit later."""
    remove_placement_group(_handle(group_id))


def id_of(handle: Any) -> str:
    """The id of a group, given a handle: anything with an `id` that has a `hex`."""
    found: Any = getattr(handle, "id", None)
    text = found.hex() if hasattr(found, "hex") else found
    if not isinstance(text, str) or len(text) != 36 or set(text) - set("0123456789abcdef"):
        raise PermanentError(
            f"{handle!r} is not a placement group of Ray; "
            "set ctx.placement_group to what ray.util.placement_group() answered"
        )
    return text


def _handle(group_id: str) -> Any:
    return PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group_id)))


def _row(row: Mapping[str, Any]) -> Row:
    indexes = sorted(row["bundles"])
    return Row(
        group_id=row["placement_group_id"],
        name=row["name"],
        state=row["state"],
        reason=row["stats"]["scheduling_state"],
        tries=row["stats"]["scheduling_attempt"],
        strategy=row["strategy"],
        bundles=tuple(
            Bundle({name: reported(amount) for name, amount in row["bundles"][index].items()})
            for index in indexes
        ),
        node_ids=tuple(row["bundles_to_node_id"].get(index) or None for index in indexes),
    )


def _exact(value: int) -> float:
    """The amount that Ray, which truncates, makes this very fixed-point value of."""
    amount = value / UNIT
    return amount if math.trunc(amount * UNIT) == value else math.nextafter(amount, math.inf)
