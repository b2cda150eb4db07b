"""What is measured of a node, exactly, in virtual time."""

from __future__ import annotations

import ast
import asyncio
import inspect
from typing import Any

import attrs
import pytest

from nodeinit import NodeInitializer
from nodeinit.clusters.simulated import SimFault
from nodeinit.fsm.events import Reason
from nodeinit.telemetry import instruments, labels, observe
from nodeinit.telemetry.instruments import INSTRUMENTS, Kind
from nodeinit.testing.virtual_time import run_virtual
from tests.node.bring_up import initializer, llm_config
from tests.telemetry.observed import Book, Slow, observed, timed


def entered(node: NodeInitializer) -> list[tuple[str, float]]:
    return [(s.after.state, s.at) for s in node.steps if s.before.state != s.after.state]


def test_a_clean_run_measures_phases_hooks_and_bytes() -> None:
    seen = observed(callback=Slow)
    book, times = seen.book, dict(entered(seen.node))
    spent = book.of("nodeinit_phase_seconds")
    assert [round(times["download"] - times["config"], 6)] == spent["sim/model", "config", "done"]
    assert {("sim/model", p, o) for p, o in [("config", "done"), ("download", "done")]} < set(spent)
    assert {("sim/model", "on_before_download", "done"): [2.0]} == book.of("nodeinit_hook_seconds")
    assert {("sim/model", "start"): [round(times["ready"], 6)]} == book.of("nodeinit_ready_seconds")
    moved = seen.node.ctx.nodes["a"].bytes
    assert moved > 0
    assert {("sim/model",): [moved]} == book.of("nodeinit_fetched_bytes_total")
    assert {("sim/model",): [0]} == book.of("nodeinit_reused_bytes_total")
    assert [moved] == book.of("nodeinit_progress_bytes")["sim/model",][-1:]
    assert {
        ("sim/model", "ready", "none"): [1],
        ("sim/model", "released", "released"): [1],
    } == book.of("nodeinit_outcomes_total")
    assert {} == book.of("nodeinit_setbacks_total")


def test_a_warm_start_moves_nothing() -> None:
    sim = timed()
    observed(sim=sim)
    warm = observed(sim=sim)
    assert {("sim/model",): [0]} == warm.book.of("nodeinit_fetched_bytes_total")
    assert warm.book.of("nodeinit_reused_bytes_total")["sim/model",][0] > 0


def test_setbacks_are_counted_by_class_and_tries_by_phase() -> None:
    faults = [SimFault("fetch", "temporary"), SimFault("reserve", "hang")]
    seen = observed(sim=timed(faults=faults))
    assert {
        ("sim/model", "download", "error"): [1],
        ("sim/model", "placement", "deadline"): [1],
    } == seen.book.of("nodeinit_setbacks_total")
    tries = seen.book.of("nodeinit_phase_attempts_total")
    assert {"config": 1, "download": 2, "placement": 2} == {k[1]: len(v) for k, v in tries.items()}
    spent = seen.book.of("nodeinit_phase_seconds")
    assert pytest.approx([100], abs=0.1) == spent["sim/model", "placement", "elapsed"]
    assert pytest.approx([8, 8], abs=0.1) == spent["sim/model", "backoff", "retry"]


def test_a_failure_and_a_cancel_are_outcomes_with_a_class() -> None:
    failed = observed(sim=timed(faults=[SimFault("manifest", "permanent")]))
    assert {("sim/model", "failed", "error"): [1]} == failed.book.of("nodeinit_outcomes_total")

    async def cancel(node: NodeInitializer) -> None:
        await node.cancel()

    cancelled = observed(act=cancel)
    assert ("sim/model", "cancelled", "cancelled") in cancelled.book.of("nodeinit_outcomes_total")


def test_what_cannot_be_given_back_is_counted() -> None:
    faults = [SimFault("remove", "crash", call=n) for n in range(9)]
    seen = observed(sim=timed(faults=faults))
    assert {("sim/model", "group"): [1]} == seen.book.of("nodeinit_cleanup_failures_total")


def test_healing_is_a_way_to_ready_of_its_own() -> None:
    sim = timed(8, 8)

    async def lose(node: NodeInitializer) -> None:
        assert node.ctx.placement is not None
        sim.kill_host(node.ctx.placement.hosts[0])
        await asyncio.sleep(50)
        assert "ready" == node.state

    seen = observed(sim=sim, act=lose)
    assert {("sim/model", "start"), ("sim/model", "heal")} == set(
        seen.book.of("nodeinit_ready_seconds")
    )
    assert {("sim/model", "ready", "lost"): [1]} == seen.book.of("nodeinit_setbacks_total")


def test_every_node_is_counted_in_and_out_again() -> None:
    for faults in ([], [SimFault("fetch", "temporary")], [SimFault("fetch", "permanent")]):
        nodes = observed(sim=timed(faults=faults)).book.of("nodeinit_nodes")
        assert nodes and all(sum(changes) == 0 for changes in nodes.values())


def test_measurements_carry_the_labels_of_their_instrument() -> None:
    for measure in observed(callback=Slow).book.measures:
        assert measure.instrument in INSTRUMENTS
        assert len(measure.labels) == len(measure.instrument.labels)
        assert measure.instrument.kind is not Kind.COUNTER or measure.value >= 0


def test_labels_stay_few() -> None:
    cap = labels.Cap(3)
    assert ["a", "b", "c", "other", "other", "a"] == [cap(name) for name in "abcdea"]
    secret = labels.Cap(3)("hf_abcdefghijklmnopqrstuvwx" + "x" * 900)
    assert "hf_abc" not in secret and len(secret) <= 100
    assert "other" == labels.reason("a text that somebody made up")


def test_the_codes_of_the_engine_are_known_labels() -> None:
    """Every literal code that the package gives a `Reason` is a class that is counted apart."""
    import nodeinit.fsm.core
    import nodeinit.fsm.driver
    import nodeinit.fsm.events
    import nodeinit.fsm.performer
    import nodeinit.node.initializer

    found = set()
    for module in (
        nodeinit.fsm.core,
        nodeinit.fsm.driver,
        nodeinit.fsm.events,
        nodeinit.fsm.performer,
        nodeinit.node.initializer,
    ):
        for call in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(call, ast.Call) and call.args:
                made = getattr(call.func, "id", "") in ("Reason", "cls")
                first = call.args[0]
                if made and isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.add(first.value)
    assert len(found) >= 8 and found <= labels.REASONS


def test_names_follow_the_rules_of_prometheus() -> None:
    assert len({i.name for i in INSTRUMENTS}) == len(INSTRUMENTS)
    for instrument in INSTRUMENTS:
        assert instrument.name.startswith("nodeinit_") and instrument.name.islower()
        assert (instrument.kind is Kind.COUNTER) == instrument.name.endswith("_total")
        assert list(instrument.buckets) == sorted(instrument.buckets)
        assert bool(instrument.buckets) == (instrument.kind is Kind.HISTOGRAM)
    assert {v for v in vars(instruments).values() if isinstance(v, instruments.Instrument)} == set(
        INSTRUMENTS
    )


class Broken:
    """A meter that cannot take anything."""

    calls = 0

    def record(self, measure: Any) -> None:
        self.calls += 1
        raise OSError("no more room for metrics")


def test_telemetry_that_fails_is_said_once_and_hurts_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = Broken()

    async def main() -> str:
        node = initializer(llm_config(), timed())
        observe(node, meter=broken, tracer=object())
        async with node:
            await node.wait_for("ready")
        return node.state

    assert "released" == run_virtual(main())
    assert broken.calls > 5
    said = [r.getMessage() for r in caplog.records if r.name == "nodeinit.telemetry"]
    assert ["node: its metrics failed", "node: its spans failed"] == sorted(said)


def test_steps_from_before_count_too_and_an_end_is_an_end() -> None:
    async def main() -> tuple[Book, Book]:
        early, late = Book(), Book()
        async with initializer(llm_config(), timed()) as node:
            stop = observe(node, meter=early, spans=False)
            await node.wait_for("ready")
            observe(node, meter=late, spans=False)
            await asyncio.sleep(1)
            stop()
        return early, late

    early, late = run_virtual(main())
    assert early.of("nodeinit_ready_seconds") == late.of("nodeinit_ready_seconds") != {}
    assert ("sim/model", "releasing", "undone") in late.of("nodeinit_phase_seconds")
    assert ("sim/model", "releasing", "undone") not in early.of("nodeinit_phase_seconds")


def test_a_reason_is_never_a_text() -> None:
    assert {f.name for f in attrs.fields(Reason)} >= {"code", "message"}
    for measure in observed(sim=timed(faults=[SimFault("fetch", "permanent")])).book.measures:
        assert not any(" " in label for label in measure.labels)
