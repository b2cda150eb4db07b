"""One run from end to end: connect, bring the node up, hold it, give everything back."""

from __future__ import annotations

from nodeinit.cli import cluster
from nodeinit.cli.cluster import Where
from nodeinit.cli.errors import show_traceback
from nodeinit.cli.job import Job
from nodeinit.cli.outcome import Outcome
from nodeinit.cli.signals import Interrupts
from nodeinit.cli.view import View
from nodeinit.clusters.base import Cluster
from nodeinit.errors import InitializationFailed
from nodeinit.fsm.events import Frame
from nodeinit.fsm.executor import ThreadExecutor
from nodeinit.node.initializer import NodeInitializer


async def run(job: Job, view: View) -> Outcome:
    """Run a job; whatever happens, what it started is ended when this returns."""
    threads = ThreadExecutor()
    with Interrupts(view.interrupted) as interrupts:
        with view.waiting(_connecting(job.where)):
            # Not cut short by an interrupt: a Ray that is half started could not be ended.
            connected = await threads.call(cluster.connect, job.where)
        try:
            if interrupts.seen:
                outcome = Outcome.cancelled_early()
            else:
                outcome = await _bring_up(job, connected, view, interrupts)
            view.ended(outcome)
            return outcome
        finally:
            with view.waiting(_leaving(job.where)):
                try:
                    if job.finish is not None:
                        await threads.call(job.finish)
                finally:
                    await connected.close()


def _connecting(where: Where) -> str:
    return f"connecting to {where}" if where.address else f"starting {where}"


def _leaving(where: Where) -> str:
    return f"disconnecting from {where}" if where.address else "stopping Ray"


async def _bring_up(job: Job, connected: Cluster, view: View, interrupts: Interrupts) -> Outcome:
    node = NodeInitializer(
        job.config,
        cluster=connected,
        machine=job.machine,
        journal=job.journal,
        name=job.name,
    )
    hosts = await connected.snapshot()
    with view.watching(node, hosts):
        async with node:
            await _until_ready(node, interrupts)
            if node.state == Frame.READY:  # also when an interrupt came a moment too late
                view.ready(node, hold=job.hold)
                if job.hold:
                    await _until_interrupted(node, interrupts)
        return Outcome.of(node)


async def _until_ready(node: NodeInitializer, interrupts: Interrupts) -> None:
    arriving = await interrupts.first(_reach(node, Frame.READY))
    if not arriving.done():
        await node.cancel("interrupted")
    await arriving


async def _until_interrupted(node: NodeInitializer, interrupts: Interrupts) -> None:
    """Hold a ready node; it may heal meanwhile, or be lost for good."""
    ending = await interrupts.first(_reach(node, Frame.RELEASED))
    if not ending.done():
        await node.release()
    await ending


async def _reach(node: NodeInitializer, state: str) -> None:
    """Wait until the node is in a state, or has ended otherwise."""
    try:
        await node.wait_for(state)
    except InitializationFailed as failure:
        show_traceback(failure)
