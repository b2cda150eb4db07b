"""What `nodeinit serve` shows: the plan, the models on their way, and how far each replica is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
from rich.console import Console

from nodeinit.amounts import size
from nodeinit.cli.fetch_view import FetchLines, FetchLive, FetchView
from nodeinit.cli.names import HostNames
from nodeinit.clusters.base import Progress
from nodeinit.node.status import Status
from nodeinit.placement.planned import Planned
from nodeinit.placement.topology import ClusterSnapshot

if TYPE_CHECKING:
    from nodeinit.ray.llm.prefetch import Brought
    from nodeinit.ray.llm.serving import AppStatus

_BETWEEN = "\0"


class _Places(HostNames):
    """What to call a model on a host."""

    def __getitem__(self, node_id: str) -> str:
        model_id, between, host = node_id.partition(_BETWEEN)
        return f"{model_id} on {super().__getitem__(host)}" if between else model_id


class ServeView:
    """Says things in lines; `console` is `None` for somebody who wants to hear nothing."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._names = HostNames(ClusterSnapshot(()))
        self._said: dict[str, str] = {}

    def say(self, text: str) -> None:
        """Say something in a line of its own."""
        if self._console is not None:
            self._console.print(text, soft_wrap=True)

    def interrupted(self, count: int) -> None:
        """Somebody wants to stop, for the `count`-th time."""
        self.say("interrupted: stopping" if count == 1 else "still stopping")

    def hosts(self, node_ids: Iterable[str]) -> str:
        """Hosts in words: `host-1 (4f2a91c0) is`, `a and b are`."""
        names = sorted(self._names[node_id] for node_id in node_ids)
        return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"

    def planned(self, planned: Planned) -> None:
        """Show where everything goes."""
        self._names = HostNames(planned.snapshot)
        if self._console is not None:
            from nodeinit.cli.picture import print_picture
            from nodeinit.cli.verdicts import print_verdicts

            print_picture(self._console, planned)
            print_verdicts(self._console, planned)

    @contextmanager
    def bringing(self, planned: Planned) -> Iterator[Bringing]:
        """While models are brought to hosts."""
        view = FetchView()
        if self._console is not None:
            view = (FetchLive if self._console.is_terminal else FetchLines)(self._console)
        with view.watching(_Places(planned.snapshot)):
            yield Bringing(view)

    def brought(self, models: tuple[Brought, ...]) -> None:
        """Say what became of each model."""
        for model in models:
            if model.reason is not None:
                self.say(f"{model.model_id}: not brought beforehand: {model.reason}")
                continue
            hosts = len(model.reports)
            where = "one host" if hosts == 1 else f"{hosts} hosts"
            moved = f"{size(model.fetched)} fetched" if model.fetched else "nothing to fetch"
            self.say(f"{model.model_id} is on {where}: {moved}")

    def progress(self, app: AppStatus, nodes: Mapping[str, Status]) -> None:
        """Say what has changed of an application and its replicas."""
        for replica in app.replicas:
            node = nodes.get(replica.replica_id)
            told = _told(node) if node is not None else replica.state.lower()
            host = f" on {self._names[replica.node_id]}" if replica.node_id else ""
            key = f"{replica.deployment} {replica.replica_id}{host}"
            if replica.state == "RUNNING":
                told = "running"
            self._once(key, told)
        self._once(app.name, app.status.lower().replace("_", " "))

    def _once(self, key: str, told: str) -> None:
        if self._said.get(key) != told:
            self._said[key] = told
            self.say(f"{key}: {told}")


@attrs.frozen
class Bringing:
    """Passes on how far models are."""

    view: FetchView

    def __call__(self, model_id: str, progress: Progress) -> None:
        """One host got further with one model, or all hosts together."""
        where = f"{model_id}{_BETWEEN}{progress.node_id}" if progress.node_id else model_id
        self.view.progress(attrs.evolve(progress, node_id=where))


def _told(node: Status) -> str:
    """A node in a few words, in steps that are worth a line."""
    text = "ready, the engine starts" if node.ready else node.phase
    if node.attempt > 1:
        text += f" (attempt {node.attempt} of {node.attempts})"
    progress = node.progress
    if node.phase == "download" and progress is not None and progress.total:
        text += f" {10 * int(10 * progress.fraction)} % of {size(progress.total)}"
    if node.phase in ("backoff", "failed", "cancelled") and node.reason is not None:
        text += f": {node.reason.message}"
    return text
