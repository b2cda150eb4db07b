"""The great picture of a machine with a run on it, and on the cards what a run alone can tell."""

from __future__ import annotations

import attrs

from nodeinit.diagram.great import Overlay, machine_svg, overlay_of
from nodeinit.diagram.ir import diagram_of
from nodeinit.diagram.names import visible
from nodeinit.diagram.plan.text import fitted
from nodeinit.diagram.run.progress import progress_of
from nodeinit.diagram.run.record import RunRecord
from nodeinit.diagram.run.spans import is_setback
from nodeinit.fsm.events import Event
from nodeinit.fsm.snapshot import Step, count

_ROOM = 340.0  # pixels of a line on a card


def machine_of_run(run: RunRecord) -> str:
    """The text of an SVG."""
    return machine_svg(diagram_of(run.machine), run.policy, overlay(run))


def overlay(run: RunRecord) -> Overlay:
    """What is drawn over the machine, with the try and progress of the active phase.

    What failed, the hook or the rule, is named where it failed.
    """
    over = overlay_of(run.machine, run.steps)
    ids = {state.name: state.id for state in diagram_of(run.machine).states}
    states = dict(over.states)
    for step in run.steps:
        if is_setback(step) and step.before.state != step.after.state:
            culprit = culprit_of(step)
            id = ids[step.before.state]
            if culprit and id in states and id != over.now:
                states[id] = f"{over.states[id]}: {culprit}"
    if run.machine.phase(run.state) is not None:
        tries, attempts = count(run.snapshot.tries, run.state), run.policy.of(run.state).attempts
        states[over.now] = f"now, try {tries} of {attempts}"
        if (progress := progress_of(run)) is not None:
            states[over.now] += f", {progress.short}"
    fits = {id: fitted(visible(text), 11, _ROOM, bold=True) for id, text in states.items()}
    arrows = {arrow: _brief(text) for arrow, text in over.arrows.items()}
    notes = tuple(" ".join(note.replace("\\n", " ").split()) for note in over.notes)
    return attrs.evolve(over, arrows=arrows, states=fits, notes=notes)


def _brief(times: str) -> str:
    """When an arrow was taken; of one that was often, the last time: a label makes the picture wide."""
    often, _, rest = times.partition(" times, ")
    if not rest:
        return times
    return f"{often} times, last {rest.rpartition(' to ')[2].partition(' in ')[0]}"


def culprit_of(step: Step) -> str:
    """What a setback is laid to, in a few words: the hook, the rule, the deadline, …"""
    hook = next((hook.hook for hook in step.hooks if hook.error), None)
    if hook is not None:
        return f"hook {hook}"
    reason = step.occurred.reason or step.after.reason
    if step.occurred.event is Event.DONE or (reason is not None and reason.code == "rule"):
        guard = next((refusal.guard for refusal in step.refusals), None)
        if guard is not None:
            return f"rule {guard}"
    if step.occurred.event is Event.ELAPSED:
        return "its deadline passed"
    return "" if reason is None else reason.code
