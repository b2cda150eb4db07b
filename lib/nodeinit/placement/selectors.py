"""The label selectors that a config gives its bundles.

`experimental_configs.nodeinit.labels` is one selector for every bundle. Serve's own option
`deployment_config.placement_group_bundle_label_selector` is a list: one for each bundle, or a single
one for all. Both are kept; where they name the same label, Serve's decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.errors import ConfigError, Fault
from nodeinit.frozen import EMPTY, thaw
from nodeinit.placement import labels
from nodeinit.placement.hosts import Bundle

if TYPE_CHECKING:
    from nodeinit.config import LLMConfig

_SETTING = "experimental_configs.nodeinit.labels"
_OPTION = "placement_group_bundle_label_selector"


def selected(bundles: Sequence[Bundle], config: LLMConfig) -> tuple[Bundle, ...]:
    """The bundles with the selectors that a config gives them.

    Raises `ConfigError` with the path of each selector that is none.
    """
    problem = labels.problem(config.nodeinit.labels)
    if problem:
        raise ConfigError(Fault(_SETTING, problem), source=config.model_id)
    pairs = zip(bundles, _given_to_serve(config, len(bundles)), strict=True)
    return tuple(
        attrs.evolve(bundle, labels={**bundle.labels, **config.nodeinit.labels, **selector})
        for bundle, selector in pairs
    )


def _given_to_serve(config: LLMConfig, count: int) -> Sequence[Mapping[str, str]]:
    where = f"deployment_config.{_OPTION}"
    given: Any = config.deployment_config.get(_OPTION)
    if not given:
        return [EMPTY] * count
    faults = [*_faults(where, given, count)]
    if faults:
        raise ConfigError(tuple(faults), source=config.model_id)
    return list(given) * (count if len(given) == 1 else 1)


def _faults(where: str, given: Any, count: int) -> Iterator[Fault]:
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        yield Fault(
            where, "is not a list of label selectors", repr(thaw(given)), "write [{zone: a}]"
        )
        return
    if len(given) not in (1, count):
        remedy = "give one for each bundle, or a single one for all"
        yield Fault(where, f"are not as many as the {count} bundles", str(len(given)), remedy)
    for i, selector in enumerate(given):
        wrong = "is not a label selector" if not isinstance(selector, Mapping) else None
        problem = wrong or labels.problem(selector)
        if problem:
            yield Fault(f"{where}[{i}]", problem, repr(thaw(selector)))
