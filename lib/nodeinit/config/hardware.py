"""Which kind of hardware a config asks for, by the rules of Ray Serve LLM.

Source: `LLMConfig._resolve_accelerator_config` and `_check_accelerator_type_matches_hardware`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from nodeinit.config.origin import Origin, Path
from nodeinit.errors import Fault

Hardware: TypeAlias = Literal["cpu", "gpu", "tpu"]

BUNDLES = ("bundles", "placement_group_bundles")
"""The list of bundles in a `placement_group_config`: the name for vLLM, the name for SGLang."""


def hardware_of(config: Mapping[str, Any]) -> Hardware:
    """`accelerator_config.kind`, else what the bundles hold, else what the accelerator is."""
    kind = _mapping(config.get("accelerator_config")).get("kind")
    if kind in ("cpu", "gpu", "tpu"):
        return kind  # type: ignore[no-any-return]
    group = _mapping(config.get("placement_group_config"))
    if group:
        held = {resource for bundle in _bundles(group) for resource, some in bundle.items() if some}
        return "tpu" if "TPU" in held else "gpu" if "GPU" in held else "cpu"
    return _kind_of_type(config.get("accelerator_type"))


def mismatches(config: Mapping[str, Any], origin: Origin, path: Path = ()) -> Iterator[Fault]:
    """The faults of a config whose hardware does not fit together."""
    accelerator = config.get("accelerator_type")
    if accelerator is None:
        topology = _mapping(config.get("accelerator_config")).get("topology")
        if topology is not None:
            yield origin.fault(
                (*path, "accelerator_config", "topology"),
                "needs an accelerator_type",
                "say which TPU, e.g. accelerator_type: TPU-V6E",
                topology,
            )
        return
    has, wants = hardware_of(config), _kind_of_type(accelerator)
    if has != wants:
        yield origin.fault(
            (*path, "accelerator_type"),
            f"is a {wants.upper()}, but the rest of the config asks for {has.upper()}",
            f"remove it, or ask for {wants.upper()} in the bundles and in accelerator_config",
            accelerator,
        )


def _bundles(group: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield _mapping(group.get("bundle_per_worker"))
    for name in BUNDLES:
        listed = group.get(name)
        if isinstance(listed, Sequence) and not isinstance(listed, str):
            yield from map(_mapping, listed)


def _kind_of_type(accelerator: Any) -> Hardware:
    return "tpu" if str(accelerator).startswith("TPU-") else "gpu"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
