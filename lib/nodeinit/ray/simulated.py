"""Several hosts with GPUs that are not there, on this machine: a real Ray to try things on."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent import futures
from concurrent.futures import Future
from typing import Any

import attrs
import ray
from ray._private import worker
from ray._private.node import Node
from ray._private.parameter import RayParams

from nodeinit.errors import ConfigError, Fault
from nodeinit.placement.labels import ACCELERATOR_TYPE
from nodeinit.ray import session
from nodeinit.ray.keeper import Keeper
from nodeinit.ray.quiet import quiet

_OBJECT_STORE = 100 * 1024 * 1024  # bytes; nodeinit keeps next to nothing in it
_ALERT = {
    # Ray's own patience is 10 s and more; here a host that is killed is noticed in about one.
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 200,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}


@attrs.frozen
class _Process:
    """A host's raylet, and the thread that must outlive it."""

    node: Any
    keeper: Keeper


class SimulatedHosts:
    """The hosts of a Ray of our own: every one is a raylet and counts as a machine of its own.

    They are called `host-1`, `host-2`, …; the head is a host too, with nothing for anybody to take.
    All calls block, for seconds. Raises `ConfigError` when Ray cannot be started, or this process
    has one.
    """

    def __init__(
        self,
        hosts: int = 3,
        *,
        gpus_per_host: int = 8,
        cpus_per_host: int = 16,
        accelerator_type: str | None = None,
        namespace: str | None = None,
    ) -> None:
        if ray.is_initialized():
            raise ConfigError(
                Fault(
                    "hosts",
                    "this process is connected to a Ray already",
                    remedy="use that one (RayCluster.connect), or ray.shutdown() first",
                ),
                source="Ray",
            )
        self._gpus, self._cpus = gpus_per_host, cpus_per_host
        self._accelerator = accelerator_type
        self._hosts: dict[str, _Process] = {}
        self._started = 0
        self._opened = session.open_ray(
            "local",
            num_cpus=0,
            num_gpus=0,
            object_store_memory=_OBJECT_STORE,
            namespace=namespace,
            _node_name="head",
            _system_config=_ALERT,
        )
        self._address = ray.get_runtime_context().gcs_address
        self._sockets = worker._global_node.get_sockets_dir_path()
        try:
            self.add_hosts(hosts)
        except BaseException:
            self.close()
            raise

    @property
    def node_ids(self) -> tuple[str, ...]:
        """The node ids of the hosts, in the order of their names, without the head's."""
        return tuple(self._hosts)

    def add_hosts(
        self,
        count: int = 1,
        *,
        gpus: int | None = None,
        cpus: int | None = None,
        labels: Mapping[str, str] | None = None,
        accelerator_type: str | None = None,
        resources: Mapping[str, float] | None = None,
    ) -> tuple[str, ...]:
        """Start more hosts, side by side, and wait until they are there; answers their node ids.

        What is not said is as for the first ones. `resources` are custom ones, in units.
        """
        resources, labels = dict(resources or {}), dict(labels or {})
        kind = accelerator_type or self._accelerator
        if kind is not None:
            resources[f"accelerator_type:{kind}"] = 1
            labels[ACCELERATOR_TYPE] = kind
        starting: list[tuple[Keeper, Future[Any]]] = []
        with quiet():
            for _ in range(count):
                self._started += 1
                name = f"host-{self._started}"
                params = RayParams(
                    gcs_address=self._address,
                    redis_address=self._address,
                    node_name=name,
                    num_gpus=self._gpus if gpus is None else gpus,
                    num_cpus=self._cpus if cpus is None else cpus,
                    resources=resources,
                    labels=labels,
                    object_store_memory=_OBJECT_STORE,
                    # Those that Ray would choose may be chosen twice when hosts start side by side.
                    plasma_store_socket_name=f"{self._sockets}/plasma-{name}",
                    raylet_socket_name=f"{self._sockets}/raylet-{name}",
                    min_worker_port=0,
                    max_worker_port=0,
                    dashboard_agent_listen_port=0,
                    include_log_monitor=False,
                )
                keeper = Keeper(name)
                starting.append((keeper, keeper.submit(_start, params)))
            return self._added(starting)

    def kill_host(self, node_id: str) -> None:
        """Kill a host, as a power failure would. Ray notices in about a second."""
        self._end(node_id, gracefully=False)

    def remove_host(self, node_id: str) -> None:
        """Shut a host down properly. Ray knows at once."""
        self._end(node_id, gracefully=True)

    def close(self) -> None:
        """End every process of it."""
        for node_id in list(self._hosts):
            # Not by force: the helpers of a raylet that is killed complain to the head, and outlive
            # it by a minute when that goes meanwhile.
            self._end(node_id, gracefully=True)
        self._opened.close()

    def _added(self, starting: list[tuple[Keeper, Future[Any]]]) -> tuple[str, ...]:
        """Note the hosts that came up, all of them, before complaining about one that did not."""
        futures.wait([future for _, future in starting])
        for keeper, future in starting:
            if future.exception() is None:
                self._hosts[str(future.result().node_id)] = _Process(future.result(), keeper)
            else:
                keeper.close()
        return tuple(str(future.result().node_id) for _, future in starting)

    def _end(self, node_id: str, *, gracefully: bool) -> None:
        host = self._hosts.pop(node_id)
        with quiet():
            host.node.kill_all_processes(check_alive=False, allow_graceful=gracefully, wait=True)
        host.keeper.close()


def _start(params: RayParams) -> Node:
    # Not through ray.cluster_utils: that replaces signal handlers, which only the main thread may,
    # or else leaves its processes behind when this one crashes.
    return Node(params, head=False, shutdown_at_exit=False, spawn_reaper=True)
