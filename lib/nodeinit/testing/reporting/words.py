"""What every report says in the same words: the world of a scenario, what went wrong in it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from nodeinit.testing.checks import CHECKS
from nodeinit.testing.scenario import Scenario
from nodeinit.testing.scenario_line import calls, runs

WIDTH = 110


def law(check: str) -> str:
    """What must hold, for a check or a property."""
    found = CHECKS.get(check)
    return found.says if found else "a property of your own"


def world(scenario: Scenario) -> str:
    """The hosts and the request."""
    said = (scenario.kinds, scenario.labels, scenario.taken)
    hosts = [
        _host(node_id, gpus, *(_at(each, i) for each in said))
        for i, (node_id, gpus) in enumerate(zip(scenario.node_ids, scenario.gpus, strict=True))
    ]
    asked = [
        f"tensor {scenario.tp} x pipeline {scenario.pp}",
        *([f"{scenario.gpu:g} GPU each"] if scenario.gpu != 1 else []),
        *([f"{scenario.cpu:g} CPU each"] if scenario.cpu else []),
        *([f"on {scenario.kind}"] if scenario.kind else []),
        *([scenario.strategy] if scenario.strategy else []),
        *([f"within one {scenario.topology}"] if scenario.topology else []),
        *(["span_tp"] if scenario.span_tp else []),
        f"pin {scenario.pin}",
        *([] if scenario.heal else ["not healed"]),
    ]
    return f"{', '.join(hosts)}; {', '.join(asked)}"


def _host(node_id: str, gpus: int, kind: str, labels: str, taken: Any) -> str:
    what = f"{node_id} with {gpus} {kind or 'GPU'}"
    return what + (f" ({taken} taken)" if taken else "") + (f" [{labels}]" if labels else "")


def _at(values: Sequence[Any], index: int) -> Any:
    return values[index] if index < len(values) else ""


_FAULTS = {
    "temporary": "fails for the moment",
    "permanent": "fails for good",
    "crash": "raises what nobody expects",
    "hang": "never answers",
    "slow": "takes {seconds:g} s longer",
    "kill": "host {node_id} dies during it",
    "steal": "somebody takes what is free on {node_id} during it",
    "lie": "claims success without it",
}
_ACTS = {
    "cancel": "somebody cancels",
    "release": "somebody releases the node",
    "kill": "host {node_id} dies",
    "join": "a host joins, {node_id}",
    "steal": "somebody takes what is free on {node_id}",
    "disk_full": "the journal cannot be written any more",
}


def went_wrong(scenario: Scenario) -> list[str]:
    """The faults, the acts from outside, the failures of another callback."""
    found = []
    for fault, count in runs(scenario.faults):
        how = _FAULTS.get(fault.kind, fault.kind)
        said = how.format(seconds=fault.seconds, node_id=fault.node_id)
        which = f"call{'s' if count > 1 else ''} {calls(fault, count)}"
        found.append(f"fault: {fault.op}, {which}: {said}")
    for act in scenario.acts:
        said = _ACTS.get(act.what, act.what).format(node_id=act.node_id)
        later = f" (+{act.rounds} turns of the loop)" if act.rounds else ""
        found.append(f"from outside, at {act.at:g} s{later}: {said}")
    for other in scenario.others:
        found.append(
            f"another callback fails ({other.kind}) in {other.hook}, call {other.call + 1}"
        )
    return found


def clipped(text: str, width: int = WIDTH) -> str:
    """One line, short enough to be read."""
    line = " ".join(text.split("\n")[:1])
    return line if len(line) <= width else line[: width - 1] + "…"


def wrapped(text: str, indent: str, lines: int) -> list[str]:
    """At most so many lines; what does not fit is cut off."""
    found = textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ")
    if len(found) > lines:
        found = [*found[: lines - 1], clipped(f"{found[lines - 1]} …")]
    return found or [indent.rstrip()]
