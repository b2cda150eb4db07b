"""The work of each phase of the standard machine: `async def activity(ctx, run) -> ctx`."""

from __future__ import annotations

import asyncio
import contextlib

import attrs

from nodeinit.callbacks import ON_NODE_DOWNLOAD
from nodeinit.clusters.base import Cluster, Displaced, FetchJob, Team
from nodeinit.context import CallbackCtx, ModelFiles, NodeReport
from nodeinit.download.store import published_path
from nodeinit.errors import PermanentError, TemporaryError
from nodeinit.fsm.events import Held, Occurred
from nodeinit.fsm.run import Displacement, Run
from nodeinit.fsm.snapshot import Snapshot
from nodeinit.node.alike import check_alike
from nodeinit.node.phases import Holding
from nodeinit.node.planning import adopt, is_adopted, make_plan, mode_on, request_of, still_good
from nodeinit.node.totals import Totals
from nodeinit.placement.rules import violations
from nodeinit.placement.topology import ClusterSnapshot, Pin, Placement, names


async def read_config(ctx: CallbackCtx, run: Run) -> CallbackCtx:
    """`config`: a plan for the workers, then the manifest of the model.

    The plan comes first: a request that cannot be met ends here, before a byte of the model is read.
    """
    plan = await make_plan(ctx, run)
    config = ctx.llm_config
    manifest = await run.cluster.manifest(config)
    path = str(published_path(config.nodeinit.store, manifest))
    if not ctx.run_init_node and manifest.source.startswith("/"):
        # Whoever brings the files himself has them where the source is, by the same path everywhere.
        path = manifest.source
    return ctx.evolve(plan=plan, model=ModelFiles(path, manifest))


async def bring_model(ctx: CallbackCtx, run: Run) -> CallbackCtx:
    """`download`: the model's files on every host of the plan, fetched side by side and verified.

    No GPU is held while bytes move. One host's failure stops the others, and each of them says so.
    """
    if not await still_good(ctx, run):
        ctx = ctx.evolve(plan=await make_plan(ctx, run))
    assert ctx.plan is not None
    hosts = ctx.plan.hosts
    totals = Totals(len(hosts), run.progress, asyncio.get_running_loop().time)
    tasks = {}
    try:
        async with asyncio.TaskGroup() as group:
            for node_id in hosts:
                tasks[node_id] = group.create_task(_fetch(ctx, run, node_id, hosts, totals))
    except BaseExceptionGroup as failures:
        raise _first(failures) from failures
    reports = {node_id: task.result() for node_id, task in sorted(tasks.items())}
    check_alike(reports.values())
    custom_data = ctx.custom_data
    for report in reports.values():
        custom_data = custom_data.update(report.custom_data)
    return ctx.evolve(nodes=reports, custom_data=custom_data)


async def _fetch(
    ctx: CallbackCtx, run: Run, node_id: str, hosts: tuple[str, ...], totals: Totals
) -> NodeReport:
    assert ctx.model is not None
    name = f"{run.node}-fetch-{run.attempt}-{node_id}"
    hooks = tuple(bound.spec for bound in run.callbacks if ON_NODE_DOWNLOAD in bound.hooks)
    job = FetchJob(
        name=name,
        manifest=ctx.model.manifest,
        mode=mode_on(ctx, node_id, hosts),
        path=ctx.model.path,
        ctx=ctx.evolve(llm_config=ctx.llm_config.without_callbacks()),
        hooks=hooks,
        hook_deadline=run.policy.hook_deadline,
        verify_only=not ctx.run_init_node,
        team=Team(f"{run.node}-fetch-{run.attempt}", hosts) if ctx.run_init_node else None,
        user=run.node if ctx.run_init_node else "",
    )
    async with run.holding(Holding.FETCH, name):
        report: NodeReport = await run.cluster.fetch(node_id, job, totals)
        return report


def _first(failures: BaseExceptionGroup) -> BaseException:
    """The failure to report of several: one that rules out trying again, if there is any."""
    leaves: list[BaseException] = []
    for failure in failures.exceptions:
        leaves.append(_first(failure) if isinstance(failure, BaseExceptionGroup) else failure)
    permanent = [leaf for leaf in leaves if not isinstance(leaf, TemporaryError)]
    return (permanent or leaves)[0]


async def place_workers(ctx: CallbackCtx, run: Run) -> CallbackCtx:
    """`placement`: reserve the plan's bundles on the plan's hosts and read back what came of it.

    Raises `Displacement` with a new plan when the hosts cannot give what the plan counted on, when
    a hook asked for something else that needs hosts without the model, or when Ray, which a loose
    pin lets choose, chose such hosts.
    """
    plan = ctx.plan
    assert plan is not None
    if not await still_good(ctx, run):
        plan = await make_plan(ctx, run)
        if not set(plan.hosts) <= set(ctx.nodes):
            raise Displacement("the plan changed after the download", ctx.evolve(plan=plan))
        ctx = ctx.evolve(plan=plan)
    placement = await (adopt(ctx, run) if is_adopted(ctx) else _reserve(ctx, run))
    may_stray = not placement.adopted and plan.pin is not Pin.NODE
    if may_stray and (strangers := _lacking_model(ctx, placement)):
        observed = _around(placement, await run.cluster.snapshot())
        await _give_back(run, placement.name)
        raise _strayed(ctx, placement, observed, strangers)
    # In a group that somebody brought, others may be at work already.
    if ctx.llm_config.nodeinit.probe_gpus and not placement.adopted:
        placement = await run.cluster.probe(placement)
    observed = _around(placement, await run.cluster.snapshot())
    return ctx.evolve(placement=placement, observed=observed)


def _lacking_model(ctx: CallbackCtx, placement: Placement) -> list[str]:
    """The hosts of a placement that have not brought what they need in their place there."""
    hosts = placement.hosts
    return [
        node_id
        for node_id in hosts
        if node_id not in ctx.nodes or ctx.nodes[node_id].mode != mode_on(ctx, node_id, hosts)
    ]


_TIGHTER = {Pin.NONE: Pin.HOSTS, Pin.HOSTS: Pin.NODE}


def _strayed(
    ctx: CallbackCtx, placement: Placement, observed: ClusterSnapshot, strangers: list[str]
) -> Exception:
    """What it means that Ray, left a choice, took hosts without the model.

    The new plan is Ray's own choice, and the pin is one step tighter. The model goes where Ray
    wanted the workers, and the next reservation cannot stray from there: left as free as before,
    Ray could choose other hosts again and again. A choice that breaks a rule is not followed.
    """
    assert ctx.plan is not None
    broken = violations(request_of(ctx), placement, observed)
    if broken:
        listed = "; ".join(str(violation) for violation in broken)
        return TemporaryError(f"Ray's own choice of hosts: {listed}")
    called = names(observed.hosts)
    listed = ", ".join(called.get(node_id, node_id) for node_id in strangers)
    plan = attrs.evolve(ctx.plan, node_ids=placement.node_ids, pin=_TIGHTER[ctx.plan.pin])
    return Displacement(f"Ray chose hosts that lack the model: {listed}", ctx.evolve(plan=plan))


def _around(placement: Placement, snapshot: ClusterSnapshot) -> ClusterSnapshot:
    """The hosts of a placement and all groups on them: what it is judged by."""
    here = set(placement.hosts)
    return ClusterSnapshot(
        tuple(host for host in snapshot.hosts if host.node_id in here),
        tuple(group for group in snapshot.groups if here & set(group.assigned)),
    )


async def _reserve(ctx: CallbackCtx, run: Run) -> Placement:
    name = f"{run.node}-{run.attempt}"
    run.acquire(Holding.GROUP, name)
    try:
        placement: Placement = await run.cluster.reserve(ctx.plan, name)
    except Displaced as displaced:
        await _give_back(run, name)
        new = await make_plan(ctx, run)
        if new == ctx.plan:
            raise TemporaryError(f"{displaced}; no other hosts would do") from displaced
        raise Displacement(str(displaced), ctx.evolve(plan=new)) from displaced
    run.acquired(Holding.GROUP, name)
    return placement


async def _give_back(run: Run, name: str) -> None:
    await run.cluster.remove(name)
    run.dropped(Holding.GROUP, name)


_LET_GO = 5.0  # seconds; Ray takes a tenth of one to remove a group


async def watch_node(ctx: CallbackCtx, run: Run) -> str:
    """`ready`: waits until the placement is no longer what it was, and says why.

    The group is given back at once, before any hook is asked what it thinks: Ray may be trying to
    place it again before the groups of everybody else (ray#65970). But a node that is lost is not
    called ready for longer than a moment: what fails here, or takes longer, the undo repeats.
    """
    if ctx.placement is None:
        raise PermanentError("a ready node has a placement")
    why: str = await run.cluster.lost(ctx.placement)
    if not ctx.placement.adopted:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_LET_GO):
                await _give_back(run, ctx.placement.name)
    return why


async def remove_group(held: Held, cluster: Cluster) -> None:
    """Undo of a group: remove it by its name; it need not exist."""
    await cluster.remove(held.name)


async def stop_fetch(held: Held, cluster: Cluster) -> None:
    """Undo of a fetch: nothing of it runs on, and nothing half-written stays."""
    await cluster.stop_fetch(held.name)


def next_plan(after: Snapshot, _occurred: Occurred) -> Snapshot:
    """Assign of the edges that begin another plan: what belonged to the old placement is gone."""
    ctx: CallbackCtx = after.ctx
    changed = ctx.evolve(attempt=ctx.attempt + 1, placement=None, observed=None)
    return attrs.evolve(after, ctx=changed)
