"""The models of an application before Serve gets them: planned, pinned, and with nodeinit in them.

Pure: the cluster is a snapshot, and what Serve runs already is told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from nodeinit.config import LLMConfig
from nodeinit.config.parts import STORE_VARIABLE
from nodeinit.errors import InfeasibleError, NoCapacityError
from nodeinit.frozen import thaw
from nodeinit.placement.application import plan_application
from nodeinit.placement.explain import Infeasible
from nodeinit.placement.labels import NODE_ID
from nodeinit.placement.placed import Pin
from nodeinit.placement.planned import Planned
from nodeinit.placement.replicas import Replica, count_of
from nodeinit.placement.serve_bundles import serve_request
from nodeinit.placement.topology import ClusterSnapshot, PlacementPlan
from nodeinit.ray.llm.bundles import OPTION, bundle_selectors
from nodeinit.ray.llm.injection import Injection, injection

Selectors = Sequence[Mapping[str, str]]


@attrs.frozen
class Prepared:
    """A model that is ready to be given to Ray Serve LLM.

    `plans` are those of the replicas that it begins with. `changes` are fields of the config as
    Ray has them. `reason` says why nodeinit does not run in its replicas, if it does not.
    """

    config: LLMConfig
    plans: tuple[PlacementPlan, ...]
    selectors: Selectors | None
    injected: Injection

    @property
    def model_id(self) -> str:
        """What the model is called."""
        return self.config.model_id

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of its plans."""
        return tuple(dict.fromkeys(host for plan in self.plans for host in plan.hosts))

    @property
    def pinned(self) -> bool:
        """Whether its replicas are held to hosts."""
        return any(NODE_ID in selector for selector in self.selectors or ())

    @property
    def reason(self) -> str | None:
        """Why nodeinit does not run in its replicas."""
        return self.injected.reason

    @property
    def changes(self) -> dict[str, Any]:
        """The fields of Ray's config that differ from the user's."""
        found: dict[str, Any] = {}
        if self.selectors is not None:
            selectors = [dict(selector) for selector in self.selectors]
            found["deployment_config"] = {**thaw(self.config.deployment_config), OPTION: selectors}
        if self.injected.callback_config is not None:
            found["callback_config"] = dict(self.injected.callback_config)
        if self.config.nodeinit.given_store is None and os.environ.get(STORE_VARIABLE):
            # The replicas look where we brought it, whatever their own environment says.
            experimental = thaw(self.config.experimental_configs)
            ours = {**experimental.get("nodeinit", {}), "store": self.config.nodeinit.store}
            found["experimental_configs"] = {**experimental, "nodeinit": ours}
        return found


@attrs.frozen
class Preparation:
    """The models of an application, prepared, and the plan of all of it."""

    planned: Planned
    models: tuple[Prepared, ...]

    @property
    def refused(self) -> tuple[tuple[Replica, Infeasible], ...]:
        """The replicas that must have a place and have none.

        Of a model that is not pinned nothing must: its hosts may only come when it is asked for, on
        a cluster that grows. Nor must the ingress, if there is no other model.
        """
        loose = {m.model_id for m in self.models if m.config.nodeinit.pin == Pin.NONE}
        waits = bool(self.models) and all(m.model_id in loose for m in self.models)
        return tuple(
            (replica, why)
            for replica, why in self.planned.refused
            if not (waits if replica.is_ingress else replica.model_id in loose)
        )


def prepare(
    configs: Sequence[LLMConfig],
    snapshot: ClusterSnapshot,
    *,
    beside: Sequence[Replica] = (),
    written: Sequence[Any] = (),
    present: Sequence[Selectors | None] = (),
    pinning: bool = True,
) -> Preparation:
    """Plan the models of an application on a cluster, and say what Serve is to be told of each.

    `beside` are replicas that need room too. `written` are the `callback_config`s of the models in
    their file, and `present` the selectors of deployments that Serve has already: where they leave
    room for a plan, they are kept, since Serve restarts the replicas of a deployment whose selectors
    change. Without `pinning` they get none: not every Serve takes them. Raises `ConfigError` for a
    config that cannot be served.
    """
    ways = [injection(config, written[i] if written else None) for i, config in enumerate(configs)]
    held = [_held_to(config, present[i] if present else None) for i, config in enumerate(configs)]
    planned = plan_application(held, snapshot, beside=beside)
    if held != list(configs) and not planned.feasible:
        held, planned = list(configs), plan_application(configs, snapshot, beside=beside)
    models = []
    for i, plans in enumerate(plans_of(configs, planned)):
        config = configs[i]
        kept = present[i] if present and held[i] is not config else None
        if _reserves_itself(written[i] if written else None):
            plans = ()  # its GPUs are not in what Serve reserves, so that may not decide where they are
        selectors = kept or bundle_selectors(config, plans, snapshot) if pinning else None
        models.append(Prepared(config, plans, selectors, ways[i]))
    return Preparation(planned, tuple(models))


def check_fits(found: Preparation) -> None:
    """Raise what explains the replicas that must have a place and have none.

    `NoCapacityError` if they would have one when others are gone, else `InfeasibleError`.
    """
    alike: dict[Infeasible, list[str]] = {}
    for replica, why in found.refused:
        alike.setdefault(why, []).append(replica.name)
    if alike:
        told = (
            f"{', '.join(names)} {'does' if len(names) == 1 else 'do'} not fit: {why}"
            for why, names in alike.items()
        )
        lasting = any(not why.temporary for why in alike)
        raise (InfeasibleError if lasting else NoCapacityError)("\n".join(told))


def plans_of(configs: Sequence[LLMConfig], planned: Planned) -> Iterator[tuple[PlacementPlan, ...]]:
    """The plans of each config's replicas; those that have no place are left out."""
    answers = iter(planned.answers)
    for config in configs:
        its = [next(answers)[1] for _ in range(count_of(config))]
        yield tuple(answer for answer in its if isinstance(answer, PlacementPlan))


def _reserves_itself(written: Any) -> bool:
    """Whether the adapter is to reserve the GPUs itself, beside what Serve reserves."""
    kwargs: Any = written.get("callback_kwargs") if isinstance(written, Mapping) else None
    return isinstance(kwargs, Mapping) and bool(kwargs.get("own_group"))


def _held_to(config: LLMConfig, selectors: Selectors | None) -> LLMConfig:
    """A config that is planned within the selectors of its deployment, if they still suit it."""
    if not selectors:
        return config
    mine = [dict(bundle.labels) for bundle in serve_request(config).bundles]
    if len(mine) != len(selectors) or not all(
        own.items() <= dict(there).items() for own, there in zip(mine, selectors, strict=True)
    ):
        return config
    deployment = {**thaw(config.deployment_config), OPTION: [dict(s) for s in selectors]}
    return config.evolve(deployment_config=deployment)
