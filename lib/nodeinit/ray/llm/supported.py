"""What of `ray.serve.llm` nodeinit does not bring up, said before anything is reserved."""

from __future__ import annotations

from collections.abc import Iterator

from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError, Fault

_REMEDY = "leave NodeInitCallback out of this config, and bring the model with `nodeinit fetch`"


def check_supported(config: LLMConfig) -> None:
    """Raise `ConfigError` for engines and ways to run them that the adapter cannot serve.

    A config with SGLang has to be looked at where it is made: SGLang calls no callbacks.
    """
    faults = [*unsupported(config)]
    if faults:
        raise ConfigError(faults, source=config.model_id)


def unsupported(config: LLMConfig) -> Iterator[Fault]:
    """What of a config the adapter cannot serve."""
    server = config.server_cls
    name = server if isinstance(server, str) else getattr(server, "__qualname__", "")
    if "sglang" in name.lower():
        problem = "is a server whose engine calls no callbacks"
        yield Fault("server_cls", problem, name, _REMEDY)
    if config.data_parallel_size > 1:
        problem = (
            "every rank of a data-parallel group sees the group of all, and would bring them all"
        )
        where, size = "engine_kwargs.data_parallel_size", str(config.data_parallel_size)
        yield Fault(where, problem, size, _REMEDY)
    if config.hardware == "tpu":
        problem = "Ray reserves TPU slices by itself, after the replica has started"
        yield Fault("accelerator_config", problem, "TPU", _REMEDY)
