"""The same scenario on the cluster in memory and on another one: do they end alike?

    with RayStage() as stage:
        found = compare(Scenario((2, 2), 2, 1), MyCallback, stage, source=model, store=directory)
        assert found.agree, found

What is compared is how a node ends (the outcome and the kind of reason, which give the exit code of
the command line) and which rules of placement are broken when it is ready and after it is gone; not
which of equal hosts it gets, nor how long anything takes.

A scenario says when somebody acts in virtual seconds. Another cluster has other times, so the acts
are bound to states first (`Cue`): a run in memory tells in which state each of them falls, and then
both clusters see it happen when that state is entered.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from nodeinit.callbacks import CallbackSpec
from nodeinit.config import LLMConfig
from nodeinit.fsm.executor import InlineExecutor, ThreadExecutor
from nodeinit.testing import fake_ray
from nodeinit.testing.play import Cue, Ending, Play
from nodeinit.testing.scenario import Scenario, config_of
from nodeinit.testing.stage import SimStage, Stage
from nodeinit.testing.surroundings import modules_of
from nodeinit.testing.virtual_time import Deadlock, VirtualLoop, run_virtual


@attrs.frozen
class Comparison:
    """A scenario, and how it ended in memory and on the other cluster (after `tries` tries)."""

    scenario: Scenario
    callback: str
    simulated: Ending
    real: Ending
    tries: int = 1

    @property
    def agree(self) -> bool:
        """Whether both ended alike."""
        return self.simulated == self.real

    def __str__(self) -> str:
        """The scenario as Python, and how it ended."""
        if self.agree:
            return f"{self.simulated}: {self.scenario.to_python()}"
        return (
            f"{self.scenario.to_python()} with {self.callback}\n"
            f"  in memory: {self.simulated}: {self.simulated.why}\n"
            f"  on Ray:    {self.real}: {self.real.why}"
        )


def compare(
    scenario: Scenario,
    callback: Any,
    stage: Stage,
    *,
    source: str,
    store: str | os.PathLike[str],
    kwargs: Mapping[str, Any] | None = None,
    again: int = 1,
) -> Comparison:
    """Play a scenario in memory and on a stage. Blocking, for seconds.

    `callback` is a class, a function that makes an instance, or `"module:Class"`; if it has a method
    `close`, that is called in the end. `source` is the directory of a model, `store` an empty one.
    Where they differ the stage plays it `again` so many times: on a real cluster there are races.
    """
    spec = CallbackSpec(callback, dict(kwargs or {}))
    cues, simulated = simulate(scenario, spec, source=source)
    tries = 0
    while True:
        tries += 1
        config = _config(scenario, source, str(Path(store) / str(tries)))
        name = f"played-{uuid.uuid4().hex[:8]}"
        playing = Play(scenario, spec, stage, config, cues, name, ThreadExecutor())
        ending = asyncio.run(playing.run())
        if ending == simulated or tries > again:
            return Comparison(scenario, spec.name, simulated, ending, tries)


def simulate(
    scenario: Scenario, callback: CallbackSpec, *, source: str = "/models/sim"
) -> tuple[tuple[Cue, ...], Ending]:
    """In which states the acts of a scenario fall, and how it ends when they happen there."""
    cues: tuple[Cue, ...] = ()
    if scenario.acts:
        cues = tuple(_in_memory(scenario, callback, source, None).cues)
    return cues, _in_memory(scenario, callback, source, cues).ending


def _in_memory(
    scenario: Scenario, callback: CallbackSpec, source: str, cues: tuple[Cue, ...] | None
) -> Play:
    # Times are those of the kit, in which a download takes a while; otherwise files are small.
    stage = SimStage(scenario, 1e6 if cues is None else 1e9)
    config = _config(scenario, source, "")
    playing = Play(scenario, callback, stage, config, cues, "played", InlineExecutor())
    loop = VirtualLoop()
    ray = fake_ray.FakeRay(stage.cluster, Path(source), loop)
    try:
        with fake_ray.patched(modules_of(playing.instance, callback.target), lambda: ray):
            run_virtual(playing.run(), loop=loop)
    except Deadlock as stuck:
        playing.ending = Ending("hangs", why=str(stuck))
    finally:
        loop.close()
    return playing


def _config(scenario: Scenario, source: str, store: str) -> LLMConfig:
    return config_of(scenario.tp, scenario.pp, scenario.pin, source, store)
