"""What a node asks of a cluster: bundles in worker order, and how they must lie."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.placement import checks
from nodeinit.placement.topology import UNIT, Bundle

if TYPE_CHECKING:
    from nodeinit.config import LLMConfig


@attrs.frozen
class PlacementRequest:
    """The bundles of one node, how its workers are grouped, and where it may go.

    `bundles` are in the order of worker ranks: the replica varies slowest, then the stage of the
    pipeline, then the tensor rank. The first is the engine's. They may be given as mappings of
    amounts in units. A list may hold bundles of no worker: ones without a device among ones with,
    and devices beyond the number of workers. `accelerator_type` is what the hosts of device bundles
    must have, as Ray calls it (`H100`). `span_tp` lets the workers of one tensor-parallel group lie
    on several hosts, equally many on each.

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
    ) -> PlacementRequest:
        """A request for equal workers: amounts in units (`memory` in bytes) for each of them.

        `resources` are further amounts of each worker, `engine` what the first bundle gets on top
        for the engine itself, `labels` the selector that every host must satisfy.
        """
        sizes = (tensor_parallel_size, pipeline_parallel_size, data_parallel_size)
        worker = {"GPU": gpu, "CPU": cpu, "memory": memory, **(resources or {})}
        extra = engine or {}
        first = {name: worker.get(name, 0) + extra.get(name, 0) for name in {**worker, **extra}}
        bundles = checks.to_bundles([first, *[worker] * (checks.count_workers(*sizes) - 1)])
        return cls(
            tuple(attrs.evolve(bundle, labels=labels or {}) for bundle in bundles),
            strategy,
            *sizes,
            accelerator_type=accelerator_type,
            span_tp=span_tp,
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
    def workers(self) -> tuple[int, ...]:
        """The bundle of each worker, by rank."""
        device = self.device
        able = (i for i, b in enumerate(self.bundles) if device is None or checks.has(b, device))
        return tuple(able)[: self.world_size]

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
        }
