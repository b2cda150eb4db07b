"""Which placement group a node under `ray.serve.llm` uses: Serve's, or one of our own.

Both are told to the machine by callbacks of ours around the user's: the first says what there is,
the last sees to it that the user's hooks did not ask for the same GPUs a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import ray

from nodeinit.context import CallbackCtx
from nodeinit.errors import PermanentError
from nodeinit.placement.labels import NODE_ID
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import UNIT, Placement
from nodeinit.ray.groups import id_of

_OWN = (
    "reserve nothing with Serve instead: placement_group_config: {bundles: [{CPU: 1}]}, "
    "accelerator_config: {kind: gpu}, and callback_kwargs: {own_group: true}"
)


class AdoptsServesGroup:
    """The node's group is the one that Serve reserved for the replica."""

    def __init__(self, group: Any, runtime_env: Mapping[str, Any] | None) -> None:
        self._group = group
        self._runtime_env = runtime_env

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        """Before the user's hooks: they see the group, as hooks of Ray do."""
        return ctx.evolve(placement_group=self._group, runtime_env=self._runtime_env)


class KeepsServesGroup:
    """No other group beside the one that Serve reserved: that would hold the GPUs twice."""

    def __init__(self, group: Any) -> None:
        self._group_id = id_of(group)

    def on_before_init(self, ctx: CallbackCtx) -> None:
        """After the user's hook."""
        self._check(ctx, "on_before_init")

    def on_before_download(self, ctx: CallbackCtx) -> None:
        """After the user's hook."""
        self._check(ctx, "on_before_download")

    def on_before_placement(self, ctx: CallbackCtx) -> None:
        """After the user's hook."""
        self._check(ctx, "on_before_placement")

    def _check(self, ctx: CallbackCtx, hook: str) -> None:
        asked = ctx.placement_group
        if not isinstance(asked, PlacementRequest | None) and id_of(asked) == self._group_id:
            return
        what = "another placement group" if asked is not None else "no placement group"
        raise PermanentError(
            f"{hook} of a callback asks for {what}, but Serve has reserved {self._group_id} for "
            f"this replica already, and the node would hold both; leave ctx.placement_group as it "
            f"is, or {_OWN}"
        )


class ReservesOwnGroup:
    """The node reserves its own group, with the engine's bundle on the replica's host."""

    def __init__(self, request: PlacementRequest, runtime_env: Mapping[str, Any] | None) -> None:
        first, *others = request.bundles
        here = attrs.evolve(first, labels=first.labels.set(NODE_ID, _this_host()))
        self._request = attrs.evolve(request, bundles=(here, *others))
        self._runtime_env = runtime_env

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        """Before the user's hooks: they may ask for something else."""
        return ctx.evolve(placement_group=self._request, runtime_env=self._runtime_env)

    def on_after_init(self, ctx: CallbackCtx) -> None:
        """Before the user's hook: what that hears is true."""
        assert ctx.placement is not None
        check_engine_at_home(ctx.placement)


def check_engine_at_home(placement: Placement) -> None:
    """Raise `PermanentError` unless a bundle of a placement is on this host.

    vLLM refuses a group without a bundle on the host of the engine's own process, the replica.
    """
    here = _this_host()
    if here not in placement.hosts:
        raise PermanentError(
            f"the engine runs on host {here}, where the placement group {placement.name} has no "
            "bundle, which vLLM does not accept; ask for the first bundle there, or pin the replica "
            "with deployment_config.ray_actor_options"
        )


def check_nothing_reserved(group: Any) -> None:
    """Raise `PermanentError` when Serve holds devices for this replica: ours would be held twice."""
    if group is None:
        return
    held = {
        name: amount
        for bundle in ray.util.placement_group_table(group).get("bundles", {}).values()
        for name, amount in bundle.items()
        if name in ("GPU", "TPU") and amount * UNIT >= 1
    }
    if held:
        listed = ", ".join(sorted(held))
        raise PermanentError(
            f"own_group: Serve has reserved {listed} for this replica already, and a group of our "
            f"own would hold them twice; {_OWN}"
        )


def _this_host() -> str:
    return str(ray.get_runtime_context().get_node_id())
