"""Serving from end to end: plan, bring the models, deploy, watch, and give everything back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.cli import cluster
from nodeinit.cli.cluster import Where
from nodeinit.cli.errors import ExitCode, debugging, exit_code_of
from nodeinit.cli.serve_view import ServeView
from nodeinit.cli.signals import Interrupts
from nodeinit.clusters.base import Cluster
from nodeinit.config.applications import ServeFile, with_entries
from nodeinit.errors import NodeInitError
from nodeinit.fsm.executor import ThreadExecutor
from nodeinit.node.status import Status
from nodeinit.placement.application import ingress_of_applications
from nodeinit.placement.planned import Planned

if TYPE_CHECKING:
    from nodeinit.ray.llm.preparing import Preparation, Prepared

_ERROR = re.compile(r"^[A-Za-z_][\w.]*: (?!Traceback)", re.MULTILINE)
_POLL = 0.5  # seconds between two questions how far Serve is
_WATCH = 2.0  # the same, once everything runs


@attrs.frozen
class Wanted:
    """What to serve, and how long to stay: until it is deployed, until it runs, or until Ctrl-C."""

    file: ServeFile
    where: Where
    host: str | None = None
    port: int | None = None
    stay: str = "hold"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all applications of the file, also of those without models."""
        return tuple(app.get("name") or "default" for app in self.file.data["applications"])


@attrs.frozen
class Served:
    """What came of it. `state` is `running`, `deployed`, `infeasible`, `failed` or `cancelled`."""

    state: str
    exit_code: ExitCode
    planned: Planned | None = None
    url: str | None = None
    reason: str | None = None
    error: BaseException | None = None

    @classmethod
    def of_error(cls, error: BaseException) -> Served:
        """The result when nothing could be started."""
        return cls("failed", exit_code_of(error), reason=str(error), error=error)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON, with `None` for what there is not."""
        plan = self.planned.to_dict() if self.planned is not None else None
        return {"state": self.state, "reason": self.reason, "url": self.url, "plan": plan}


async def run(wanted: Wanted, view: ServeView) -> Served:
    """Serve; nothing that is not wanted runs on when this returns."""
    threads = ThreadExecutor()
    with Interrupts(view.interrupted) as interrupts:
        view.say(f"{'connecting to' if wanted.where.address else 'starting'} {wanted.where}")
        # Not cut short by an interrupt: a Ray that is half started could not be ended.
        connected = await threads.call(cluster.connect, wanted.where)
        try:
            if interrupts.seen:
                return Served("cancelled", ExitCode.CANCELLED)
            return await _Session(wanted, view, interrupts, connected, threads).run()
        finally:
            await connected.close()


class _Session:
    """One go at serving, on a cluster that is there."""

    def __init__(
        self,
        wanted: Wanted,
        view: ServeView,
        interrupts: Interrupts,
        connected: Cluster,
        threads: ThreadExecutor,
    ) -> None:
        self._wanted, self._view, self._interrupts = wanted, view, interrupts
        self._cluster, self._call = connected, threads.call
        self._planned: Planned | None = None
        self._started = False  # Serve, by us
        self._deployed = False
        self._before: frozenset[str] = frozenset()  # applications that ran already
        self._given: Sequence[Prepared] = ()  # what Serve was told of the models
        self._seen: frozenset[str] = frozenset()  # the hosts, when they last were too few

    async def run(self) -> Served:
        from nodeinit.ray.llm import board, serving
        from nodeinit.ray.llm.naming import kin
        from nodeinit.ray.tidying import GROUPS, tidy

        keep = arrived = False
        try:
            work = await self._interrupts.first(self._up())
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
                return self._result("cancelled", ExitCode.CANCELLED)
            served = work.result()
            arrived = served.exit_code is ExitCode.READY
            keep = arrived and self._wanted.stay != "hold"
            if arrived and not keep:
                served = await self._hold(served)
            return served
        except NodeInitError as error:
            return self._result("failed", exit_code_of(error), reason=str(error), error=error)
        finally:
            if not keep:
                await self._call(self._give_back, serving, arrived)
                # Replicas are killed: they cannot erase their notes.
                await tidy(tuple(kin(model.model_id) for model in self._given), GROUPS)
            for name in self._wanted.names if self._deployed else ():
                await self._call(board.clear, name)

    async def _up(self) -> Served:
        from nodeinit.ray.llm import board, serving
        from nodeinit.ray.llm.prefetch import prefetch

        found = await self._prepared()
        self._planned = found.planned
        self._view.planned(found.planned)
        if found.refused:
            return self._result("infeasible", ExitCode.INFEASIBLE, reason="it does not fit")
        if not found.planned.feasible:
            self._view.say("what does not fit now is left to Ray (pin: none)")
        for model in found.models:
            if model.reason is not None:
                self._view.say(f"{model.model_id}: starts without nodeinit: {model.reason}")
        with self._view.bringing(found.planned) as on_progress:
            brought = await prefetch(self._cluster, found.models, on_progress)
        self._view.brought(brought)
        data = _changed(self._wanted.file, found.models)
        if await self._call(serving.start, data, self._wanted.host, self._wanted.port):
            self._started = True
        elif not self._started and (self._wanted.host or self._wanted.port):
            self._view.say("Serve runs already: --host and --port are not applied to it")
        self._deployed = True
        if self._wanted.stay != "deployed":
            for name in self._wanted.names:
                await self._call(board.clear, name)  # of what failed before
                await self._call(board.watch, name)
        await self._call(serving.deploy, data, self._wanted.names)
        self._given = found.models
        url = await self._call(serving.address)
        if self._wanted.stay == "deployed":
            return self._result("deployed", ExitCode.READY, url=url)
        return await self._running(url)

    async def _prepared(self) -> Preparation:
        """Plan all applications of the file, beside what else is on the cluster."""
        from nodeinit.ray.llm import deployed, serving
        from nodeinit.ray.llm.preparing import prepare

        file = self._wanted.file
        await self._call(serving.check, file.data, file.source)
        known: Mapping[str, Any] = await self._call(deployed.applications)
        if not self._deployed:
            self._before = frozenset(known)
        snapshot = await self._cluster.snapshot()
        for app in file.applications:
            snapshot = deployed.without_application(snapshot, app.name)
        entries = [entry for app in file.applications for entry in app.entries]
        present: list[Any] = []
        for app in file.applications:
            present += await self._call(deployed.present_selectors, app.name, known, app.configs)
        return prepare(
            file.configs,
            snapshot,
            beside=ingress_of_applications(file.applications),
            written=[entry.data.get("callback_config") for entry in entries],
            present=present,
            pinning=deployed.takes_selectors(),
        )

    async def _running(self, url: str | None) -> Served:
        """Wait until all applications run, or one of them cannot."""
        while True:
            apps, nodes = await self._look()
            for app in apps:
                self._view.progress(app, nodes[app.name])
                why = hopeless(nodes[app.name], app.status, app.message)
                if why is not None:
                    code, text = why
                    return self._result("failed", code, reason=f"{app.name}: {text}")
            if len(apps) == len(self._wanted.names) and all(a.status == "RUNNING" for a in apps):
                self._view.say(f"ready: {url}" if url else "ready")
                return self._result("running", ExitCode.READY, url=url)
            await asyncio.sleep(_POLL)

    async def _hold(self, served: Served) -> Served:
        """Stay until an interrupt, and say what changes."""
        self._view.say("Ctrl-C ends it")

        async def watch() -> None:
            while True:
                apps, nodes = await self._look()
                for app in apps:
                    self._view.progress(app, nodes[app.name])
                await self._heal()
                await asyncio.sleep(_WATCH)

        watching = await self._interrupts.first(watch())
        watching.cancel()
        await asyncio.wait({watching})
        return served

    async def _heal(self) -> None:
        """Plan again when a host is gone that replicas are held to; Serve cannot by itself.

        Once for each change of the hosts: what does not fit now may do so when one joins.
        """
        alive = frozenset(host.node_id for host in (await self._cluster.snapshot()).alive)
        held = {host for model in self._given if model.pinned for host in model.hosts}
        if held <= alive or alive == self._seen:
            return
        self._seen = alive
        self._view.say(f"{self._view.hosts(held - alive)} gone: planning again")
        try:
            served = await self._up()
        except NodeInitError as error:
            served = self._result("failed", ExitCode.FAILED, reason=str(error))
        if served.exit_code is not ExitCode.READY:
            self._view.say(f"{served.reason}; a host that joins is tried at once")

    async def _look(self) -> tuple[Any, dict[str, dict[str, Status]]]:
        from nodeinit.ray.llm import board, serving

        apps = await self._call(serving.statuses, self._wanted.names)
        nodes = {app.name: await self._call(board.read, app.name) for app in apps}
        living = {replica.replica_id for app in apps for replica in app.replicas}
        # Of a replica that is no more, why its node failed is all that is still of interest.
        return apps, {
            name: {k: node for k, node in found.items() if k in living or node.phase == "failed"}
            for name, found in nodes.items()
        }

    def _give_back(self, serving: Any, arrived: bool) -> None:
        """Delete what was deployed here, and end the Serve that was started here. Blocking.

        An application that ran before, and whose new version did not arrive, is left to Serve.
        """
        mine = [n for n in self._wanted.names if arrived or n not in self._before]
        if self._deployed and mine:
            self._view.say(f"deleting {', '.join(mine)}")
            serving.delete(mine)
        for name in self._wanted.names if self._deployed else ():
            if name not in mine:
                self._view.say(f"{name} ran before: it is left as Serve has it now")
        if self._started:
            self._view.say("stopping Serve")
            serving.shut_down()

    def _result(self, state: str, code: ExitCode, **more: Any) -> Served:
        return Served(state, code, self._planned, **more)


def _changed(file: ServeFile, models: Iterable[Prepared]) -> dict[str, Any]:
    """The config of a file with its models prepared."""
    applications, left = list(file.data["applications"]), iter(models)
    for app in file.applications:
        one = applications[app.index]
        entries = {entry.place: {**entry.data, **next(left).changes} for entry in app.entries}
        applications[app.index] = {**one, "args": with_entries(one["args"], entries)}
    return {**file.data, "applications": applications}


def hopeless(nodes: Mapping[str, Status], status: str, message: str) -> tuple[ExitCode, str] | None:
    """Why an application will never run, if that is so: its node says why sooner than Serve gives up."""
    for node in nodes.values():
        if node.phase == "failed" and node.reason is not None and not node.reason.temporary:
            infeasible = node.reason.code == "infeasible"
            return ExitCode.INFEASIBLE if infeasible else ExitCode.FAILED, node.reason.message
    if status == "DEPLOY_FAILED":
        return ExitCode.FAILED, last_error(message) or "Serve could not deploy it"
    return None


def last_error(message: str) -> str:
    """What the last exception of Serve's tracebacks says; all of them with `--debug`."""
    errors = [*_ERROR.finditer(message)]
    return message[errors[-1].start() :] if errors and not debugging() else message
