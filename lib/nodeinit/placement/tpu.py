"""TPU slices: how many hosts a topology has, and how many chips each of them.

Source: ray 2.60 `ray/_private/accelerators/tpu.py` (`get_chips_per_host`) and `ray.llm`
`…/serve/core/configs/accelerators.py` (`TPUAccelerator.default_bundles`).
"""

from __future__ import annotations

import math

from nodeinit.errors import ConfigError, Fault

_CHIPS = 4
"""Chips of a host, but for the small topologies of some versions, which are one host."""

_ONE_HOST = ("1x1", "2x2", "2x4")
_UP_TO_EIGHT = ("v5litepod", "v6e")


def chips_per_host(topology: str, accelerator_type: str) -> int:
    """The chips of each host of a slice: `("4x4", "TPU-V6E")` is 4."""
    shape = topology.strip().lower()
    version = accelerator_type.strip().lower().removeprefix("tpu-")
    if version in _UP_TO_EIGHT and shape in _ONE_HOST:
        return math.prod(map(int, shape.split("x")))
    return _CHIPS


def slice_bundles(topology: str, accelerator_type: str, workers: int) -> list[dict[str, float]]:
    """One bundle for each host that so many workers need, with the chips of that host.

    Raises `ConfigError` when the workers do not fill their hosts.
    """
    chips = chips_per_host(topology, accelerator_type)
    if workers > chips and workers % chips:
        problem = f"has hosts of {chips} chips, which {workers} workers do not fill"
        remedy = "choose tensor_parallel_size x pipeline_parallel_size as a multiple of that"
        fault = Fault("accelerator_config.topology", problem, repr(topology), remedy)
        raise ConfigError(fault, source="placement request")
    return [{"TPU": min(workers, chips)}] * max(1, workers // chips)
