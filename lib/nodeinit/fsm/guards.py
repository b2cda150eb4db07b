"""Guards that any machine can use: about patience and about how a run ends."""

from __future__ import annotations

from nodeinit.fsm.definition import Guard, guard
from nodeinit.fsm.events import Frame, Occurred
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import Snapshot, count


@guard
def temporary(_before: Snapshot, occurred: Occurred, _policy: Policy) -> str | None:
    """The setback may pass by itself."""
    reason = occurred.reason
    return None if reason is not None and reason.temporary else "trying again cannot help"


@guard
def attempts_left(before: Snapshot, _occurred: Occurred, policy: Policy) -> str | None:
    """The phase has not used up its tries in a row."""
    tries, attempts = count(before.tries, before.state), policy.of(before.state).attempts
    return None if tries < attempts else f"all {attempts} tries are used up"


@guard
def replans_left(before: Snapshot, _occurred: Occurred, policy: Policy) -> str | None:
    """The node may still follow another plan."""
    return (
        None if before.replans < policy.replans else f"all {policy.replans} new plans are used up"
    )


@guard
def heals(_before: Snapshot, _occurred: Occurred, policy: Policy) -> str | None:
    """The policy wants a lost node brought back."""
    return None if policy.heal else "the policy does not heal"


def ends_in(outcome: Frame) -> Guard:
    """The run was to end in this final state."""

    def check(before: Snapshot, _occurred: Occurred, _policy: Policy) -> str | None:
        return None if before.outcome == outcome else f"the outcome is {before.outcome}"

    return Guard(f"ends_in_{outcome}", check)
