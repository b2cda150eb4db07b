"""The builders of `ray.serve.llm`, planned first: the same arguments, the same applications.

Before anything is built, all replicas of the application are planned on the cluster as it is. What
does not fit is explained and raised at once. Then the models are brought to the hosts of the plan,
while no GPU is reserved, and the application is built by Ray's own builder, with each deployment
held to its hosts and nodeinit as its callback.

In a Serve config file: `import_path: nodeinit.ray.llm:build_openai_app`. Serve calls a builder with
one argument, and takes none that could be called with more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError, Fault
from nodeinit.frozen import thaw
from nodeinit.placement.application import ingress_replicas
from nodeinit.ray.llm import live
from nodeinit.ray.llm.bundles import OPTION
from nodeinit.ray.llm.live import prepared_live

_PLACES = ("llm_configs", "llm_config", "prefill_config", "decode_config")
_SCALE = ("num_replicas", "autoscaling_config", "ray_actor_options", OPTION)
_GROUP = ("placement_group_bundles", "placement_group_strategy")


@contextlib.contextmanager
def replacing(app_name: str) -> Iterator[None]:
    """What is built within replaces the application of that name.

    What the replicas of that hold counts as free, and deployments stay on their hosts if they can.
    In a Serve config file it need not be said.
    """
    token = live.REPLACED.set(app_name)
    try:
        yield
    finally:
        live.REPLACED.reset(token)


def build_openai_app(llm_serving_args: Any) -> Any:
    """An OpenAI-compatible application of models; see `ray.serve.llm.build_openai_app`.

    To update one that runs, build it within `replacing`.

    Raises `InfeasibleError` or `NoCapacityError` for what does not fit, `ConfigError` for a config
    that cannot be served, and whatever keeps a model from being brought.
    """
    from ray.serve import llm

    args = llm.LLMServingArgs.model_validate(llm_serving_args)
    return llm.build_openai_app(_planned(args, "build_openai_app"))


def build_dp_openai_app(dp_serving_args: Any) -> Any:
    """The same for one data-parallel model; see `ray.serve.llm.build_dp_openai_app`.

    It is planned and held to its hosts; nodeinit does not run in the replicas of such a model.
    """
    from ray.llm._internal.serve.serving_patterns.data_parallel.builder import DPOpenAiServingArgs
    from ray.serve import llm

    args = DPOpenAiServingArgs.model_validate(dp_serving_args)
    return llm.build_dp_openai_app(_planned(args, "build_dp_openai_app"))


def build_pd_openai_app(pd_serving_args: Any) -> Any:
    """The same for prefill and decode apart; see `ray.serve.llm.build_pd_openai_app`."""
    from ray.llm._internal.serve.serving_patterns.prefill_decode.builder import PDServingArgs
    from ray.serve import llm

    args = PDServingArgs.model_validate(pd_serving_args)
    return llm.build_pd_openai_app(_planned(args, "build_pd_openai_app"))


def build_llm_deployment(
    llm_config: Any,
    *,
    name_prefix: str | None = None,
    bind_kwargs: dict[str, Any] | None = None,
    override_serve_options: dict[str, Any] | None = None,
    deployment_cls: Any = None,
) -> Any:
    """The deployment of one model; see `ray.serve.llm.build_llm_deployment`.

    Raises as `build_openai_app` does. Bundles in `override_serve_options` are refused: the plan is
    for those of the config.
    """
    from ray.serve import llm

    override = dict(override_serve_options or {})
    _check_group(override)
    config = _with_scale(LLMConfig.from_ray(llm_config), override)
    written = [_callback_config(llm_config)]
    (ready,) = prepared_live([config], written=written).models
    if ready.selectors is not None:
        override[OPTION] = [dict(selector) for selector in ready.selectors]
    return llm.build_llm_deployment(
        # Serve is told by its own options.
        _changed(llm_config, {k: v for k, v in ready.changes.items() if k != "deployment_config"}),
        name_prefix=name_prefix,
        bind_kwargs=bind_kwargs,
        override_serve_options=override or None,
        deployment_cls=deployment_cls,
    )


def _check_group(override: Mapping[str, Any]) -> None:
    """Refuse another placement group than the config's."""
    faults = [
        Fault(
            f"override_serve_options.{name}",
            "is not what was planned",
            repr(override[name]),
            "write placement_group_config: {bundles: …, strategy: …} into the config",
        )
        for name in _GROUP
        if name in override
    ]
    if faults:
        raise ConfigError(faults, source="build_llm_deployment")


def _with_scale(config: LLMConfig, override: Mapping[str, Any]) -> LLMConfig:
    """A config with what Serve's options say of the replicas in the place of what it says."""
    said = {name: override[name] for name in _SCALE if name in override}
    scaling: Any = said.get("autoscaling_config")
    if hasattr(scaling, "model_dump"):
        said["autoscaling_config"] = scaling.model_dump(exclude_unset=True)
    if not said:
        return config
    return config.evolve(deployment_config={**thaw(config.deployment_config), **said})


def _planned(args: Any, builder: str) -> Any:
    """The arguments of a builder with every model in them prepared."""
    theirs = {place: getattr(args, place) for place in _PLACES if hasattr(args, place)}
    flat = [one for each in theirs.values() for one in (each if isinstance(each, list) else [each])]
    configs = [LLMConfig.from_ray(one) for one in flat]
    ingress = ingress_replicas(builder, configs, args.ingress_deployment_config or {})
    written = [_callback_config(one) for one in flat]
    found = prepared_live(configs, beside=ingress, written=written)
    ready = iter(found.models)

    def changed(each: Any) -> Any:
        if isinstance(each, list):
            return [changed(one) for one in each]
        return _changed(each, next(ready).changes)

    return args.model_copy(update={place: changed(each) for place, each in theirs.items()})


def _callback_config(theirs: Any) -> dict[str, Any]:
    """The `callback_config` of a config of Ray, as a file has it."""
    return dict(vars(theirs.callback_config))


def _changed(theirs: Any, changes: Mapping[str, Any]) -> Any:
    """A config of Ray with some fields changed; what it holds besides them stays as it is."""
    from ray.llm._internal.common.callbacks.base import CallbackConfig

    update = dict(changes)
    if "callback_config" in update:
        update["callback_config"] = CallbackConfig(**update["callback_config"])
    return theirs.model_copy(update=update)
