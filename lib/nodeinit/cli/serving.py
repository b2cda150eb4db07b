"""Serving from end to end: plan, bring the models, deploy, watch, and give everything back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.cli import cluster
from nodeinit.cli.cluster import Where
from nodeinit.cli.errors import ExitCode, exit_code_of
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
    from nodeinit.ray.llm.preparing import Prepared

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

    async def run(self) -> Served:
        from nodeinit.ray.llm import serving

        keep = False
        try:
            work = await self._interrupts.first(self._up())
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
                return self._result("cancelled", ExitCode.CANCELLED)
            served = work.result()
            keep = served.exit_code is ExitCode.READY and self._wanted.stay != "hold"
            if served.exit_code is ExitCode.READY and not keep:
                served = await self._hold(served)
            return served
        except NodeInitError as error:
            return self._result("failed", exit_code_of(error), reason=str(error), error=error)
        finally:
            if not keep:
                await self._call(self._give_back, serving)

    async def _up(self) -> Served:
        from nodeinit.ray.llm import deployed, serving
        from nodeinit.ray.llm.prefetch import prefetch

        data = await self._prepared()
        assert self._planned is not None
        self._view.planned(self._planned)
        if not self._planned.feasible:
            return self._result("infeasible", ExitCode.INFEASIBLE, reason="it does not fit")
        with self._view.bringing(self._planned) as on_progress:
            brought = await prefetch(self._cluster, self._models, on_progress)
        self._view.brought(brought)
        self._started = await self._call(serving.start, data, self._wanted.host, self._wanted.port)
        self._deployed = True
        await self._call(serving.deploy, data, self._wanted.names)
        for name, models in self._given.items():
            told = [(model.model_id, model.selectors) for model in models]
            await self._call(deployed.note_selectors, name, told)
        url = await self._call(serving.address)
        if self._wanted.stay == "deployed":
            return self._result("deployed", ExitCode.READY, url=url)
        return await self._running(url)

    async def _prepared(self) -> dict[str, Any]:
        """Plan everything; answers the config for Serve."""
        from nodeinit.ray.llm import deployed, serving
        from nodeinit.ray.llm.preparing import prepare

        file = self._wanted.file
        await self._call(serving.check, file.data, file.source)
        known: Mapping[str, Any] = await self._call(deployed.applications)
        self._before = frozenset(known)
        snapshot = await self._cluster.snapshot()
        for app in file.applications:
            snapshot = deployed.without_application(snapshot, app.name)
        entries = [entry for app in file.applications for entry in app.entries]
        present: list[Any] = []
        for app in file.applications:
            present += await self._call(deployed.present_selectors, app.name, known, app.configs)
        found = prepare(
            file.configs,
            snapshot,
            beside=ingress_of_applications(file.applications),
            written=[entry.data.get("callback_config") for entry in entries],
            present=present,
        )
        self._planned, self._models = found.planned, found.models
        for model in found.models:
            if model.reason is not None:
                self._view.say(f"{model.model_id}: starts without nodeinit: {model.reason}")
        models = iter(found.models)
        self._given = {
            app.name: list(itertools.islice(models, len(app.entries))) for app in file.applications
        }
        return _changed(file, self._given)

    async def _running(self, url: str | None) -> Served:
        """Wait until all applications run, or one of them cannot."""
        while True:
            apps, nodes = await self._look()
            for app in apps:
                self._view.progress(app, nodes[app.name])
                why = _hopeless(nodes[app.name], app.status, app.message)
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
                await asyncio.sleep(_WATCH)

        watching = await self._interrupts.first(watch())
        watching.cancel()
        await asyncio.wait({watching})
        return served

    async def _look(self) -> tuple[Any, dict[str, dict[str, Status]]]:
        from nodeinit.ray.llm import board, serving

        apps = await self._call(serving.statuses, self._wanted.names)
        nodes = {app.name: await self._call(board.read, app.name) for app in apps}
        living = {replica.replica_id for app in apps for replica in app.replicas}
        return apps, {
            name: {key: status for key, status in found.items() if key in living}
            for name, found in nodes.items()
        }

    def _give_back(self, serving: Any) -> None:
        """Delete what was deployed here, and end the Serve that was started here. Blocking."""
        if self._deployed:
            mine = list(self._wanted.names)
            self._view.say(f"deleting {', '.join(mine)}")
            serving.delete(mine)
        if self._started:
            self._view.say("stopping Serve")
            serving.shut_down()

    def _result(self, state: str, code: ExitCode, **more: Any) -> Served:
        return Served(state, code, self._planned, **more)


def _changed(file: ServeFile, given: Mapping[str, Sequence[Prepared]]) -> dict[str, Any]:
    """The config of a file with its models prepared."""
    applications = list(file.data["applications"])
    for app in file.applications:
        one = applications[app.index]
        entries = {
            entry.place: {**entry.data, **model.changes}
            for entry, model in zip(app.entries, given[app.name], strict=True)
        }
        applications[app.index] = {**one, "args": with_entries(one["args"], entries)}
    return {**file.data, "applications": applications}


def _hopeless(
    nodes: Mapping[str, Status], status: str, message: str
) -> tuple[ExitCode, str] | None:
    """Why an application will never run, if that is so: its node says why sooner than Serve gives up."""
    for node in nodes.values():
        if node.phase == "failed" and node.reason is not None and not node.reason.temporary:
            infeasible = node.reason.code == "infeasible"
            return ExitCode.INFEASIBLE if infeasible else ExitCode.FAILED, node.reason.message
    if status == "DEPLOY_FAILED":
        return ExitCode.FAILED, message or "Serve could not deploy it"
    return None
