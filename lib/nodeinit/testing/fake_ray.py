"""The part of Ray that hooks use, over a simulated cluster: placement groups, nodes, remote functions.

Callbacks that import Ray are run as they are: for the length of a check the names they imported
answer from the cluster in memory. What a remote function does on files, it really does, here.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from nodeinit.clusters.gcs import CREATED, PENDING, REMOVED
from nodeinit.clusters.simulated import SimCluster, SimGroup
from nodeinit.errors import PermanentError, TemporaryError
from nodeinit.frozen import freeze_map
from nodeinit.placement.checks import to_bundles
from nodeinit.placement.topology import amount
from nodeinit.testing.surroundings import quiet


class FakeGroup:
    """What `ray.util.placement_group` gives back; `id` is what the cluster knows it by."""

    def __init__(
        self, ray: FakeRay, bundles: Sequence[Mapping[str, float]], asked: SimGroup
    ) -> None:
        self._ray: FakeRay = ray
        self.bundle_specs = [dict(bundle) for bundle in bundles]
        self.asked = asked
        self.id = asked.id
        self.gone = False
        self.line = _asked_from()
        """Where a hook made it, as `file.py:12`."""
        self.named = False

    @property
    def found(self) -> SimGroup | None:
        """The group where it has, or had, its place; `None` while it waits for one."""
        return None if self.asked.state == PENDING else self.asked

    @property
    def bundle_count(self) -> int:
        """The number of bundles, as Ray's handle has it."""
        return len(self.bundle_specs)

    def ready(self) -> asyncio.Task[Any]:
        """Done when the group has its place; never, if there is none."""
        return self._ray.remotely(self._placed())

    def wait(self, timeout_seconds: float = 30) -> bool:
        """Whether it has its place within a time, which passes; Ray counts whole seconds of it."""
        loop, gcs = self._ray.loop, self._ray.cluster.gcs
        end = loop.time() + max(0.001, int(timeout_seconds))
        while not self._is_placed():
            if self.gone:
                raise Exception(f"Placement group {self.id} does not exist.")
            due = gcs.next_at
            if due is None or due > end:
                loop.advance(end - loop.time())
                break
            loop.advance(due - loop.time())
        return self._is_placed()

    def _is_placed(self) -> bool:
        self._ray.cluster.gcs.catch_up()
        return self.asked.state == CREATED

    async def _placed(self) -> FakeGroup:
        while not self._is_placed():
            if self.gone:
                raise self._ray.error("TaskPlacementGroupRemoved")
            await self._ray.cluster.gcs.change()
        return self


class FakeRay:
    """Answers for Ray during one run. `source` is where a model that hooks bring is looked for."""

    def __init__(self, cluster: SimCluster, source: Path, loop: Any) -> None:
        self.cluster = cluster
        self.loop = loop
        self.made: list[FakeGroup] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.removed_foreign: list[tuple[str, str]] = []
        """Groups that hooks removed and had not made, each with where."""
        self.empty = False
        self._source = source

    def remotely(self, work: Any) -> asyncio.Task[Any]:
        """Work that is not done in this process: no task of the hook's."""
        # In a context of its own, as another process is: what it starts is not the hook's either.
        task: asyncio.Task[Any] = contextvars.Context().run(self.loop.create_task, work)
        self.tasks.add(task)
        return task

    @property
    def left(self) -> list[FakeGroup]:
        """The groups that hooks made and that nobody removed."""
        return [group for group in self.made if not group.gone]

    def error(self, name: str, *args: Any) -> Exception:
        """An error of Ray's, by name."""
        made: Exception = getattr(importlib.import_module("ray.exceptions"), name)(*args)
        return made

    # -- what hooks call ---------------------------------------------------------------------------

    def placement_group(
        self,
        bundles: Sequence[Mapping[str, float]],
        strategy: str | None = None,
        name: str = "",
        lifetime: str | None = None,
        _soft_target_node_id: str | None = None,
        bundle_label_selector: Sequence[Mapping[str, str]] | None = None,
        **_: Any,
    ) -> FakeGroup:
        """A group that is placed as soon as there is room."""
        if not bundles or not all(any(v > 0 for v in bundle.values()) for bundle in bundles):
            self.empty = True
            raise ValueError("Bundles must be a non-empty list, with a non-zero resource in each.")
        selectors = [freeze_map(each) for each in bundle_label_selector or ()]
        if selectors and len(selectors) != len(bundles):
            raise ValueError("bundle_label_selector needs one selector for each bundle.")
        called = name or f"own-{len(self.made)}"
        try:
            asked = self.cluster.gcs.ask(to_bundles(bundles), strategy or "PACK", called, selectors)
        except TemporaryError as taken:
            raise self.error("RaySystemError", str(taken)) from None
        group = FakeGroup(self, bundles, asked)
        group.named = bool(name)
        self.made.append(group)
        return group

    def remove_placement_group(self, group: Any) -> None:
        """Give a group back, whatever Ray is doing with it."""
        asked = getattr(group, "asked", group)
        own = [made for made in self.made if made.asked is asked]
        for made in own:  # whichever handle of it was given
            made.gone = True
        if not own:
            self.removed_foreign.append((asked.name, _asked_from()))
        self.cluster.gcs.withdraw(asked)

    def get_placement_group(self, name: str) -> SimGroup:
        """Anybody's group, by its name; `ValueError` when there is none."""
        if name not in self.cluster.groups:
            raise ValueError(f"Failed to look up actor with name '{name}'.")
        return self.cluster.groups[name]

    def placement_group_table(self, group: Any = None) -> dict[str, Any]:
        """All live groups by id, as Ray describes them, or one of them."""
        self.cluster.gcs.catch_up()
        rows = {live.id: _row(live) for live in self.cluster.groups.values()}
        return rows if group is None else rows.get(getattr(group, "id", ""), {})

    def nodes(self) -> list[dict[str, Any]]:
        """The hosts, as `ray.nodes()` describes them."""
        return [
            {
                "NodeID": host.node_id,
                "Alive": host.alive,
                "NodeName": host.name,
                "NodeManagerHostname": host.name,
                "NodeManagerAddress": host.name,
                "Resources": {name: amount(units) for name, units in host.total.items()},
                "Labels": dict(host.labels),
            }
            for host in self.cluster.now().hosts
        ]

    def cluster_resources(self) -> dict[str, float]:
        """What living hosts have, in all."""
        return self._summed("total")

    def available_resources(self) -> dict[str, float]:
        """What of it is free."""
        return self._summed("available")

    def _summed(self, field: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for host in self.cluster.now().alive:
            for name, units in getattr(host, field).items():
                found[name] = found.get(name, 0.0) + amount(units)
        return found

    def remote(self, *functions: Any, **options: Any) -> Any:
        """A remote function: it runs here, as a task of the cluster's."""
        if functions:
            return FakeFunction(self, functions[0], options)
        return lambda function: FakeFunction(self, function, options)

    def cancel(self, task: asyncio.Task[Any], **_: Any) -> None:
        """End a remote function."""
        task.cancel()

    def wait(self, tasks: Sequence[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        """What is done of these. Nothing runs on meanwhile: what was cancelled counts as done."""
        done = [task for task in tasks if task.done() or task.cancelling()]
        return done, [task for task in tasks if task not in done]

    def is_initialized(self) -> bool:
        """There is a Ray: this one."""
        return True

    async def run(self, function: Callable[..., Any], args: Any, kwargs: Any, options: Any) -> Any:
        """A remote function on the host of its bundle, if it asks for one."""
        strategy = options.get("scheduling_strategy")
        group = getattr(strategy, "placement_group", None)
        await asyncio.sleep(0.05)
        asked = getattr(group, "asked", None)
        node_id = ""
        if asked is not None:
            while asked.state != CREATED:  # a bundle without a host runs nothing
                if asked.state == REMOVED:
                    raise self.error("TaskPlacementGroupRemoved")
                await self.cluster.gcs.change()
            node_id = asked.node_ids[max(0, strategy.placement_group_bundle_index)]
        result = function(*args, **kwargs)
        if inspect.isawaitable(result):
            result = await result
        if node_id and self._source.exists():
            # A model at the source here is one that was brought to the host it ran on.
            if not self.cluster.hosts[node_id].alive:
                raise PermanentError(f"host {node_id} died")
            self.cluster.publish(node_id)
        return result


class FakeFunction:
    """What `ray.remote` makes of a function."""

    def __init__(self, ray: FakeRay, function: Callable[..., Any], options: Any) -> None:
        self._ray, self._function, self._options = ray, function, dict(options)

    def options(self, **options: Any) -> FakeFunction:
        """The same function with other options."""
        return FakeFunction(self._ray, self._function, {**self._options, **options})

    def remote(self, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        """Call it."""
        work = self._ray.run(self._function, args, kwargs, self._options)
        return self._ray.remotely(work)


_GROUPS = (
    "placement_group",
    "remove_placement_group",
    "get_placement_group",
    "placement_group_table",
)

_NAMES = {
    "ray": (
        "nodes",
        "cluster_resources",
        "available_resources",
        "remote",
        "cancel",
        "wait",
        "is_initialized",
    ),
    "ray.util": _GROUPS,
    "ray.util.placement_group": _GROUPS,
}


@contextlib.contextmanager
def patched(modules: Sequence[Any], now: Callable[[], FakeRay]) -> Iterator[None]:
    """Put the Ray of the present run (`now()`) in the place of Ray, here and in these modules."""
    if not any(_mentions_ray(module) for module in modules):
        yield
        return

    with contextlib.ExitStack() as stack:
        # Ray's own filter of log records asks whether there is a Ray, and must not be told so.
        stack.enter_context(quiet())
        # What is not answered here fails: it must not connect to a real Ray, or even start one.
        hook = importlib.import_module("ray._private.auto_init_hook")
        stack.enter_context(mock.patch.object(hook, "enable_auto_connect", False))
        for path, names in _NAMES.items():
            for name in names:
                real = getattr(sys.modules[path], name, None)
                if not callable(real):
                    continue
                fake = _late(now, name)
                for module in (sys.modules[path], *modules):
                    for bound, value in list(vars(module).items()):
                        if value is real:
                            setattr(module, bound, fake)
                            stack.callback(setattr, module, bound, real)
        yield


def _asked_from() -> str:
    """The line of the callback that is being run: the innermost that is neither ours nor Ray's."""
    frame: FrameType | None = sys._getframe(1)
    here = str(Path(__file__).parent)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(here) and "/ray/" not in file:
            return f"{Path(file).name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _row(group: SimGroup) -> dict[str, Any]:
    placed = [*zip(group.bundles, group.node_ids, strict=True)]
    return {
        "placement_group_id": group.id,
        "name": group.name,
        "state": group.state,
        "strategy": group.strategy,
        "bundles": {i: bundle.units() for i, (bundle, _) in enumerate(placed)},
        "stats": {"scheduling_state": group.reason, "scheduling_attempt": group.tries},
        "bundles_to_node_id": {i: node_id for i, (_, node_id) in enumerate(placed)},
    }


def _late(now: Callable[[], FakeRay], name: str) -> Callable[..., Any]:
    return lambda *args, **kwargs: getattr(now(), name)(*args, **kwargs)


def _mentions_ray(module: Any) -> bool:
    try:
        source = inspect.getsource(module)
    except (OSError, TypeError):
        return "ray" in sys.modules
    return "import ray" in source or "from ray" in source
