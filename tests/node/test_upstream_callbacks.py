"""Mistakes of the callback API that people have today: each is shown not to be possible here.

The names follow the catalogue of these mistakes, C1 to C14.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import logging
import threading
from typing import Any

import attrs
import pytest

import nodeinit
from nodeinit import (
    CallbackCtx,
    CallbackSpec,
    ConfigError,
    InitializationFailed,
    LLMConfig,
    NodeInitializer,
    SimCluster,
    TemporaryError,
    initialize_node_sync,
)
from nodeinit.fsm.events import Event
from nodeinit.fsm.executor import ThreadExecutor
from nodeinit.fsm.policy import Policy
from nodeinit.testing.virtual_time import run_virtual
from tests.node.bring_up import bring_up, cluster, initializer, llm_config, states


class Records:
    """A callback that keeps what its hooks saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, CallbackCtx]] = []

    async def on_before_init(self, ctx: CallbackCtx) -> None:
        self.seen.append(("on_before_init", ctx))

    async def on_after_init(self, ctx: CallbackCtx) -> None:
        self.seen.append(("on_after_init", ctx))


def test_c1_an_async_hook_works_from_blocking_code_inside_a_running_loop() -> None:
    callback = Records()

    async def inside_a_running_loop() -> None:
        with initialize_node_sync(llm_config(callback), cluster=cluster()) as ready:
            assert ready.placement.bundles

    asyncio.run(inside_a_running_loop())

    assert ["on_before_init", "on_after_init"] == [name for name, _ in callback.seen]


@pytest.mark.parametrize("wrap", ["partial", "lambda", "decorator"])
def test_c2_a_wrapped_async_hook_is_awaited(wrap: str) -> None:
    ran = []

    async def body(ctx: CallbackCtx) -> CallbackCtx:
        await asyncio.sleep(1)
        ran.append(ctx)
        return ctx.evolve(custom_data={"ran": True})

    class Wrapped:
        on_before_init: Any

    wrapped: Any = {
        "partial": functools.partial(body),
        "lambda": lambda ctx: body(ctx),
        "decorator": functools.wraps(body)(lambda *args: body(*args)),
    }[wrap]
    callback = Wrapped()
    callback.on_before_init = wrapped

    node = bring_up(callback)

    assert 1 == len(ran)
    assert {"ran": True} == node.ctx.custom_data


def test_c3_the_type_of_an_error_survives_and_says_whether_to_retry() -> None:
    class Flaky:
        calls = 0

        def on_before_download(self, ctx: CallbackCtx) -> None:
            self.calls += 1
            if self.calls < 3:
                raise TemporaryError("the registry is busy", delay=7)

    class MyError(Exception):
        pass

    class Broken:
        def on_before_download(self, ctx: CallbackCtx) -> None:
            raise MyError("no licence")

    flaky = Flaky()
    assert "ready" in states(bring_up(flaky))
    assert 3 == flaky.calls

    async def main() -> InitializationFailed:
        async with initializer(llm_config(Broken())) as node:
            with pytest.raises(InitializationFailed) as caught:
                await node.wait_for("ready")
        return caught.value

    error = run_virtual(main())
    assert isinstance(error.__cause__.__cause__, MyError)  # type: ignore[union-attr]
    assert "Broken.on_before_download: raised MyError: no licence" in str(error)


def test_c4_a_logged_error_has_a_traceback_and_leaves_no_half_done_state(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class HalfDone:
        def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
            ctx = ctx.evolve(custom_data={"half": "done"})
            raise ValueError(f"after {ctx.custom_data}")

    with caplog.at_level(logging.WARNING):
        node = bring_up(CallbackSpec(HalfDone(), raise_error=False))

    assert "ready" in states(node)
    assert {} == node.ctx.custom_data
    record = next(r for r in caplog.records if "HalfDone" in r.getMessage())
    assert record.exc_info and "ValueError: after" in caplog.text
    run = next(run for step in node.steps for run in step.hooks if run.error)
    assert "ValueError" in (run.error or "")


def test_c5_every_hook_has_a_deadline_and_a_sync_hook_does_not_stall_the_loop() -> None:
    release = threading.Event()
    policy = Policy(hook_deadline=0.2)

    class Blocks:
        def on_before_init(self, ctx: CallbackCtx) -> None:
            release.wait(60)

    async def main() -> tuple[InitializationFailed, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.ensure_future(tick())
        node = initializer(llm_config(Blocks()), policy=policy, executor=ThreadExecutor())
        async with node:
            with pytest.raises(InitializationFailed) as caught:
                await node.wait_for("ready")
        ticking.cancel()
        return caught.value, ticks

    error, ticks = asyncio.run(main())
    release.set()

    assert "on_before_init: did not return within its deadline of 0.2 s" in str(error)
    assert ticks >= 3


def test_c6_a_misspelt_hook_is_refused_before_anything_starts() -> None:
    class Misspelt:
        def on_before_dowload(self, ctx: CallbackCtx) -> None: ...

    sim = cluster()
    with pytest.raises(
        ConfigError, match=r"'on_before_dowload'; did you mean 'on_before_download'"
    ):
        initializer(llm_config(Misspelt()), sim)
    assert {} == sim.calls


def test_c6_a_callback_without_hooks_or_with_a_wrong_signature_is_refused() -> None:
    class WrongSignature:
        def on_before_init(self) -> None: ...

    with pytest.raises(ConfigError, match="has no hook of this machine; define at least one of"):
        initializer(llm_config(json.JSONDecoder()))
    with pytest.raises(ConfigError, match=r"cannot be called as on_before_init\(self, ctx\)"):
        initializer(llm_config(WrongSignature()))


class TakesAnything:
    """Its constructor has parameters of every name that could be in the way."""

    def __init__(self, llm_config: str, raise_error_on_callback: str, ctx_kwargs: str) -> None:
        self.given = (llm_config, raise_error_on_callback, ctx_kwargs)

    def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(custom_data={"given": self.given})


def test_c7_callback_kwargs_cannot_collide_with_ours() -> None:
    kwargs = {"llm_config": "a", "raise_error_on_callback": "b", "ctx_kwargs": "c"}
    node = bring_up(config=llm_config(TakesAnything, callback_kwargs=kwargs))

    assert ("a", "b", "c") == node.ctx.custom_data["given"]


def test_c7_kwargs_that_do_not_fit_are_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match="cannot be made with callback_kwargs"):
        initializer(llm_config(TakesAnything, callback_kwargs={"llm_confg": "a"}))


def _assign(ctx: Any) -> None:
    ctx.custom_data["a"] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ctx: attrs.evolve(ctx, placement_group="banana"), "placement_group must be"),
        (lambda ctx: attrs.evolve(ctx, run_init_node="no"), "must be True or False, not 'no'"),
        (lambda ctx: ctx.evolve(placement_grop=None), "did you mean 'placement_group'"),
        (lambda ctx: setattr(ctx, "placement_grop", 1), "did you mean 'placement_group'"),
        (lambda ctx: setattr(ctx, "run_init_node", False), "return attrs.evolve(ctx, run_init"),
        (lambda ctx: _assign(ctx), "does not support item assignment"),
        (lambda ctx: ctx.evolve(worker_node_download_model="TOKENISER_ONLY"), "'TOKENIZER_ONLY'"),
        (lambda ctx: ctx.evolve(attempt=7), "changed 'attempt', which only the engine sets"),
        (lambda ctx: "done", "it must return a CallbackCtx (see attrs.evolve) or None"),
    ],
)
def test_c8_what_a_hook_does_to_the_context_is_validated(change: Any, message: str) -> None:
    class Careless:
        def on_before_init(self, ctx: CallbackCtx) -> Any:
            return change(ctx)

    node = bring_up(Careless())

    assert "failed" == node.state
    assert message in str(node.snapshot.reason)


def test_c9_there_are_hooks_for_every_turn_the_unhappy_ones_too() -> None:
    class Everywhere:
        def __init__(self) -> None:
            self.fired: list[str] = []

        def __getattr__(self, name: str) -> Any:
            if name not in hooks:
                raise AttributeError(name)
            return lambda ctx, *args: self.fired.append(name)

        def __dir__(self) -> list[str]:
            return [*hooks]

    hooks = nodeinit.load_machine("node_init").hooks
    callback = Everywhere()
    bring_up(callback)
    assert ["on_before_init", "on_before_download"] == callback.fired[:2]
    assert "on_after_init" == callback.fired[-1]

    failing = Everywhere()
    bring_up(failing, sim=cluster(1))
    assert "on_init_failed" == failing.fired[-1]


def test_c10_several_callbacks_compose_in_order() -> None:
    class Appends:
        def __init__(self, name: str) -> None:
            self.name = name

        def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
            order = (*ctx.custom_data.get("order", ()), self.name)
            return ctx.evolve(custom_data={"order": order})

    node = bring_up([Appends("first"), Appends("second"), Appends("third")])

    assert ("first", "second", "third") == node.ctx.custom_data["order"]


def test_c10_a_callback_that_is_none_is_refused_before_any_gpu_is_reserved() -> None:
    sim = cluster()
    with pytest.raises(ConfigError, match="no hook"):
        initializer(llm_config("json.JSONDecoder"), sim)
    with pytest.raises(ConfigError, match=r"cannot import 'no_such_module'"):
        initializer(llm_config("no_such_module:Callback"), sim)
    with pytest.raises(ConfigError, match="module 'json' has no 'JSONDecodr'; did you mean"):
        initializer(llm_config("json:JSONDecodr"), sim)
    assert {} == sim.calls


def test_c11_everything_a_callback_needs_is_public() -> None:
    assert {
        "CallbackCtx",
        "RayServeLLMCallback",
        "NodeModelDownloadable",
        "PlacementRequest",
        "TemporaryError",
        "PermanentError",
    } <= set(nodeinit.__all__)
    for name in nodeinit.__all__:
        assert "_internal" not in getattr(nodeinit, name).__module__
        assert inspect.getdoc(getattr(nodeinit, name))


class HoldsALock:
    """A callback with something on `self` that cannot be pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def on_before_init(self, ctx: CallbackCtx) -> None: ...

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx:
        with self.lock:
            return ctx.evolve(custom_data=ctx.custom_data.set(f"seen-{node_id}", True))


def test_c12_a_callback_is_made_on_every_host_never_pickled() -> None:
    """The job that goes to a host carries the callback's name, not the instance."""
    import pickle

    sent: list[bytes] = []

    class Pickling(SimCluster):
        async def fetch(self, node_id: str, job: Any, on_progress: Any) -> Any:
            sent.append(pickle.dumps(job))
            return await super().fetch(node_id, pickle.loads(sent[-1]), on_progress)

    config = llm_config(f"{__name__}:HoldsALock") if "." in __name__ else llm_config(HoldsALock)
    sim = Pickling([s.host for s in cluster().hosts.values()])
    node = bring_up(config=config, sim=sim)

    assert "released" == node.state, node.explain()
    assert 1 == len(sent)
    assert {"seen-a": True} == node.ctx.custom_data


def test_c13_what_a_hook_changed_on_a_host_comes_back_in_order() -> None:
    class PerHost:
        def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx:
            data = ctx.custom_data.set("last", node_id).set(f"disk-{node_id}", "nvme")
            return ctx.evolve(custom_data=data)

    sizes = {"tensor_parallel_size": 2, "pipeline_parallel_size": 3}
    config = llm_config(PerHost(), engine_kwargs=sizes)
    node = bring_up(config=config, sim=cluster(2, 2, 2))

    data = node.ctx.custom_data
    assert {"disk-a": "nvme", "disk-b": "nvme", "disk-c": "nvme", "last": "c"} == data
    assert {"disk-b": "nvme", "last": "b"} == node.ctx.nodes["b"].custom_data


def test_c13_what_cannot_come_back_is_refused_on_the_host() -> None:
    class Forgets:
        def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx:
            return ctx.evolve(extra_init_kwargs={"lost": True})

    node = bring_up(Forgets())

    assert "only custom_data comes back from there" in str(node.snapshot.reason)


def test_state_on_self_lasts_across_hooks_and_there_is_one_instance_per_process() -> None:
    class Counts:
        made = 0

        def __init__(self) -> None:
            type(self).made += 1
            self.calls = 0

        def on_before_init(self, ctx: CallbackCtx) -> None:
            self.calls += 1

        def on_after_init(self, ctx: CallbackCtx) -> CallbackCtx:
            self.calls += 1
            return ctx.evolve(custom_data={"calls": self.calls})

    config = llm_config(Counts)
    node = bring_up(config=config)

    assert 2 == node.ctx.custom_data["calls"]
    assert config.get_or_create_callback() is config.get_or_create_callback()
    assert 1 == Counts.made


def test_reading_the_callback_reserves_nothing() -> None:
    config = LLMConfig(model_id="m", callback=Records)

    assert isinstance(config.get_or_create_callback(), Records)


def test_a_run_without_callbacks_fires_nothing() -> None:
    node = bring_up()

    assert [] == [run for step in node.steps for run in step.hooks]
    assert Event.START == node.steps[0].occurred.event
    assert isinstance(node, NodeInitializer)
