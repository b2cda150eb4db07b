"""The tree of spans of a run, with exact times."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from nodeinit import CallbackCtx, NodeInitializer
from nodeinit.clusters.simulated import SimFault
from tests.node.bring_up import llm_config
from tests.telemetry.observed import Observed, Slow, observed, timed


def parents(seen: Observed) -> dict[str, str | None]:
    by_id = {span.context.span_id: span.name for span in seen.spans}
    return {s.name: by_id.get(s.parent.span_id) if s.parent else None for s in seen.spans}


def seconds(seen: Observed, span: Any) -> tuple[float, float]:
    """When a span began and ended, in seconds since the node's start."""
    zero = seen.node.began
    assert zero is not None
    return tuple(round(t / 1e9 - zero, 5) for t in (span.start_time, span.end_time))  # type: ignore[return-value]


def test_the_tree_of_a_run_on_two_hosts() -> None:
    config = llm_config(
        Slow, engine_kwargs={"tensor_parallel_size": 4, "pipeline_parallel_size": 2}
    )
    seen = observed(config=config, sim=timed(4, 4))
    assert {
        "nodeinit run": None,
        "config": "nodeinit run",
        "hook on_before_download": "config",
        "download": "nodeinit run",
        "host a": "download",
        "host b": "download",
        "placement": "nodeinit run",
        "nodeinit release": None,
        "releasing": "nodeinit release",
    } == parents(seen)
    assert [StatusCode.UNSET] == list({span.status.status_code for span in seen.spans})


def test_times_are_those_of_the_steps() -> None:
    seen = observed(callback=Slow)
    at = {s.after.state: round(s.at, 5) for s in seen.node.steps if s.before.state != s.after.state}
    assert (0.0, at["ready"]) == seconds(seen, seen.span("nodeinit run"))
    assert (at["config"], at["download"]) == seconds(seen, seen.span("config"))
    assert (at["download"], at["placement"]) == seconds(seen, seen.span("download"))
    began, ended = seconds(seen, seen.span("hook on_before_download"))
    assert (2.0, at["download"]) == (round(ended - began, 5), ended)
    began, ended = seconds(seen, seen.span("host a"))
    assert at["download"] == began
    assert round(seen.node.ctx.nodes["a"].seconds, 4) == round(ended - began, 4)
    run = seen.span("nodeinit run")
    children = [s for s in seen.spans if s.parent and s.parent.span_id == run.context.span_id]
    covered = sum(s.end_time - s.start_time for s in children)
    assert covered >= 0.999 * (run.end_time - run.start_time)


def test_setbacks_and_waits_are_in_the_tree() -> None:
    seen = observed(sim=timed(faults=[SimFault("fetch", "temporary")]))
    first, second = [span for span in seen.spans if span.name == "download"]
    assert StatusCode.ERROR is first.status.status_code
    assert "failed for the moment" in first.status.description
    assert ("error", "errored", 1) == tuple(
        first.attributes[f"nodeinit.{name}"] for name in ("reason", "outcome", "attempt")
    )
    assert StatusCode.UNSET is second.status.status_code
    assert 2 == second.attributes["nodeinit.attempt"]
    began, ended = seconds(seen, seen.span("backoff"))
    assert 8.0 == pytest.approx(ended - began, abs=0.01)  # giving back comes first
    assert StatusCode.UNSET is seen.span("nodeinit run").status.status_code


class Leaky:
    """A hook that fails with a token in its message."""

    def on_before_placement(self, ctx: CallbackCtx) -> None:
        raise RuntimeError("denied: hf_abcdefghijklmnopqrstuvwx")


def test_a_failed_run_says_why_and_never_a_secret() -> None:
    seen = observed(callback=Leaky)
    run, hook = seen.span("nodeinit run"), seen.span("hook on_before_placement")
    for span in (run, hook):
        assert StatusCode.ERROR is span.status.status_code
        assert "denied" in span.status.description
    assert ("failed", "hook") == (
        run.attributes["nodeinit.outcome"],
        run.attributes["nodeinit.reason"],
    )
    assert not any("hf_abc" in span.to_json() for span in seen.spans)


def test_healing_is_a_run_of_its_own_linked_to_the_first() -> None:
    sim = timed(8, 8)

    async def lose(node: NodeInitializer) -> None:
        assert node.ctx.placement is not None
        sim.kill_host(node.ctx.placement.hosts[0])
        await asyncio.sleep(50)

    seen = observed(sim=sim, act=lose, callback=Slow)
    heal, first = seen.span("nodeinit heal"), seen.span("nodeinit run")
    assert [first.context.span_id] == [link.context.span_id for link in heal.links]
    assert heal.start_time > first.end_time
    by_id = {span.context.span_id: span.name for span in seen.spans}
    hooks = [s for s in seen.spans if s.name == "hook on_before_download"]
    assert ["config", "nodeinit heal"] == [by_id[hook.parent.span_id] for hook in hooks]
    inside = [s for s in seen.spans if s.parent and by_id[s.parent.span_id] == "nodeinit heal"]
    assert ["hook on_before_download", "download", "placement"] == [span.name for span in inside]
    assert all(heal.start_time <= s.start_time <= s.end_time <= heal.end_time for s in inside)


def test_a_trace_is_taken_up_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", f"00-{'ab' * 16}-{'cd' * 8}-01")
    run = observed().span("nodeinit run")
    assert int("ab" * 16, 16) == run.context.trace_id
    assert int("cd" * 8, 16) == run.parent.span_id
    monkeypatch.setenv("TRACEPARENT", "not a trace")
    assert observed().span("nodeinit run").parent is None


def test_a_run_that_was_cancelled_early_has_ended_spans() -> None:
    async def never(node: NodeInitializer) -> None:
        raise AssertionError("it became ready")

    class Hangs:
        async def on_before_download(self, ctx: CallbackCtx) -> None:
            await asyncio.sleep(1e6)

    seen = observed(callback=Hangs, act=never)
    assert StatusCode.ERROR is seen.span("nodeinit run").status.status_code
    assert {"nodeinit run", "config", "hook on_before_download", "releasing"} == set(parents(seen))


class Slower:
    """Takes three seconds before the download."""

    async def on_before_download(self, ctx: CallbackCtx) -> None:
        await asyncio.sleep(3)


def test_hooks_of_several_callbacks_follow_one_another() -> None:
    seen = observed(config=llm_config([Slow, Slower]))
    first, second = [s for s in seen.spans if s.name == "hook on_before_download"]
    (began, met), (met_again, ended) = seconds(seen, first), seconds(seen, second)
    assert (2.0, 3.0) == (round(met - began, 5), round(ended - met_again, 5))
    assert met == met_again and seconds(seen, seen.span("config"))[1] == ended
    assert first.attributes["nodeinit.callback"].endswith(":Slow")
