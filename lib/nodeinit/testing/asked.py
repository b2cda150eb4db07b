"""Judging what a hook asks for: whether the workers have room in it, and whether it obeys the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from nodeinit.clusters.gcs import PENDING, QUEUED
from nodeinit.clusters.simulated import SimCluster, SimGroup
from nodeinit.context import CallbackCtx
from nodeinit.errors import ConfigError
from nodeinit.node.planning import is_adopted, request_of
from nodeinit.placement.explain import Infeasible
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import Violation, violations
from nodeinit.placement.topology import Bundle, PlacedBundle, Placement, PlacementPlan
from nodeinit.testing.fake_ray import FakeGroup
from nodeinit.testing.watched import Call

Found = tuple[str, str]
"""The id of a check, and how it is broken."""

_SIZES = {"tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"}
_SHAPE = {"bundle_count", "no_bad_amounts", "amounts_cover_request"}
_TOGETHER = {"tp_groups_whole", "ranks_stay_whole"}
_MEANT = _TOGETHER | {"accelerator_matches", "one_domain"}
_IDS = {
    "P1-bundles": _SHAPE,
    "P2-assign": {"placement_complete", "group_created", "name_unique"},
    "P3-alive": {"hosts_alive"},
    "P4-label": {"accelerator_matches", "labels_match", "one_domain", "model_present"},
    "P5-capacity": {
        "gpus_not_oversubscribed",
        "other_resources_fit",
        "groups_fit_hosts",
        "gpu_ids_distinct",
    },
}


def check_of(violation: Violation, strategy: str = "") -> str:
    """The check that a broken rule of a placement belongs to."""
    name = violation.rule.name
    if name == "strategy_honoured":
        return "P6-pack" if strategy.endswith("PACK") else "P7-spread"
    return next((check for check, rules in _IDS.items() if name in rules), "P8-order")


def judge_asked(call: Call, cluster: SimCluster) -> Iterator[Found]:
    """What is wrong with the placement that a hook asks for; nothing when it asks for none.

    What a hook wants is its own business: only what can never serve the workers of the config is
    wrong. Of a group that it made through Ray, where the bundles lie is Ray's choice: the engine
    refuses a bad one, with its reason, and the hook is not to blame. What the bundles are is its own.
    """
    after = call.after
    if after is None or after.placement_group is call.before.placement_group:
        return
    asked = after.placement_group
    if asked is None or _SIZES & set(after.extra_init_kwargs):
        return
    if isinstance(asked, PlacementRequest):
        yield from _judge_request(call, after, asked, cluster)
    else:
        yield from _judge_group(after, cluster)


def judge_reservation(ctx: CallbackCtx, cluster: SimCluster) -> Iterator[Found]:
    """A group that a hook handed over, at the moment when the workers are about to be placed."""
    if is_adopted(ctx) and not _SIZES & set(ctx.extra_init_kwargs):
        for _, how in _judge_group(ctx, cluster):
            yield "R5-reserve", f"when the workers are placed: {how}"


def judge_refusal(call: Call, cluster: SimCluster) -> Iterator[Found]:
    """A hook that says that there is no room, where the complete planner finds some."""
    found = plan(request_of(call.before), cluster.now())
    if isinstance(found, PlacementPlan):
        hosts = ", ".join(found.hosts)
        yield "H12-refused", f"says that there is no room, but there is: on {hosts}"


def _judge_request(
    call: Call, ctx: CallbackCtx, asked: PlacementRequest, cluster: SimCluster
) -> Iterator[Found]:
    config = ctx.llm_config
    sizes = (config.tensor_parallel_size, config.pipeline_parallel_size)
    workers, each = sizes[0] * sizes[1], asked.world_size // asked.data_parallel_size
    if each != workers:
        yield "P1-bundles", f"asks for {each} worker(s), but the config has {workers}"
        return
    now = cluster.now()
    found = plan(asked, now)
    if isinstance(found, Infeasible):
        fits = isinstance(plan(request_of(call.before), now), PlacementPlan)
        if call.before.attempt > 1 and fits and not found.temporary and found.proven:
            yield (
                "H12-refused",
                f"asks, with a new plan, for what cannot be, while what stood there fits: "
                f"{found.reason}",
            )
        return
    try:
        meant = attrs.evolve(
            asked,
            tensor_parallel_size=sizes[0],
            pipeline_parallel_size=sizes[1],
            accelerator_type=config.accelerator_type or asked.accelerator_type,
            topology=config.nodeinit.topology or asked.topology,
            span_tp=asked.span_tp or bool(config.nodeinit.span_tp),
        )
    except ConfigError:
        return  # shares of GPUs, in another grouping than the config's: the rules say nothing of it
    broken = [v for v in violations(meant, found, now) if v.rule.name in _MEANT]
    yield from _told(broken, asked.strategy)


def _judge_group(ctx: CallbackCtx, cluster: SimCluster) -> Iterator[Found]:
    """A group that a hook hands over: in its shape, and if somebody else made it, in all."""
    handle = ctx.placement_group
    identity = getattr(handle, "id", None)
    found = next((g for g in cluster.groups.values() if g.id == identity), None)
    if found is None:
        yield "P2-assign", "hands over a group that is not there (is it removed?)"
        return
    if found.state == PENDING and found.reason != QUEUED:
        said = "hands over a group for which there is no room (was it waited for?)"
        yield "P2-assign", said
        return
    if not all(at in cluster.hosts and cluster.hosts[at].alive for at in found.node_ids):
        return  # it is being placed, or that may just have happened
    request = PlacementRequest.from_config(ctx.llm_config)
    if isinstance(handle, FakeGroup):
        request = attrs.evolve(request, bundles=tuple(map(_without_hint, request.bundles)))
    broken: Iterable[Violation] = violations(request, placement_of(found), cluster.now())
    if isinstance(handle, FakeGroup):
        # Who asks Ray to spread what must be together has what Ray does with it coming.
        own = _SHAPE | (_TOGETHER if "SPREAD" in found.strategy else set())
        broken = [violation for violation in broken if violation.rule.name in own]
    yield from _told(broken, found.strategy)


def _without_hint(bundle: Bundle) -> Bundle:
    """A bundle that does not steer Ray to a kind of accelerator: the engine sees where it got to."""
    kept = {n: v for n, v in bundle.resources.items() if not n.startswith("accelerator_type:")}
    return attrs.evolve(bundle, resources=kept)


def _told(broken: Iterable[Violation], strategy: str) -> Iterator[Found]:
    """What is broken, by check."""
    by_check: dict[str, list[str]] = {}
    for violation in broken:
        by_check.setdefault(check_of(violation, strategy), []).append(str(violation))
    for check, said in by_check.items():
        yield check, "; ".join(said)


def placement_of(group: SimGroup, *, adopted: bool = True) -> Placement:
    """Where a group stands, as the cluster would report it."""
    bundles = tuple(
        PlacedBundle(index, node_id, bundle.units())
        for index, (bundle, node_id) in enumerate(zip(group.bundles, group.node_ids, strict=True))
    )
    return Placement(group.id, group.name, group.strategy, group.state, bundles, adopted)
