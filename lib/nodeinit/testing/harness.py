"""One scenario with the author's callback: everything real but the cluster, the clock and Ray.

`Harness` is made once for a check and runs many scenarios; every run has fresh instances.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from nodeinit.callbacks import CallbackSpec, check_hooks, make_callback
from nodeinit.clusters.simulated import SIM_MANIFEST
from nodeinit.context import CallbackCtx
from nodeinit.download.store import published_path
from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.errors import ConfigError, Fault, PermanentError, TemporaryError
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.events import Frame
from nodeinit.fsm.hooks import BoundCallback
from nodeinit.fsm.policy import Backoff, PhasePolicy, Policy
from nodeinit.fsm.snapshot import Step
from nodeinit.testing import fake_ray
from nodeinit.testing.asked import judge_asked
from nodeinit.testing.machines import STANDARD, hooks_that_stop, machine_to_check, name_of_machine
from nodeinit.testing.outside import Outside
from nodeinit.testing.properties import Property, broken
from nodeinit.testing.scenario import FOREIGN, Other, Scenario, config_of
from nodeinit.testing.trial import Trial, attach, drive
from nodeinit.testing.virtual_time import Deadlock, Livelock, VirtualLoop, run_virtual
from nodeinit.testing.watched import Call, Log, Watched, different

POLICY = Policy(
    default=PhasePolicy(deadline=9_000, attempts=3, backoff=Backoff(1, 2, 20)),
    replans=2,
    hook_deadline=Log.hook_deadline,
    grace=20,
    undo_deadline=30,
)
BOUND = 1_000_000.0  # virtual seconds; all deadlines, tries and plans together come to less
ROUNDS = 100_000  # turns of the loop: some polling for an hour is no livelock
SOMEBODY = "somebody.else"


@attrs.define(eq=False)
class Trace(Trial):
    """A run of the author's callback: its steps, and every call of a hook."""

    log: Log = attrs.field(kw_only=True)
    properties: Sequence[Property] = attrs.field(kw_only=True)

    @property
    def calls(self) -> list[Call]:
        """Every call of a hook, with the context before and after."""
        return self.log.calls

    def blame(self, check: str, message: str, call: Call) -> None:
        """Record what a call of a hook broke."""
        self.say(check, message, hook=call.hook, line=call.where)

    def stepped(self, step: Step) -> None:
        """Judge a step, also by the author's own properties."""
        Trial.stepped(self, step)
        if step.before.state == step.after.state:
            return
        for found in self.properties:
            if found.state == step.after.state:
                how = broken(found, step.after.ctx, self)
                if how:
                    self.say(found.id, f"in {found.state}: {how}")

    def answers(self) -> list[tuple[str, str, Any, str]]:
        """What the hooks answered, for comparing with another run."""
        return [(c.hook, c.node_id, c.after, type(c.error).__name__) for c in self.calls]


class Saboteur:
    """Another callback of the same config, which fails where the scenario says so."""

    def __init__(self, hooks: Sequence[str]) -> None:
        self.failures: tuple[Other, ...] = ()
        self.calls: dict[str, int] = {}
        self.hooks = frozenset(hooks)
        for hook in hooks:
            setattr(self, hook, functools.partial(self._fail, hook))

    def _fail(self, hook: str, _ctx: CallbackCtx) -> None:
        call = self.calls.get(hook, 0)
        self.calls[hook] = call + 1
        for other in self.failures:
            if (other.hook, other.call) == (hook, call):
                kind = TemporaryError if other.kind == "temporary" else PermanentError
                raise kind("another callback of the config failed")


class Harness:
    """Runs scenarios of one callback. A context manager: it patches what hooks see of the world.

    `callback` is a class, a function that makes an instance, or `"module:Class"`; `machine` is a
    definition, the name of an installed one, or `"module:ATTR"`. Raises `ConfigError` for anything
    else, and for what is no callback.
    """

    def __init__(
        self,
        callback: Any,
        kwargs: Mapping[str, Any] | None = None,
        *,
        properties: Sequence[Property] = (),
        allow_exceptions: tuple[type[Exception], ...] = (),
        machine: str | Definition = STANDARD,
    ) -> None:
        self.spec = CallbackSpec(callback, dict(kwargs or {}))
        instance = make_callback(self.spec)
        if instance is callback:
            problem = "is an instance, and every run needs a fresh one"
            raise ConfigError(Fault("callback", problem, self.spec.name, "give its class"))
        self.machine = machine_to_check(machine)
        self.machine_name = name_of_machine(machine)
        self.hooks = check_hooks(self.spec, instance, self.machine.hooks)
        self.properties = tuple(properties)
        self.runs = 0
        self._allowed = allow_exceptions
        self._loop = VirtualLoop()
        self._loop.limit(ROUNDS)
        self._outside = Outside(self._loop)
        self._watched = Watched.of(self.spec, self.hooks, instance)
        self._saboteur = Saboteur(hooks_that_stop(self.machine))
        self._modules = _modules_of(instance, callback)
        self._ray: fake_ray.FakeRay | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Harness:
        """Patch clocks, chance and Ray, and make the files that hosts have."""
        self._store = _store()
        self._source = self._store.parent / f"source-{os.getpid()}"
        self._stack.enter_context(_quiet())
        self._stack.enter_context(self._outside.patched(self._modules))
        self._stack.enter_context(fake_ray.patched(self._modules, self._now_ray))
        self._stack.callback(self._loop.close)
        self._stack.callback(self._clear)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the world back."""
        self._stack.close()

    @property
    def names(self) -> dict[str, str]:
        """What reports call the paths that differ from machine to machine."""
        return {str(self._source): "<model_source>", str(self._store): "<store>"}

    @property
    def files(self) -> dict[str, str]:
        """The files of the callback's own code, by the names that reports have."""
        paths = [getattr(module, "__file__", None) for module in self._modules]
        return {Path(path).name: path for path in paths if path}

    def _now_ray(self) -> fake_ray.FakeRay:
        assert self._ray is not None
        return self._ray

    def run(self, scenario: Scenario, *, seed: int = 0, twice: bool = False) -> Trace:
        """Run one scenario to its end. With `twice`, hooks are also called again, for H8 alone."""
        self.runs += 1
        self._outside.reset(seed)
        self._clear()
        try:
            return run_virtual(self._prepared(scenario, twice), loop=self._loop)
        except (Deadlock, Livelock) as stuck:
            trace = self._trace
            trace.log.stuck()
            trace.log.close()
            if not trace.breaches:
                trace.say("M3", str(stuck))
            return trace
        finally:
            self._watched.log = None

    async def _prepared(self, scenario: Scenario, twice: bool) -> Trace:
        cluster = scenario.cluster()
        self._ray = fake_ray.FakeRay(cluster, self._source, self._loop)
        log = Log(
            lambda: make_callback(self.spec),
            self._outside,
            lambda check, message, call: trace.blame(check, message, call),
            allowed=self._allowed,
            twice=twice,
            judge=lambda call: self._judge(trace, call),
        )
        trace = Trace(scenario, cluster, BOUND, log=log, properties=self.properties)
        self._trace, self._watched.log = trace, log
        self._saboteur.calls.clear()
        self._saboteur.failures = scenario.others
        config = config_of(
            scenario.tp, scenario.pp, scenario.pin, str(self._source), str(self._store)
        )
        ctx = CallbackCtx(llm_config=config, custom_data={SOMEBODY: 1})
        attach(trace, ctx, self._callbacks(), POLICY, self.machine)
        if await drive(trace, before_end=log.close):
            self._judge_end(trace)
        else:
            log.close()
        return trace

    def _callbacks(self) -> list[BoundCallback]:
        own = BoundCallback(
            self.spec.name, self._watched, frozenset(self.hooks), True, CallbackSpec(self._watched)
        )
        return [own, BoundCallback("another", self._saboteur, self._saboteur.hooks)]

    def _judge(self, trace: Trace, call: Call) -> None:
        """What the answer of a hook says about the cluster, and the author's own properties."""
        wrong = judge_asked(call, trace.cluster)
        if wrong:
            trace.blame("P", wrong, call)
        for found in self.properties:
            if found.hook == call.hook:
                how = broken(found, call.before, call.after)
                if how:
                    trace.blame(found.id, f"after {call.hook}: {how}", call)

    def _judge_end(self, trace: Trace) -> None:
        """What the callback itself made and left behind."""
        ray = self._now_ray()
        for name, line in ray.removed_foreign:
            what = f"a hook removed the group {name}, which it did not make"
            trace.say("R3-foreign", what, line=line)
        if any(trace.scenario.taken) and FOREIGN not in trace.cluster.groups:
            trace.say("R3-foreign", f"the group {FOREIGN} is gone")
        if trace.end.state not in (Frame.FAILED, Frame.CANCELLED):
            return  # whoever released it may still close what the callback made
        for group in ray.left:
            made = group.found.name if group.found else "which still waits for its place"
            what = f"left behind in {trace.end.state}: a group of a hook's, {made}"
            trace.say("R2-leak", what, line=group.line)
        running = {c.hook for c in trace.calls if c.ended is None}
        left = [t for t in trace.tasks_left if t not in ray.tasks]
        if left and not running:
            what = f"{len(left)} task(s) of a hook run on in {trace.end.state}"
            trace.say("R4-tasks", what, line=_origin(left[0]))

    def same(self, one: Trace, other: Trace) -> str | None:
        """How the hooks of two runs of a scenario answered differently; `None` if they did not."""
        for mine, theirs in zip(one.answers(), other.answers(), strict=False):
            if mine[:2] != theirs[:2] or mine[3] != theirs[3]:
                return f"{mine[0]} went differently in the same run of a new instance"
            if mine[2] is None or theirs[2] is None:
                continue
            fields = different(mine[2], theirs[2])
            if fields:
                return f"{mine[0]} gave another {fields[0]} in the same run of a new instance"
        return None

    def _clear(self) -> None:
        if self._source.exists():
            shutil.rmtree(self._source, ignore_errors=True)


def _origin(task: asyncio.Task[Any]) -> str:
    """Where in the callback the code of a task stands; which hook began it is not known."""
    code = getattr(task.get_coro(), "cr_code", None)
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code is not None else ""


def _modules_of(instance: Any, callback: Any) -> list[Any]:
    """The modules of a callback's own code: its class's, its bases' and its factory's."""
    names = {kind.__module__ for kind in type(instance).__mro__}
    names.add(getattr(callback, "__module__", ""))
    return [sys.modules[n] for n in sorted(names - {"builtins", ""}) if n in sys.modules]


def _store() -> Path:
    """A store with a small real model where the hosts of the cluster say that they have one."""
    store = Path(tempfile.gettempdir()) / f"nodeinit-check-{os.getuid()}" / "store"
    manifest = attrs.evolve(SIM_MANIFEST, model_id="sim/model")
    make_tiny_model(published_path(store, manifest))
    return store


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Runs fail by the thousand, on purpose: what the engine logs about it is not wanted."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
