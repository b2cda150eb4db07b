"""The sixty scenarios that are played on a real Ray too: worlds with and without room, and mishaps.

Acts fall in `config` (0 s), `download` (3 s), `placement` (7.05 s) and `ready` (20 s). Those with
the same hosts come one after another, since a real host takes seconds to start.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodeinit.clusters.simulated import SimFault
from nodeinit.testing.scenario import Act, Other, Scenario

CONFIG, DOWNLOAD, PLACEMENT, READY = 0.0, 3.0, 7.05, 20.0


def _act(at: float, what: str, node_id: str = "") -> tuple[Act, ...]:
    return (Act(at, what, node_id),)


def _fault(op: str, kind: str, call: int = 0, node_id: str | None = None) -> tuple[SimFault, ...]:
    return (SimFault(op, kind, call, node_id, seconds=0.5),)


def _always(op: str, kind: str) -> tuple[SimFault, ...]:
    return tuple(SimFault(op, kind, call) for call in range(9))


_PAIR = (2, 2)
_PLAIN = (
    Scenario(_PAIR, 2, 1),
    Scenario(_PAIR, 2, 2),
    Scenario(_PAIR, 1, 3, pin="hosts"),
    Scenario(_PAIR, 1, 1, pin="none"),
    Scenario(_PAIR, 1, 4, taken=(0, 1)),
    Scenario(_PAIR, 2, 1, taken=(1, 1)),
    Scenario(_PAIR, 2, 1, taken=(1, 0), pin="none"),
    Scenario(_PAIR, 4, 1),
    Scenario(_PAIR, 1, 5),
    Scenario(_PAIR, 2, 1, taken=(2, 2)),
)
_CANCELLED = (
    Scenario(_PAIR, 2, 1, acts=_act(CONFIG, "cancel")),
    Scenario(_PAIR, 2, 1, acts=_act(DOWNLOAD, "cancel")),
    Scenario(_PAIR, 2, 2, acts=_act(PLACEMENT, "cancel")),
    Scenario(_PAIR, 2, 1, acts=_act(READY, "cancel")),
    Scenario(_PAIR, 2, 2, pin="none", acts=_act(READY, "release")),
    Scenario(_PAIR, 2, 1, acts=(Act(DOWNLOAD, "release"), Act(DOWNLOAD, "cancel"))),
    Scenario(_PAIR, 2, 1, faults=_always("manifest", "temporary"), acts=_act(0.3, "cancel")),
)
_ROBBED = (
    Scenario(_PAIR, 2, 1, acts=_act(DOWNLOAD, "steal", "a")),
    Scenario(_PAIR, 2, 1, pin="none", acts=_act(DOWNLOAD, "steal", "a")),
    Scenario(_PAIR, 2, 2, acts=_act(DOWNLOAD, "steal", "b")),
    Scenario(_PAIR, 2, 1, acts=(Act(DOWNLOAD, "steal", "a"), Act(DOWNLOAD, "steal", "b"))),
    Scenario(_PAIR, 2, 1, acts=_act(READY, "steal", "b")),
    Scenario(_PAIR, 2, 1, faults=_fault("reserve", "steal", 0, "a")),
    Scenario(_PAIR, 2, 2, faults=_fault("reserve", "steal", 0, "b")),
)
_FAULTY = (
    Scenario(_PAIR, 2, 1, faults=_fault("snapshot", "temporary")),
    Scenario(_PAIR, 2, 1, faults=_fault("manifest", "permanent")),
    Scenario(_PAIR, 2, 1, faults=_fault("fetch", "temporary")),
    Scenario(_PAIR, 2, 2, faults=_fault("fetch", "crash", 1)),
    Scenario(_PAIR, 2, 1, faults=_always("fetch", "temporary")),
    Scenario(_PAIR, 2, 1, faults=_fault("reserve", "temporary")),
    Scenario(_PAIR, 2, 1, faults=_always("reserve", "temporary")),
    Scenario(_PAIR, 2, 2, faults=_fault("reserve", "crash")),
    Scenario(_PAIR, 2, 1, faults=_fault("reserve", "slow")),
    Scenario(_PAIR, 2, 1, faults=_fault("remove", "temporary")),
    Scenario(_PAIR, 2, 1, faults=_always("remove", "temporary")),
)
_WITH_OTHERS = (
    Scenario(_PAIR, 2, 1, others=(Other("on_before_init", "temporary"),)),
    Scenario(_PAIR, 2, 1, others=(Other("on_before_download", "permanent"),)),
    Scenario(_PAIR, 2, 1, others=(Other("on_before_placement", "temporary"),)),
    Scenario(_PAIR, 2, 1, others=(Other("on_after_init", "permanent"),)),
)
_KILLED = (
    Scenario(_PAIR, 2, 1, acts=_act(READY, "kill", "a")),
    Scenario(_PAIR, 2, 1, heal=False, acts=(Act(READY, "kill", "a"), Act(READY, "kill", "b"))),
    Scenario(_PAIR, 2, 2, acts=_act(READY, "kill", "a")),
    Scenario(_PAIR, 2, 1, pin="none", acts=_act(READY, "kill", "b")),
    Scenario(_PAIR, 1, 2, pin="hosts", acts=_act(READY, "kill", "a")),
    Scenario(_PAIR, 2, 2, heal=False, acts=_act(PLACEMENT, "kill", "b")),
    Scenario(_PAIR, 2, 1, acts=_act(DOWNLOAD, "kill", "a")),
    Scenario(_PAIR, 2, 1, acts=(Act(CONFIG, "kill", "a"), Act(CONFIG, "kill", "b"))),
    Scenario(_PAIR, 2, 1, acts=(Act(READY, "kill", "a"), Act(READY, "cancel"))),
    Scenario(_PAIR, 1, 2, taken=(0, 1), acts=_act(READY, "kill", "a")),
)
_OF_OTHER_SIZES = (
    Scenario((4, 2), 1, 3, heal=False, pin="hosts"),
    Scenario((4, 2), 2, 3),
    Scenario((4, 2), 4, 1, taken=(1, 0)),
    Scenario((4, 2), 2, 2, acts=_act(DOWNLOAD, "steal", "a")),
    Scenario((1, 0), 1, 1),
    Scenario((1, 0), 1, 2),
    Scenario((8, 8), 2, 1, taken=(7, 0), pin="none"),
    Scenario((8, 8), 4, 3, pin="none"),
    Scenario((8, 8), 8, 2, taken=(0, 1)),
    Scenario((2, 2, 2), 2, 2, pin="hosts", acts=_act(DOWNLOAD, "steal", "a")),
    Scenario((2, 2, 2), 2, 2, pin="none", acts=_act(READY, "kill", "a")),
)

SCENARIOS = (
    *_PLAIN,
    *_CANCELLED,
    *_ROBBED,
    *_FAULTY,
    *_WITH_OTHERS,
    *_KILLED,
    *_OF_OTHER_SIZES,
)


def some(count: int) -> Sequence[Scenario]:
    """So many of them, spread over all kinds; all of them if there are no more."""
    count = max(1, min(count, len(SCENARIOS)))
    return tuple(SCENARIOS[i * len(SCENARIOS) // count] for i in range(count))
