"""A fetch from end to end: ask the source, look what is there, bring the rest, say what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.amounts import seconds, size
from nodeinit.cli.errors import ExitCode, exit_code_of
from nodeinit.cli.fetch_places import Place, place_of
from nodeinit.cli.fetch_plan import FetchPlan
from nodeinit.cli.fetch_subject import Subject
from nodeinit.cli.signals import Interrupts
from nodeinit.config import LLMConfig
from nodeinit.context import NodeReport
from nodeinit.errors import NodeInitError, TemporaryError
from nodeinit.fsm.policy import Policy
from nodeinit.node.alike import check_alike
from nodeinit.node.phases import NodePhase
from nodeinit.node.policy import DEFAULT
from nodeinit.node.totals import Totals

if TYPE_CHECKING:
    from nodeinit.cli.fetch_view import FetchView


@attrs.frozen
class Fetched:
    """What a fetch came to. `plan` is there once the source has answered."""

    state: str
    exit_code: ExitCode
    plan: FetchPlan | None = None
    brought: Mapping[str, NodeReport] = attrs.field(factory=dict)
    took: float = 0.0
    reason: str | None = None
    error: BaseException | None = None

    @classmethod
    def of_error(cls, error: BaseException) -> Fetched:
        """The result when it was not even planned."""
        return cls("failed", exit_code_of(error), reason=str(error), error=error)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON, with `None` for what there is not."""
        plan = self.plan.to_dict() if self.plan is not None else {}
        told = ("path", "files", "bytes", "fetched", "digest", "strategy", "seconds")
        hosts = {
            host: {name: getattr(brought, name) for name in told}
            for host, brought in self.brought.items()
        }
        return {
            "state": self.state,
            "reason": self.reason,
            "seconds": round(self.took, 3),
            **plan,
            "fetched": sum(brought.fetched for brought in self.brought.values()),
            "brought": hosts,
        }


async def run(subject: Subject, view: FetchView) -> Fetched:
    """Do what a subject asks for; nothing runs on when this returns."""
    began = time.monotonic()
    plan: FetchPlan | None = None
    brought: dict[str, NodeReport] = {}
    with Interrupts(view.interrupted) as interrupts:
        try:
            async with place_of(subject, view.say) as place:
                if interrupts.seen:
                    return _cancelled(None, None, brought)
                view.say(f"asking {subject.shown} what there is")
                asking = await interrupts.first(_planned(subject, place))
                if not asking.done():
                    await _ended(asking)
                    return _cancelled(None, None, brought)
                plan = asking.result()
                view.planned(plan, subject)
                if subject.dry_run:
                    return Fetched("planned", ExitCode.READY, plan)
                with view.watching(place.names):
                    doing = await interrupts.first(_all(subject, place, plan, view, brought))
                    if not doing.done():
                        await _ended(doing)
                        return _cancelled(plan, await place.looks(plan.manifest), brought)
                    doing.result()
                took = time.monotonic() - began
                done = Fetched("fetched", ExitCode.READY, plan, dict(brought), took)
                view.done(done, place.names)
                return done
        except NodeInitError as error:
            return attrs.evolve(Fetched.of_error(error), plan=plan, brought=dict(brought))


async def _planned(subject: Subject, place: Place) -> FetchPlan:
    manifest = await place.manifest()
    return FetchPlan(subject, manifest, place.hosts, place.names, await place.looks(manifest))


async def _all(
    subject: Subject,
    place: Place,
    plan: FetchPlan,
    view: FetchView,
    brought: dict[str, NodeReport],
) -> None:
    """Bring the model to all hosts; what may be gone next time is tried again, as a node would."""
    policy, phase = _policy(subject.config), NodePhase.DOWNLOAD
    attempts = policy.of(phase).attempts
    for tried in range(1, attempts + 1):
        try:
            await _side_by_side(place, plan, tried, view, brought)
            return
        except TemporaryError as error:
            if tried == attempts:
                raise
            wait = policy.backoff(phase, 1, tried, error.delay)
            view.say(f"{error}; try {tried + 1} of {attempts} in {seconds(wait)}")
            await asyncio.sleep(wait)


async def _side_by_side(
    place: Place, plan: FetchPlan, tried: int, view: FetchView, brought: dict[str, NodeReport]
) -> None:
    """One try on all hosts. The first that fails stops the others."""
    totals = Totals(len(place.hosts), view.progress, asyncio.get_running_loop().time)

    async def one(host: str) -> None:
        brought[host] = await place.bring(host, plan.manifest, tried, totals)

    try:
        async with asyncio.TaskGroup() as group:
            for host in place.hosts:
                group.create_task(one(host))
    except BaseExceptionGroup as failures:
        lasting = [one for one in failures.exceptions if not isinstance(one, TemporaryError)]
        raise (lasting or failures.exceptions)[0] from failures
    check_alike(brought.values())


def _policy(config: LLMConfig) -> Policy:
    asked = config.nodeinit.attempts.get(NodePhase.DOWNLOAD)
    return DEFAULT.with_phases(download={"attempts": asked}) if asked else DEFAULT


async def _ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended; what it came to does not matter any more."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _cancelled(
    plan: FetchPlan | None, looks: Mapping[str, Any] | None, brought: Mapping[str, NodeReport]
) -> Fetched:
    kept = max((one.staged + one.present for one in (looks or {}).values()), default=0)
    if plan is None or not kept:
        reason = "cancelled; no file or part that can be kept had come yet"
    else:
        reason = (
            f"cancelled; {size(kept)} of {size(plan.bytes)} are kept: "
            "the same command goes on from there"
        )
    return Fetched("cancelled", ExitCode.CANCELLED, plan, dict(brought), reason=reason)
