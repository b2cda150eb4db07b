"""A node observed in virtual time, and what was recorded of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import attrs
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from nodeinit import CallbackCtx, InitializationFailed, NodeInitializer, SimCluster
from nodeinit.clusters.base import FetchJob
from nodeinit.clusters.simulated import sim_host
from nodeinit.context import NodeReport
from nodeinit.fsm.policy import Backoff, PhasePolicy, Policy
from nodeinit.telemetry import observe
from nodeinit.telemetry.measures import Measure
from nodeinit.testing.virtual_time import run_virtual
from tests.node.bring_up import initializer, llm_config

QUICK = PhasePolicy(deadline=100, attempts=3, backoff=Backoff(8, 1, 8, jitter=0))
POLICY = Policy(default=QUICK, phases={}, replans=2)


class TimedCluster(SimCluster):
    """Its hosts say how long they took, as real ones do."""

    async def fetch(self, node_id: str, job: FetchJob, on_progress: Any) -> NodeReport:
        began = asyncio.get_running_loop().time()
        report = await super().fetch(node_id, job, on_progress)
        return attrs.evolve(report, seconds=asyncio.get_running_loop().time() - began)


class Slow:
    """Takes two seconds before the download."""

    async def on_before_download(self, ctx: CallbackCtx) -> None:
        await asyncio.sleep(2)


@attrs.define
class Book:
    """A meter that keeps what it is told."""

    measures: list[Measure] = attrs.field(factory=list)

    def record(self, measure: Measure) -> None:
        self.measures.append(measure)

    def of(self, name: str) -> dict[tuple[str, ...], list[float]]:
        """The values of an instrument, by labels."""
        found: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        for measure in self.measures:
            if measure.instrument.name == name:
                found[measure.labels].append(round(measure.value, 6))
        return dict(found)


@attrs.define
class Observed:
    node: NodeInitializer
    book: Book
    exporter: InMemorySpanExporter

    @property
    def spans(self) -> list[Any]:
        return sorted(
            self.exporter.get_finished_spans(), key=lambda span: (span.start_time, span.name)
        )

    def span(self, name: str) -> Any:
        (found,) = [span for span in self.spans if span.name == name]
        return found


def timed(*gpus: int, faults: Any = ()) -> TimedCluster:
    hosts = [sim_host(n, GPU=g, CPU=32) for n, g in zip("abcdefgh", gpus or (8, 8), strict=False)]
    return TimedCluster(hosts, faults=faults, latency=0.001, bandwidth=1e9)


def observed(
    *,
    callback: Any = None,
    sim: SimCluster | None = None,
    config: Any = None,
    act: Callable[[NodeInitializer], Any] | None = None,
    **options: Any,
) -> Observed:
    """Bring a node up under observation, act when it is ready, and release it."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    book = Book()
    options.setdefault("policy", POLICY)

    async def main() -> NodeInitializer:
        node = initializer(config or llm_config(callback), sim or timed(), **options)
        observe(node, meter=book, tracer=provider.get_tracer("test"))
        async with node:
            try:
                await node.wait_for("ready")
                if act is not None:
                    await act(node)
            except InitializationFailed:
                pass
        return node

    return Observed(run_virtual(main()), book, exporter)
