"""What a placement request may not ask for, each with the place, the reason and the remedy.

Ray lets most of it through, and then reserves nothing or waits for ever: a negative amount, NaN,
`True`, less than its smallest step, more than one GPU for a worker, `gpu` for `GPU`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nodeinit.errors import ConfigError, Fault, nearest
from nodeinit.placement import labels as selectors
from nodeinit.placement.amounts import UNIT, amount, fixed
from nodeinit.placement.hosts import Bundle
from nodeinit.placement.placed import Pin

if TYPE_CHECKING:
    from nodeinit.placement.request import PlacementRequest

STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")
"""Ray's strategies (`ray/util/placement_group.py`, `VALID_PLACEMENT_GROUP_STRATEGIES`)."""

DEVICES = ("GPU", "TPU")
"""The resources that a worker may run on. Without any, every bundle is a worker's, on the CPU."""

SIZES = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")

_SPELLING = {name.lower(): name for name in (*DEVICES, "CPU", "memory", "object_store_memory")}


def refused(faults: Iterable[Fault]) -> ConfigError:
    """The error for a request with these faults."""
    return ConfigError(tuple(faults), source="placement request")


def has(bundle: Bundle, resource: str) -> bool:
    """Whether a bundle asks for any of a resource."""
    return int(bundle.resources.get(resource, 0)) > 0


def count_workers(tensor: int, pipeline: int, data: int = 1) -> int:
    """The product of the sizes; `ConfigError` where one of them is not a number of workers."""
    faults = [*_of_sizes(dict(zip(SIZES, (tensor, pipeline, data), strict=True)))]
    if faults:
        raise refused(faults)
    return tensor * pipeline * data


def to_pin(value: Any) -> Any:
    """A pin level from its name; anything else is left for `of_fields` to complain about."""
    return Pin(value) if isinstance(value, str) and value in list(Pin) else value


def to_bundles(values: Any) -> tuple[Bundle, ...]:
    """Bundles from bundles, or from mappings of amounts in units.

    Raises `ConfigError` for anything else, and for amounts that are no finite numbers.
    """
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise refused([Fault("bundles", "is not a list of bundles", repr(values))])
    items = list(values)
    faults = [fault for i, item in enumerate(items) for fault in _of_item(f"bundles[{i}]", item)]
    if faults:
        raise refused(faults)
    # Equal bundles become one object: a thousand workers are then compared and hashed as one.
    same: dict[Bundle, Bundle] = {}
    bundles = (i if isinstance(i, Bundle) else Bundle.from_units(i) for i in items)
    return tuple(same.setdefault(bundle, bundle) for bundle in bundles)


def _of_item(where: str, item: Any) -> Iterator[Fault]:
    if isinstance(item, Bundle):
        return
    if not isinstance(item, Mapping):
        remedy = 'write a mapping such as {"GPU": 1}'
        yield Fault(where, "is not a mapping of amounts", repr(item), remedy)
        return
    for name, units in item.items():
        if not isinstance(name, str):
            yield Fault(where, "has a key that is not the name of a resource", repr(name))
            continue
        try:
            fixed(units)
        except ValueError as error:
            yield Fault(f"{where}.{name}", str(error), remedy="write how many units, such as 1")


def of_fields(request: PlacementRequest) -> Iterator[Fault]:
    """What is wrong with single fields, bundles apart."""
    yield from _of_sizes({name: getattr(request, name) for name in SIZES})
    if request.strategy not in STRATEGIES:
        hint = nearest(str(request.strategy).upper(), STRATEGIES)
        remedy = f"did you mean {hint}?" if hint else f"use one of {', '.join(STRATEGIES)}"
        yield Fault("strategy", "is not a placement strategy", repr(request.strategy), remedy)
    # Typed, but these come from files and callbacks too.
    kind: Any = request.accelerator_type
    if kind is not None and (not isinstance(kind, str) or not kind.strip()):
        yield Fault("accelerator_type", "is not a name", repr(kind), "write one such as H100")
    span: Any = request.span_tp
    if not isinstance(span, bool):
        yield Fault("span_tp", "is neither true nor false", repr(span))
    label: Any = request.topology
    if label is not None and (not isinstance(label, str) or selectors.problem({label: ""})):
        yield Fault("topology", "is not the name of a label", repr(label), "write one such as rack")
    pin: Any = request.pin
    if not isinstance(pin, Pin):
        hint = nearest(str(pin).lower(), list(Pin))
        remedy = f"did you mean {hint}?" if hint else f"use one of {', '.join(Pin)}"
        yield Fault("pin", "is not a pin level", repr(pin), remedy)


def _of_sizes(sizes: Mapping[str, Any]) -> Iterator[Fault]:
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            yield Fault(name, "is not a number of workers", repr(size), "write 1, 2, 3, …")


def of_amounts(bundles: tuple[Bundle, ...]) -> Iterator[Fault]:
    """What is wrong with single bundles."""
    if not bundles:
        yield Fault("bundles", "is empty", remedy="list one bundle for each worker")
    for i, bundle in enumerate(bundles):
        if not bundle.resources:
            yield Fault(f"bundles[{i}]", "asks for nothing", remedy='write for example {"GPU": 1}')
        for name, value in sorted(bundle.resources.items()):
            yield from _of_amount(f"bundles[{i}].{name}", name, value)
        problem = selectors.problem(bundle.labels)
        if problem:
            yield Fault(f"bundles[{i}].labels", problem)


def _of_amount(where: str, name: str, value: Any) -> Iterator[Fault]:
    if isinstance(value, bool) or not isinstance(value, int):
        yield Fault(where, "is not a fixed-point amount", repr(value), "use Bundle.of")
        return
    units = str(amount(value))
    right = _SPELLING.get(name.lower(), name)
    if right != name:
        problem = "is a resource that no host has: names are case-sensitive"
        yield Fault(where, problem, units, f"write {right}")
    if value < 0:
        yield Fault(where, "is negative", units, "write an amount above 0")
    elif value == 0:
        problem = "is below 0.0001, of which Ray reserves nothing"
        yield Fault(where, problem, remedy="ask for more, or leave it out")
    elif right == "GPU" and value > UNIT:
        problem = "is more than the one GPU that a worker runs on"
        yield Fault(where, problem, units, "write one bundle for each worker")
    elif right == "TPU" and value % UNIT:
        yield Fault(where, "is not a whole number of chips", units, "write 1")


def of_shape(request: PlacementRequest) -> Iterator[Fault]:
    """What is wrong between the fields, each of them being sound."""
    used = [name for name in DEVICES if any(has(bundle, name) for bundle in request.bundles)]
    if len(used) > 1:
        yield Fault("bundles", "ask for GPUs and for TPUs", remedy="use one kind of device")
    yield from _of_shares(request)
    ranks = request.data_parallel_size
    if len(request.bundles) % ranks:
        problem = f"cannot be shared out among data_parallel_size={ranks} ranks"
        remedy = f"list equally many for each of the {ranks} ranks"
        yield Fault("bundles", problem, str(len(request.bundles)), remedy)
        return
    if len(request.workers) < request.world_size:
        named = SIZES if ranks > 1 else SIZES[:2]
        sizes = ", ".join(f"{name}={getattr(request, name)}" for name in named)
        found = f"{len(request.workers)}{f' with a {used[0]}' if used else ''}"
        problem = f"are too few for the {request.world_size} workers of {sizes}"
        yield Fault("bundles", problem, found, f"list {request.world_size}, or lower the sizes")
    if request.accelerator_type is not None and not used:
        problem = "is given although no bundle asks for a GPU"
        remedy = "leave it out, or ask for GPUs"
        yield Fault("accelerator_type", problem, repr(request.accelerator_type), remedy)
    yield from _of_strategy(request)


def _of_shares(request: PlacementRequest) -> Iterator[Fault]:
    shares = sorted({bundle.gpu for bundle in request.bundles if bundle.gpu})
    shown = ", ".join(str(amount(share)) for share in shares)
    if len(shares) > 1:
        problem, remedy = "ask for different shares of a GPU", "give all the same"
        yield Fault("bundles", problem, shown, remedy)
    if shares and shares[0] < UNIT and request.tensor_parallel_size > 1:
        problem = "is a fraction of a GPU, and two tensor-parallel workers could get the same GPU"
        remedy = "ask for whole GPUs, or use tensor_parallel_size=1"
        yield Fault("bundles", problem, shown, remedy)


def _of_strategy(request: PlacementRequest) -> Iterator[Fault]:
    """Strategies that contradict what else is asked for."""
    strategy, tp = request.strategy, request.tensor_parallel_size
    if strategy == "STRICT_SPREAD" and tp > 1 and not request.span_tp:
        problem = f"parts the workers that tensor_parallel_size={tp} keeps on one host"
        yield Fault("strategy", problem, strategy, "use SPREAD, or allow it with span_tp=True")
    apart = len(request.workers) == request.world_size and any(a != b for a, b in request.engines)
    if strategy == "STRICT_SPREAD" and apart:
        problem = "parts the engine's bundle from the first worker's"
        yield Fault("strategy", problem, strategy, "give the first bundle a device, or use SPREAD")
    if strategy == "STRICT_PACK" and request.span_tp:
        problem = "keeps everything on one host, so that nothing can span"
        yield Fault("strategy", problem, strategy, "use PACK, or leave span_tp out")
