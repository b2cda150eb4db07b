"""How many replicas of each model a file of configs asks for when it is deployed.

Source: ray 2.60 `ray/serve/config.py` (`AutoscalingConfig`: `initial_replicas`, else
`min_replicas`, else 1) and `ray/llm/_internal/serve/serving_patterns/data_parallel/dp_server.py`
(every data-parallel rank is a replica of its own).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.errors import ConfigError, Fault
from nodeinit.placement.from_config import request_from_config
from nodeinit.placement.request import PlacementRequest

if TYPE_CHECKING:
    from nodeinit.config import LLMConfig


@attrs.frozen
class Replica:
    """One replica of a model; `number` counts from 1 among all replicas of that model id.

    One that `is_ingress` takes requests for models; its `model_id` is what its deployment is called.
    """

    model_id: str
    number: int
    request: PlacementRequest
    is_ingress: bool = False

    @property
    def name(self) -> str:
        """What to call it."""
        return f"{self.model_id}#{self.number}"


def replicas_of(
    configs: Iterable[LLMConfig],
    request_of: Callable[[LLMConfig], PlacementRequest] = request_from_config,
) -> tuple[Replica, ...]:
    """The replicas that these configs begin with, in their order.

    `request_of` makes the request of one: a node's, unless said otherwise. Raises `ConfigError` with
    the faults of all configs.
    """
    found: list[Replica] = []
    faults: list[Fault] = []
    seen: Counter[str] = Counter()
    for config in configs:
        name = config.model_id
        try:
            count, request = count_of(config), request_of(config)
        except ConfigError as error:
            faults += [attrs.evolve(f, where=f"{name}: {f.where}") for f in error.faults]
            continue
        # Two configs may share their id: the prefill and the decode side of one model do.
        numbers = range(seen[name] + 1, seen[name] + count + 1)
        found += [Replica(name, number, request) for number in numbers]
        seen[name] += count
    if faults:
        raise ConfigError(tuple(dict.fromkeys(faults)), source="placement request")
    return tuple(found)


def count_of(config: LLMConfig) -> int:
    """The replicas of one config: a fixed number, or what its autoscaling begins with.

    Raises `ConfigError` for a number of replicas that is none.
    """
    served = starting_replicas(config.deployment_config, config.model_id)
    return served * config.data_parallel_size


def starting_replicas(
    deployment: Mapping[str, Any], source: str, where: str = "deployment_config"
) -> int:
    """The replicas that a deployment with these options begins with.

    Raises `ConfigError` for a number of replicas that is none; `where` is the place of the options
    in the config that `source` names.
    """
    number = deployment.get("num_replicas")
    if isinstance(number, int):
        return number
    scaling: Any = deployment.get("autoscaling_config")
    if not isinstance(scaling, Mapping):
        return 1
    for key in ("initial_replicas", "min_replicas"):
        value: Any = scaling.get(key)
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                place = f"{where}.autoscaling_config.{key}"
                remedy = "write a whole number, 0 or more"
                fault = Fault(place, "is not a number of replicas", repr(value), remedy)
                raise ConfigError(fault, source=source)
            return value
    return 1
