"""Whether a request fits a cluster, by a solver that proves it: OR-tools' CP-SAT.

The model states what VALID means, host by host and bundle by bundle, as the rules do, and knows
nothing of units, shelves or an order of search. It shares no code with the planner. The rules that
decide whether a placement can exist are in it:

    V4  only hosts that are alive            V11  tensor-parallel groups whole, or in equal parts
    V5  the accelerator, by resource or label V12  as much after vLLM ranked its workers anew
    V6  label selectors                      V13  the worker of rank 0 on the engine's host
    V8  single GPUs                          V18  the strategy
    V9  all other amounts

It is exact about them, also with `span_tp`, where the planner promises less: it splits all groups
into equally many parts, each of neighbouring ranks, and lets a host have two of them only where
groups are halved. `parts` restricts the model to that. Gangs of data-parallel replicas are refused.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ortools.sat.python import cp_model

from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Host

_SECONDS = 60.0


def feasible(
    request: PlacementRequest, snapshot: ClusterSnapshot, *, parts: int | None = None
) -> bool:
    """Whether some placement breaks no rule; with `parts`, one of the form that the planner makes.

    Raises `RuntimeError` when the solver does not know, which takes it a minute.
    """
    if request.data_parallel_size > 1:
        raise ValueError("gangs of data-parallel replicas are not modelled")
    hosts = [host for host in snapshot.hosts if host.alive]
    if not hosts:
        return False
    exact = _Exact(request, hosts)
    if parts is not None:
        exact.in_parts(parts)
    return exact.solved()


class _Exact:
    """The model: `on[i][h]` says that bundle `i` is on the host number `h`."""

    def __init__(self, request: PlacementRequest, hosts: Sequence[Host]) -> None:
        self.request, self.hosts = request, sorted(hosts, key=lambda host: host.node_id)
        self.model = cp_model.CpModel()
        self.on = [
            [self.model.new_bool_var(f"bundle {i} on {host.name}") for host in self.hosts]
            for i in range(len(request.bundles))
        ]
        for i, row in enumerate(self.on):
            self.model.add_exactly_one(row)
            for host, here in zip(self.hosts, row, strict=True):
                if not _suits(request, request.bundles[i], host):
                    self.model.add(here == 0)
        for h, host in enumerate(self.hosts):
            self._fits(h, host)
        self._strategy()
        self._together(0, request.workers[0])
        for group in request.tp_groups:
            self._lies_well([sum(self.on[i][h] for i in group) for h in range(len(self.hosts))])
        # Groups that are whole stay whole whatever the order of hosts: every host has a multiple.
        if request.span_tp:
            self._ranked_anew()

    def in_parts(self, parts: int) -> None:
        """Every group in so many parts of neighbouring ranks; above two, a host for each part."""
        size = self.request.tensor_parallel_size // parts
        workers = self.request.workers
        units = [workers[i : i + size] for i in range(0, len(workers), size)]
        for first, *others in units:
            for other in others:
                self._together(first, other)
        for h in range(len(self.hosts)):
            if parts > 2:
                self.model.add_at_most_one(self.on[unit[0]][h] for unit in units)

    def solved(self) -> bool:
        """Whether there is a solution."""
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.max_time_in_seconds = _SECONDS
        status = solver.solve(self.model)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE, cp_model.INFEASIBLE):
            raise RuntimeError(f"CP-SAT: {solver.status_name(status)}")
        return bool(status != cp_model.INFEASIBLE)

    def _fits(self, h: int, host: Host) -> None:
        """What is free of one host. Ray's free CPU may be below nothing."""
        for name in {name for bundle in self.request.bundles for name in bundle.resources}:
            needs = [int(bundle.resources.get(name, 0)) for bundle in self.request.bundles]
            if name == "GPU":
                # All shares of a GPU are the same, so it does not matter which bundle gets which.
                count = sum(row[h] for row, need in zip(self.on, needs, strict=True) if need)
                share = max(needs)
                self.model.add(count <= sum(free // share for free in _single_gpus(host)))
            else:
                used = sum(need * row[h] for row, need in zip(self.on, needs, strict=True))
                self.model.add(used <= max(0, int(host.available.get(name, 0))))

    def _strategy(self) -> None:
        for i in range(1, len(self.on)):
            if self.request.strategy == "STRICT_PACK":
                self._together(0, i)
        for h in range(len(self.hosts)):
            if self.request.strategy == "STRICT_SPREAD":
                self.model.add_at_most_one(row[h] for row in self.on)

    def _together(self, one: int, other: int) -> None:
        for h in range(len(self.hosts)):
            self.model.add(self.on[one][h] == self.on[other][h])

    def _lies_well(self, counts: Sequence[Any]) -> None:
        """Workers that compute together: so many on each host, all of them on one or equally many."""
        size = self.request.tensor_parallel_size
        sizes = [k for k in range(1, size + 1) if size % k == 0] if self.request.span_tp else [size]
        chosen = {k: self.model.new_bool_var(f"parts of {k}") for k in sizes}
        self.model.add_exactly_one(chosen.values())
        for count in counts:
            used = {k: self.model.new_bool_var(f"a part of {k} here") for k in sizes}
            self.model.add(count == sum(k * here for k, here in used.items()))
            for k in sizes:
                self.model.add_implication(used[k], chosen[k])

    def _ranked_anew(self) -> None:
        """The engine's host comes first; then by node id, or those with fewer workers first."""
        count = len(self.hosts)
        most = len(self.request.workers)
        engines = [self._number(most) for _ in self.hosts]
        others = [self._number(most) for _ in self.hosts]
        for h in range(count):
            workers = sum(self.on[i][h] for i in self.request.workers)
            engine = self.on[0][h]
            self.model.add(engines[h] == workers).only_enforce_if(engine)
            self.model.add(engines[h] == 0).only_enforce_if(~engine)
            self.model.add(others[h] == workers - engines[h])
        self._runs_lie_well([sum(engines), *others])

        fewest_first = [self._number(most) for _ in self.hosts]
        at = [[self.model.new_bool_var(f"{h} at {j}") for j in range(count)] for h in range(count)]
        for h in range(count):
            self.model.add_exactly_one(at[h])
            self.model.add_exactly_one(row[h] for row in at)
            for j in range(count):
                self.model.add(fewest_first[j] == others[h]).only_enforce_if(at[h][j])
        for fewer, more in itertools.pairwise(fewest_first):
            self.model.add(fewer <= more)
        self._runs_lie_well([sum(engines), *fewest_first])

    def _runs_lie_well(self, runs: Sequence[Any]) -> None:
        """Ranks in runs, one for each host: each group of neighbouring ranks lies well."""
        size, count = self.request.tensor_parallel_size, len(self.request.workers)
        for start in range(0, count, size):
            before, covered = 0, 0
            counts = []
            for run in runs:
                covered = covered + run
                upto = self.model.new_int_var(-count, size, "of this group up to here")
                self.model.add_min_equality(upto, [covered - start, size])
                within = self._number(size)
                self.model.add_max_equality(within, [upto, 0])
                counts.append(within - before)
                before = within
            self._lies_well(counts)

    def _number(self, most: int) -> Any:
        return self.model.new_int_var(0, most, "")


def _single_gpus(host: Host) -> tuple[int, ...]:
    """The free amount of each GPU; where it is not known, whole ones and a rest."""
    if host.gpus is not None:
        return host.gpus
    whole, rest = divmod(max(0, int(host.available.get("GPU", 0))), UNIT)
    return (*[UNIT] * whole, rest)


def _suits(request: PlacementRequest, bundle: Bundle, host: Host) -> bool:
    """Whether a host is what a bundle wants, whatever is free of it."""
    if not all(_holds(want, key, host.labels) for key, want in bundle.labels.items()):
        return False
    kind = request.accelerator_type
    if kind is None or not any(bundle.resources.get(device) for device in ("GPU", "TPU")):
        return True
    by_label = host.labels.get("ray.io/accelerator-type") == kind
    return by_label or host.total.get(f"accelerator_type:{kind}", 0) > 0


def _holds(condition: str, key: str, labels: Mapping[str, str]) -> bool:
    found = re.fullmatch(r"(!?)(?:in\((.*)\)|(.*))", condition)
    assert found is not None
    negated, listed, single = found.groups()
    values = [single] if listed is None else listed.split(",")
    return (key in labels and labels[key] in values) is not bool(negated)
