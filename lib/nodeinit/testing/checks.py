"""The checks: what each is called, what must hold, and how to mend what breaks it.

The ids are public and stable. `SET` is the version of the set: what was not in it when a callback
was first checked cannot fail it unseen.
"""

from __future__ import annotations

import attrs

SET = "2026.12"


@attrs.frozen
class Check:
    """A law: `says` what must hold, `hint` what to do about it, `since` in which set it first was."""

    id: str
    says: str
    hint: str
    since: str = "2026.11"


_NEW = "2026.12"
CHECKS = {
    check.id: check
    for check in (
        Check(
            "H1-return",
            "a hook returns a CallbackCtx, or None for unchanged",
            "return attrs.evolve(ctx, …); a sync hook must not forget to await what is async",
        ),
        Check(
            "H2-mutated",
            "the context that a hook received stays as it was, also later",
            "return attrs.evolve(ctx, field=…) instead of changing the context or what is in it",
        ),
        Check(
            "H3-raised",
            "only TemporaryError and PermanentError leave a hook",
            "raise TemporaryError to be tried again, PermanentError to give up; handle the others",
        ),
        Check(
            "H4-hang",
            "every hook comes to its end",
            "bound what you wait for: async with asyncio.timeout(seconds)",
        ),
        Check(
            "H5-blocking",
            "an async hook never blocks the event loop",
            "await asyncio.sleep / asyncio.to_thread(…), or make the hook a plain function",
        ),
        Check(
            "H6-cancel",
            "a cancelled hook cleans up and lets CancelledError go",
            "re-raise asyncio.CancelledError; clean up in `finally`; never use asyncio.wait_for",
        ),
        Check(
            "H7-readonly",
            "a hook changes only fields that it may change, while it may",
            "what a hook may change stands beside each field of CallbackCtx",
        ),
        Check(
            "H7-custom_data",
            "what somebody else wrote into custom_data stays",
            "return ctx.evolve(custom_data=ctx.custom_data.set(key, value)) with a key of your own",
        ),
        Check(
            "H8-idempotent",
            "the same hook with the same context gives the same answer, and not more of it",
            "set what is wanted instead of adding to it; hooks fire again with every new plan",
        ),
        Check(
            "H9-twin",
            "a hook does the same as a plain function and as an async one",
            "do not look at which loop or thread runs the hook",
            _NEW,
        ),
        Check(
            "H10-deterministic",
            "the same run of a new instance gives the same answers",
            "keep state on self, not in a module or on the class; leave chance and clocks out",
        ),
        Check(
            "H11-commutes",
            "callbacks that do nothing change nothing",
            "keep what you need on self or under your own key; do not count on who else is there",
            _NEW,
        ),
        Check(
            "H12-refused",
            "no hook turns a cluster away that has room for the workers",
            "raise NoCapacityError only for what plan(request, snapshot) finds no place for",
            _NEW,
        ),
        Check(
            "P1-bundles",
            "what a hook asks for has a bundle for every worker, with what the config gives one",
            "begin with PlacementRequest.from_config(ctx.llm_config), and its bundles",
            _NEW,
        ),
        Check(
            "P2-assign",
            "every bundle of a group that a hook hands over has its host",
            "wait for the group (await group.ready()) before you hand it over",
            _NEW,
        ),
        Check(
            "P3-alive",
            "the hosts of a group that a hook hands over are there",
            "take the hosts of the plan in hand, not those of an earlier one",
            _NEW,
        ),
        Check(
            "P4-label",
            "hosts are of the kind, the labels and the domain that are asked for",
            "keep accelerator_type and topology: evolve PlacementRequest.from_config(ctx.llm_config)",
            _NEW,
        ),
        Check(
            "P5-capacity",
            "the bundles of each host fit its GPUs one by one, and what else it has",
            "do not count sums: a share of a GPU must fit into one GPU",
            _NEW,
        ),
        Check(
            "P6-pack",
            "a group that is packed strictly is on one host",
            "STRICT_PACK is for what fits on one host",
            _NEW,
        ),
        Check(
            "P7-spread",
            "a group that is spread strictly has a host for each bundle",
            "STRICT_SPREAD is for as many hosts as there are bundles",
            _NEW,
        ),
        Check(
            "P8-order",
            "the workers of a tensor-parallel group stay together, in the order of their ranks",
            "tensor_parallel_size comes first; SPREAD only what may lie apart, or use span_tp",
            _NEW,
        ),
        Check(
            "P9-nonempty",
            "no bundle is empty",
            "every bundle must ask for something: Ray refuses one that does not",
            _NEW,
        ),
        Check(
            "R1-ready",
            "a ready node has a live group that obeys every rule",
            "do not touch groups of nodeinit, nor one that you handed over",
        ),
        Check(
            "R2-leak",
            "a node that failed or was cancelled holds nothing",
            "give back what your hooks made in on_init_failed, also when a hook was cancelled",
        ),
        Check(
            "R3-foreign",
            "groups of others are left alone",
            "remove only the groups that you made",
        ),
        Check(
            "R4-tasks",
            "no task of a hook outlives a node that failed or was cancelled",
            "keep the task on self and cancel it in on_init_failed; or use asyncio.TaskGroup",
        ),
        Check(
            "R5-reserve",
            "a group that a hook handed over is there, and good, when the workers are placed",
            "keep the group that you handed over until on_init_failed, or until the node is released",
            _NEW,
        ),
        Check(
            "R6-download",
            "the model is complete where the node is ready, and no download is left",
            "with run_init_node=False the files must be at model_source on every host of the group",
        ),
        Check(
            "M1", "only edges of the machine are taken", "this is a bug of the engine: report it"
        ),
        Check("M2", "hooks fire in order, once", "this is a bug of the engine: report it"),
        Check("M3", "every run ends, in time, with a reason", "see which hook or phase never ends"),
        Check("M4", "a retry begins with the original context", "report it: a bug of the engine"),
        Check(
            "M5",
            "every state and every edge was reached, so the others were not passed in vain",
            "use a larger profile; a callback that always fails reaches little",
        ),
    )
}


def hint_of(check: str) -> str:
    """What to do about a breach of a check or of a property."""
    found = CHECKS.get(check)
    if check.startswith("sometimes:"):
        return "use a larger profile; what never happens cannot be tested"
    return found.hint if found else "the property is your own"
