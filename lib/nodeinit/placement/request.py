"""What a node asks of a cluster: bundles in worker order, and how they must lie."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.placement import checks
from nodeinit.placement.amounts import UNIT
from nodeinit.placement.hosts import Bundle
from nodeinit.placement.placed import Pin

if TYPE_CHECKING:
    from nodeinit.config import LLMConfig


@attrs.frozen(cache_hash=True)
class PlacementRequest:
    """The bundles of one node, how its workers are grouped, and where it may go.

    `bundles` are in the order of worker ranks: the replica varies slowest, then the stage of the
    pipeline, then the tensor rank. The first is the engine's. They may be given as mappings of
    amounts in units. A list may hold bundles of no worker: ones without a device among ones with,
    and devices beyond the number of workers. `accelerator_type` is what the hosts of device bundles
    must have, as Ray calls it (`H100`). `span_tp` lets the workers of one tensor-parallel group lie
    on several hosts, equally many on each. `topology` is a label of hosts, such as `rack`: all
    bundles go to hosts with the same value of it. `pin` is how much of the plan Ray is told.

    With data parallelism every replica is a rank of its own with an engine of its own: the bundles
    are those of the first rank, then as many of the second. A bundle with several TPU chips holds
    as many workers.

    Raises `ConfigError`, with every fault, for a request that no cluster could serve as meant: what
    Ray lets through and then never reserves is refused here, so that nothing later has to.
    """

    bundles: tuple[Bundle, ...] = attrs.field(converter=checks.to_bundles)
    strategy: str = "PACK"
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    accelerator_type: str | None = None
    span_tp: bool = False
    topology: str | None = None
    pin: Pin = attrs.field(default=Pin.NODE, converter=checks.to_pin)

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be meant; the shape is only looked at once its parts are sound."""
        faults = [*checks.of_fields(self), *checks.of_amounts(self.bundles)]
        if not faults:
            faults = [*checks.of_shape(self)]
        if faults:
            raise checks.refused(faults)

    @classmethod
    def of(
        cls,
        tensor_parallel_size: int = 1,
        pipeline_parallel_size: int = 1,
        *,
        gpu: float = 1,
        cpu: float = 0,
        memory: float = 0,
        resources: Mapping[str, float] | None = None,
        engine: Mapping[str, float] | None = None,
        labels: Mapping[str, str] | None = None,
        strategy: str = "PACK",
        accelerator_type: str | None = None,
        data_parallel_size: int = 1,
        span_tp: bool = False,
        topology: str | None = None,
        pin: Pin | str = Pin.NODE,
    ) -> PlacementRequest:
        """A request for equal workers: amounts in units (`memory` in bytes) for each of them.

        `resources` are further amounts of each worker, `engine` what the first bundle of each
        data-parallel rank gets on top for the engine itself, `labels` the selector that every host
        must satisfy.
        """
        sizes = (tensor_parallel_size, pipeline_parallel_size, data_parallel_size)
        worker = {"GPU": gpu, "CPU": cpu, "memory": memory, **(resources or {})}
        extra = engine or {}
        first = {name: worker.get(name, 0) + extra.get(name, 0) for name in {**worker, **extra}}
        checks.count_workers(*sizes)
        rank = [first, *[worker] * (tensor_parallel_size * pipeline_parallel_size - 1)]
        bundles = checks.to_bundles(rank * data_parallel_size)
        return cls(
            tuple(attrs.evolve(bundle, labels=labels or {}) for bundle in bundles),
            strategy,
            *sizes,
            accelerator_type=accelerator_type,
            span_tp=span_tp,
            topology=topology,
            pin=pin,
        )

    @classmethod
    def from_config(cls, config: LLMConfig) -> PlacementRequest:
        """The request that a config stands for, with the semantics of `ray.serve.llm`.

        See `nodeinit.placement.from_config`.
        """
        from nodeinit.placement.from_config import request_from_config

        return request_from_config(config)

    @functools.cached_property
    def device(self) -> str | None:
        """The resource that workers run on: `GPU`, `TPU`, or `None` for the CPU."""
        kinds = set(self.bundles)
        for name in checks.DEVICES:
            if any(checks.has(bundle, name) for bundle in kinds):
                return name
        return None

    @property
    def gpu_share(self) -> int:
        """What each device bundle takes of one GPU, fixed point; a whole one without GPUs."""
        return next((bundle.gpu for bundle in self.bundles if bundle.gpu), UNIT)

    @property
    def world_size(self) -> int:
        """The number of workers."""
        return self.tensor_parallel_size * self.pipeline_parallel_size * self.data_parallel_size

    @functools.cached_property
    def ranks(self) -> tuple[tuple[int, ...], ...]:
        """The bundles of each data-parallel rank."""
        size = max(1, len(self.bundles) // self.data_parallel_size)
        return tuple(
            tuple(range(start, start + size))
            for start in range(0, size * self.data_parallel_size, size)
        )

    @functools.cached_property
    def workers(self) -> tuple[int, ...]:
        """The bundle of each worker, by rank."""
        of_rank = self.tensor_parallel_size * self.pipeline_parallel_size
        places = {bundle: self._places(bundle) for bundle in set(self.bundles)}
        return tuple(
            i
            for rank in self.ranks
            for i in [i for i in rank for _ in range(places[self.bundles[i]])][:of_rank]
        )

    def _places(self, bundle: Bundle) -> int:
        """How many workers a bundle can hold."""
        match self.device:
            case None:
                return 1
            case "TPU":
                return int(bundle.resources.get("TPU", 0)) // UNIT
            case device:
                return int(checks.has(bundle, device))

    @property
    def engines(self) -> tuple[tuple[int, int], ...]:
        """Of each data-parallel rank: the bundle of its engine, and that of its first worker."""
        of_rank = self.tensor_parallel_size * self.pipeline_parallel_size
        return tuple(
            (rank[0], self.workers[number * of_rank]) for number, rank in enumerate(self.ranks)
        )

    @property
    def rank_requests(self) -> tuple[PlacementRequest, ...]:
        """Each data-parallel rank as a request of its own."""
        return tuple(
            attrs.evolve(self, bundles=tuple(self.bundles[i] for i in rank), data_parallel_size=1)
            for rank in self.ranks
        )

    @property
    def tp_groups(self) -> tuple[tuple[int, ...], ...]:
        """The bundles of each group of tensor-parallel workers, by replica and stage."""
        size, workers = self.tensor_parallel_size, self.workers
        return tuple(workers[i : i + size] for i in range(0, len(workers), size))

    def to_dict(self) -> dict[str, Any]:
        """The request as JSON, amounts in units."""
        return {
            "bundles": [{"resources": b.units(), "labels": dict(b.labels)} for b in self.bundles],
            "strategy": self.strategy,
            **{name: getattr(self, name) for name in checks.SIZES},
            "accelerator_type": self.accelerator_type,
            "span_tp": self.span_tp,
            "topology": self.topology,
            "pin": str(self.pin),
        }
