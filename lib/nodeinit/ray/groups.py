"""Making and removing Ray's placement groups, one blocking call at a time, by id."""

from __future__ import annotations

import math
from typing import Any

import ray
from ray.util import placement_group, remove_placement_group
from ray.util.placement_group import PlacementGroup

from nodeinit.errors import PermanentError, TemporaryError
from nodeinit.frozen import thaw
from nodeinit.placement.topology import UNIT, Pin, PlacementPlan


def create(plan: PlacementPlan, name: str) -> str:
    """Ask for a group, pinned as the plan says; answers its id, before it is placed.

    The group ends with the job of this process at the latest. Raises `TemporaryError` when a group
    of that name is there, `PermanentError` for a plan that Ray does not take.
    """
    pinned_together = plan.strategy == "STRICT_PACK" and plan.pin is not Pin.NONE
    try:
        group = placement_group(
            [
                {name: exact(value) for name, value in bundle.resources.items()}
                for bundle in plan.bundles
            ],
            strategy=plan.strategy,
            name=name,
            # Older versions (2.51) look at no label when all bundles go to one host, only at this.
            _soft_target_node_id=plan.node_ids[0] if pinned_together else None,
            bundle_label_selector=[thaw(selector) for selector in plan.selectors],
        )
    except (TypeError, ValueError) as error:
        raise PermanentError(f"Ray does not take the placement group {name}: {error}") from error
    except ray.exceptions.RaySystemError as error:
        raise TemporaryError(f"Ray did not create the placement group {name}: {error}") from error
    return str(group.id.hex())


def remove(group_id: str) -> None:
    """Tell Ray to remove a group; one that is gone is fine. Its resources come back a bit later."""
    remove_placement_group(handle(group_id))


def id_of(group: Any) -> str:
    """The id of a group, given its handle: anything with an `id` that has a `hex`."""
    found: Any = getattr(group, "id", None)
    text = found.hex() if hasattr(found, "hex") else found
    if not isinstance(text, str) or len(text) != 36 or set(text) - set("0123456789abcdef"):
        raise PermanentError(
            f"{group!r} is not a placement group of Ray; "
            "set ctx.placement_group to what ray.util.placement_group() answered"
        )
    return text


def handle(group_id: str) -> PlacementGroup:
    """What Ray's API takes for a group."""
    return PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group_id)))


def exact(value: int) -> float:
    """The amount that Ray, which truncates, makes this very fixed-point value of."""
    amount = value / UNIT
    return amount if math.trunc(amount * UNIT) == value else math.nextafter(amount, math.inf)
