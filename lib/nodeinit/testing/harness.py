"""One scenario with the author's callback: everything real but the cluster, the clock and Ray.

`Harness` is made once for a check and runs many scenarios; every run has fresh instances.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from nodeinit.callbacks import CallbackSpec, check_hooks, make_callback, maker
from nodeinit.context import CallbackCtx
from nodeinit.errors import ConfigError, Fault
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.events import Frame
from nodeinit.fsm.hooks import BoundCallback
from nodeinit.fsm.policy import Backoff, PhasePolicy, Policy
from nodeinit.testing import fake_ray
from nodeinit.testing.asked import judge_asked, judge_refusal
from nodeinit.testing.comparing import different
from nodeinit.testing.hidden import Hidden, changed, opaque_attributes, reaches, shared_state
from nodeinit.testing.machines import STANDARD, hooks_that_stop, machine_to_check, name_of_machine
from nodeinit.testing.outside import LINES, Outside
from nodeinit.testing.positions import Recorder
from nodeinit.testing.properties import Property, broken
from nodeinit.testing.saboteur import Saboteur
from nodeinit.testing.scenario import FOREIGN, Scenario
from nodeinit.testing.stand_in import Watched
from nodeinit.testing.surroundings import modules_of, quiet, tiny_store
from nodeinit.testing.trace import Trace
from nodeinit.testing.trial import attach, drive
from nodeinit.testing.virtual_time import Deadlock, Livelock, VirtualLoop, run_virtual
from nodeinit.testing.watched import Call, Log

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
        self._make = maker(self.spec)
        self._policy = attrs.evolve(POLICY, default=patient, hook_deadline=hook_deadline)
        self._loop = VirtualLoop()
        self._loop.limit(ROUNDS, STANDING)
        self._outside = Outside(self._loop)
        self._watched = Watched.of(self.spec, self.hooks, instance)
        self._twin = Watched.of(self.spec, self.hooks, instance, twin=True)
        self._variant = ""
        self._opaque: set[str] = set()
        self._saboteur = Saboteur(hooks_that_stop(self.machine))
        self._modules = modules_of(instance, callback)
        self._ray: fake_ray.FakeRay | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Harness:
        """Patch clocks, chance and Ray, and make the files that hosts have."""
        self._store = tiny_store()
        self._source = self._store.parent / f"source-{os.getpid()}"
        self._stack.enter_context(quiet())
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
            self._make,
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
        if not self._saboteur.failures and not idle:
            return [own]
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
