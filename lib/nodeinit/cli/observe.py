"""A look at a cluster: connect, see what is there, disconnect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from nodeinit.cli import cluster
from nodeinit.cli.cluster import Where
from nodeinit.cli.logs import plain_logs
from nodeinit.cli.signals import Interrupts
from nodeinit.cli.stdout import kept_clean
from nodeinit.fsm.executor import ThreadExecutor
from nodeinit.placement.topology import ClusterSnapshot

T = TypeVar("T")


def observed(where: Where) -> ClusterSnapshot:
    """The hosts and groups of a cluster now."""
    found: ClusterSnapshot = asked(where, lambda connected: connected.snapshot())
    return found


def asked(where: Where, question: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """What a cluster answers to a question. Nothing is written to stdout meanwhile.

    Raises `KeyboardInterrupt` for an interrupt, once all that was started has ended.
    """
    with plain_logs(), kept_clean(True):
        _say(f"connecting to {where}" if where.address else f"starting {where}")
        return asyncio.run(_asked(where, question))


async def _asked(where: Where, question: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    threads = ThreadExecutor()
    with Interrupts(_interrupted) as interrupts:
        # Not cut short by an interrupt: a Ray that is half started could not be ended.
        connected = await threads.call(cluster.connect, where)
        try:
            asking = await interrupts.first(question(connected))
            if not asking.done():
                asking.cancel()
                await asyncio.wait({asking})
        finally:
            await connected.close()
        if interrupts.seen:
            raise KeyboardInterrupt
        return asking.result()


def _interrupted(_count: int) -> None:
    _say("interrupted: stopping as soon as Ray has answered")


def _say(text: str) -> None:
    click.echo(text, err=True)
