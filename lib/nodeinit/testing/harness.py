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
from nodeinit.node.phases import NodePhase
from nodeinit.testing import fake_ray
from nodeinit.testing.asked import judge_asked, judge_refusal, judge_reservation
from nodeinit.testing.hidden import changed, opaque_attributes, reaches, shared_state
from nodeinit.testing.machines import STANDARD, hooks_that_stop, machine_to_check, name_of_machine
from nodeinit.testing.outside import LINES, Outside
from nodeinit.testing.positions import Recorder
from nodeinit.testing.properties import Property, broken, happened
from nodeinit.testing.scenario import FOREIGN, Other, Scenario
from nodeinit.testing.trial import Trial, attach, drive
from nodeinit.testing.virtual_time import Deadlock, Livelock, VirtualLoop, run_virtual
from nodeinit.testing.watched import Call, Log, Watched, different

POLICY = Policy(
    default=PhasePolicy(deadline=600, attempts=3, backoff=Backoff(1, 2, 20)),
    replans=2,
    grace=20,
    undo_deadline=30,
)
BOUND = 1_000_000.0  # virtual seconds; all deadlines, tries and plans together come to less
ROUNDS = 100_000  # turns of the loop: some polling for a while is no livelock
STANDING = 20_000  # turns in which no time passes: whoever waits so spins
HASTE = 20  # so many times less is enough to think so, while a failure is made smaller
SOMEBODY = "somebody.else"


@attrs.define(eq=False)
class Trace(Trial):
    """A run of the author's callback: its steps, and every call of a hook."""

    log: Log = attrs.field(kw_only=True)
    properties: Sequence[Property] = attrs.field(kw_only=True)
    happened: set[str] = attrs.field(factory=set)
    """The ids of the `sometimes` that are true of this run."""
    untold: dict[str, str] = attrs.field(factory=dict)
    """Why it cannot be told of the others, by id, where they raised."""
    tasks_soon: list[asyncio.Task[Any]] = attrs.field(factory=list)

    @property
    def calls(self) -> list[Call]:
        """Every call of a hook, with the context before and after."""
        return self.log.calls

    def blame(self, check: str, message: str, call: Call) -> None:
        """Record what a call of a hook broke."""
        self.say(check, message, hook=call.hook, line=call.where)

    def soon_after(self) -> None:
        """Note the tasks of hooks that run on, and that nobody cancelled."""
        if all(call.ended is not None for call in self.calls):
            tasks = self.log.outside.tasks
            self.tasks_soon = [t for t in tasks if not t.done() and not t.cancelling()]

    def stepped(self, step: Step) -> None:
        """Judge a step, also by the author's own properties."""
        Trial.stepped(self, step)
        if step.before.state == step.after.state:
            return
        if step.after.state == NodePhase.PLACEMENT:
            for check, wrong in judge_reservation(step.after.ctx, self.cluster):
                self.say(check, wrong)
        for found in self.properties:
            if found.state == step.after.state:
                how = broken(found, step.after.ctx, self)
                if how:
                    self.say(found.id, f"in {found.state}: {how}")

    def look_back(self) -> None:
        """See what of the author's `sometimes` is true of the finished run."""
        for found in self.properties:
            if found.sometimes is not None:
                true, untold = happened(found, self.end.ctx, self)
                if true:
                    self.happened.add(found.id)
                elif untold:
                    self.untold[found.id] = untold

    def answers(self) -> list[tuple[str, str, Any, str]]:
        """What the hooks answered, for comparing with another run."""
        return [(c.hook, c.node_id, c.after, type(c.error).__name__) for c in self.calls]


@attrs.frozen
class Hidden:
    """What cannot be proved about a callback: `state` that runs share or that cannot be compared, and
    what it did `outside`, where nobody watches.
    """

    state: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.state or self.outside)


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
        hook_deadline: float = POLICY.hook_deadline,
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
        self.engine: dict[str, Any] = {}
        """Another core or driver (`core_cls`, `driver_cls`), to see whether the kit finds its bugs."""
        self._allowed = allow_exceptions
        patient = attrs.evolve(POLICY.default, deadline=max(600.0, 3 * hook_deadline))
        self._policy = attrs.evolve(POLICY, default=patient, hook_deadline=hook_deadline)
        self._loop = VirtualLoop()
        self._loop.limit(ROUNDS, STANDING)
        self._outside = Outside(self._loop)
        self._watched = Watched.of(self.spec, self.hooks, instance)
        self._twin = Watched.of(self.spec, self.hooks, instance, twin=True)
        self._variant = ""
        self._opaque: set[str] = set()
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
        self._before = shared_state(self._modules)
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

    def run(
        self,
        scenario: Scenario,
        *,
        seed: int = 0,
        twice: bool = False,
        variant: str = "",
        recorder: Recorder | None = None,
    ) -> Trace:
        """Run one scenario to its end. With `twice`, hooks are also called again, for H8 alone.

        A `variant` must not matter: `later` (another day, by the clock on the wall), `twin` (sync
        hooks are async, and the reverse), `beside` (two callbacks that do nothing, around it).
        `recorder` collects the points at which something else could have happened.
        """
        self.runs += 1
        self._variant = variant
        self._outside.reset(seed, later=variant == "later")
        self._clear()
        try:
            trace = run_virtual(self._prepared(scenario, twice, recorder), loop=self._loop)
        except (Deadlock, Livelock) as stuck:
            trace = self._trace
            trace.log.stuck()
            trace.log.close()
            if not trace.breaches:
                trace.say("M3", str(stuck))
        finally:
            self._watched.log = self._twin.log = None
            self._loop.on_turn(None)
            if twice:
                for instance in self._trace.log.instances():
                    self._opaque.update(opaque_attributes(instance))
        trace.look_back()
        return trace

    def hidden(self) -> Hidden:
        """What the callback keeps where no run shows it, so far."""
        shared = changed(self._before, shared_state(self._modules))
        return Hidden(
            (
                *(f"{name} changed, and outlives the instances" for name in shared),
                *(f"self.{name} cannot be compared" for name in sorted(self._opaque)),
            ),
            tuple(f"a hook used {name}" for name in sorted(self._outside.used)),
        )

    async def _prepared(
        self, scenario: Scenario, twice: bool, recorder: Recorder | None = None
    ) -> Trace:
        cluster = scenario.cluster()
        self._ray = fake_ray.FakeRay(cluster, self._source, self._loop)
        log = Log(
            lambda: make_callback(self.spec),
            self._outside,
            lambda check, message, call: trace.blame(check, message, call),
            allowed=self._allowed,
            twice=twice,
            judge=lambda call: self._judge(trace, call),
            refused=lambda call: self._judge_refusal(trace, call),
            there=lambda: (*cluster.groups, *(n for n, h in cluster.hosts.items() if h.alive)),
            hook_deadline=self._policy.hook_deadline,
        )
        trace = Trace(scenario, cluster, BOUND, log=log, properties=self.properties)
        self._trace, self._watched.log, self._twin.log = trace, log, log
        self._saboteur.calls.clear()
        self._saboteur.failures = scenario.others
        config = scenario.config(str(self._source), str(self._store))
        ctx = CallbackCtx(llm_config=config, custom_data={SOMEBODY: 1})
        attach(trace, ctx, self._callbacks(), self._policy, self.machine, **self.engine)
        if recorder is not None:
            recorder.watch(trace)
            self._loop.on_turn(recorder.turn)
        if await drive(trace, before_end=log.close):
            self._judge_end(trace)
        else:
            log.close()
        return trace

    def _callbacks(self) -> list[BoundCallback]:
        watched = self._twin if self._variant == "twin" else self._watched
        own = BoundCallback(
            self.spec.name, watched, frozenset(self.hooks), True, CallbackSpec(watched)
        )
        others = self._saboteur.hooks
        idle = (
            [BoundCallback("another", Saboteur(sorted(others)), others)]
            if self._variant == "beside"
            else []
        )
        return [*idle, own, *idle, BoundCallback("another", self._saboteur, others)]

    def _judge(self, trace: Trace, call: Call) -> None:
        """What the answer of a hook says about the cluster, and the author's own properties."""
        for check, wrong in judge_asked(call, trace.cluster):
            trace.blame(check, wrong, call)
        for found in self.properties:
            if found.hook == call.hook:
                how = broken(found, call.before, call.after)
                if how:
                    trace.blame(found.id, f"after {call.hook}: {how}", call)

    def _judge_refusal(self, trace: Trace, call: Call) -> None:
        """A hook claims that there is no room, for the workers and not for a group of its own."""
        if not self._now_ray().made:
            for check, wrong in judge_refusal(call, trace.cluster):
                trace.blame(check, wrong, call)

    def _judge_end(self, trace: Trace) -> None:
        """What the callback itself made and left behind."""
        ray = self._now_ray()
        for name, line in ray.removed_foreign:
            what = f"a hook removed the group {name}, which it did not make"
            trace.say("R3-foreign", what, line=line)
        if ray.empty:
            trace.say("P9-nonempty", "a hook asked Ray for a bundle with nothing in it")
        if any(trace.scenario.taken) and FOREIGN not in trace.cluster.groups:
            trace.say("R3-foreign", f"the group {FOREIGN} is gone")
        if trace.end.state not in (Frame.FAILED, Frame.CANCELLED):
            self._judge_lost(trace)
            return  # whoever released it may still close what the callback made
        for group in ray.left:
            made = group.found.name if group.found else "which still waits for its place"
            what = f"left behind in {trace.end.state}: a group of a hook's, {made}"
            trace.say("R2-leak", what, line=group.line)
        running = {c.hook for c in trace.calls if c.ended is None}
        left = trace.tasks_soon or [t for t in trace.tasks_left if t not in ray.tasks]
        if left and not running:
            what = f"{len(left)} task(s) of a hook run on in {trace.end.state}"
            trace.say("R4-tasks", what, line=_origin(left[0]))

    def _judge_lost(self, trace: Trace) -> None:
        """No hook hears of a release, but who closes the callback then must find what it made."""
        running = [task for task in self._outside.tasks if not task.done()]
        left = [group for group in self._now_ray().left if not group.named]
        if not running and not left:
            return
        ctx = trace.end.ctx
        brought = [ctx.placement_group, ctx.custom_data, ctx.extra_init_kwargs]
        roots = [*trace.log.instances(), *map(vars, self._modules), *brought]
        forgotten = [group for group in left if not reaches(roots, group)]
        if forgotten:
            what = "left behind: a group that the callback does not know any more"
            trace.say("R2-leak", what, line=forgotten[0].line)
        lost = [task for task in running if not reaches(roots, task)]
        if lost:
            what = f"{len(lost)} task(s) run on that the callback does not know any more"
            trace.say("R4-tasks", what, line=_origin(lost[0]))

    def same(self, one: Trace, other: Trace, ignore: str = "", *, hosts: bool = True) -> str | None:
        """How the hooks of two runs of a scenario answered differently; `None` if they did not.

        A field of the context may be ignored, and what hooks did on `hosts`, side by side.
        """
        calls = [[a for a in run.answers() if hosts or not a[1]] for run in (one, other)]
        for mine, theirs in zip(*calls, strict=False):
            if mine[:2] != theirs[:2] or mine[3] != theirs[3]:
                return f"{mine[0]} went differently in the same run of a new instance"
            if mine[2] is None or theirs[2] is None:
                continue
            fields = [name for name in different(mine[2], theirs[2]) if name != ignore]
            if fields:
                return f"{mine[0]} gave another {fields[0]} in the same run of a new instance"
        return None

    @contextlib.contextmanager
    def hastily(self) -> Iterator[None]:
        """Take whoever spins for hung much sooner; what comes out is to be run again at length."""
        self._loop.limit(ROUNDS, STANDING // HASTE)
        self._outside.lines = LINES // HASTE
        try:
            yield
        finally:
            self._loop.limit(ROUNDS, STANDING)
            self._outside.lines = LINES

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
