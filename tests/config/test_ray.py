"""To and from the config of `ray.serve.llm`."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from nodeinit.callbacks import CallbackSpec
from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError


class Server: ...


class Mirror(BaseModel):
    bucket_uri: str | None = None
    extra_files: list[dict[str, str]] = []


class Loading(BaseModel):
    model_id: str
    model_source: str | Mirror | None = None
    tokenizer_source: str | None = None


class RayShaped(BaseModel):
    """The fields of Ray's config, whose own class needs an engine to be imported."""

    model_loading_config: Loading
    llm_engine: str = "vLLM"
    engine_kwargs: dict[str, Any] = {}
    accelerator_type: str | None = None
    accelerator_config: dict[str, Any] | None = None
    placement_group_config: dict[str, Any] | None = None
    runtime_env: dict[str, Any] | None = None
    server_cls: Any = None
    experimental_configs: dict[str, Any] = {}
    log_engine_metrics: bool | None = True
    callback_config: dict[str, Any] = {}
    from_the_future: int = 3
    use_cpu: bool | None = None


def test_a_config_of_ray_is_converted() -> None:
    config = LLMConfig.from_ray(
        RayShaped(
            model_loading_config=Loading(
                model_id="a", model_source=Mirror(bucket_uri="s3://bucket/a")
            ),
            engine_kwargs={"tensor_parallel_size": 2},
            accelerator_type="L4",
            accelerator_config={"kind": "gpu"},
            server_cls=Server,
            log_engine_metrics=None,
            experimental_configs={"nodeinit": {"seed": 1}},
            callback_config={
                "callback_class": "a.b:C",
                "callback_kwargs": {"x": 1},
                "raise_error_on_callback": False,
            },
        )
    )
    assert config.model_source == "s3://bucket/a"
    assert config.tensor_parallel_size == 2
    assert config.server_cls is Server
    assert config.log_engine_metrics is None
    assert config.nodeinit.seed == 1
    assert config.callbacks == (CallbackSpec("a.b:C", {"x": 1}, raise_error=False),)


def test_the_callback_that_ray_puts_where_none_was_given_is_none() -> None:
    base = pytest.importorskip("ray.llm._internal.common.callbacks.base")
    given = {
        "callback_class": base.CallbackBase,
        "callback_kwargs": {},
        "raise_error_on_callback": True,
    }
    loading = Loading(model_id="a")
    shaped = RayShaped(model_loading_config=loading, callback_config=given)
    assert LLMConfig.from_ray(shaped) == LLMConfig(model_id="a")
    mine = type("Mine", (base.CallbackBase,), {})
    shaped = RayShaped(model_loading_config=loading, callback_config={"callback_class": mine})
    assert LLMConfig.from_ray(shaped).callbacks == (CallbackSpec(mine),)


@pytest.mark.parametrize(("use_cpu", "kind"), [(True, "cpu"), (False, "gpu")])
def test_what_older_versions_of_ray_said_about_hardware(use_cpu: bool, kind: str) -> None:
    shaped = RayShaped(model_loading_config=Loading(model_id="a"), use_cpu=use_cpu)
    assert LLMConfig.from_ray(shaped).hardware == kind


def test_fields_of_a_later_ray_count_only_when_used() -> None:
    loading = Loading(model_id="a")
    assert LLMConfig.from_ray(RayShaped(model_loading_config=loading)).model_id == "a"
    with pytest.raises(ConfigError, match=r"^ray.serve.llm.LLMConfig: from_the_future = 4"):
        LLMConfig.from_ray(RayShaped(model_loading_config=loading, from_the_future=4))


def test_a_config_of_ray_is_checked_as_any_other() -> None:
    shaped = RayShaped(
        model_loading_config=Loading(model_id="a"),
        placement_group_config={"bundles": []},
        engine_kwargs={"tensor_parallel_size": 0},
    )
    with pytest.raises(ConfigError) as caught:
        LLMConfig.from_ray(shaped)
    assert len(caught.value.faults) == 2


def test_something_else_is_not_a_config_of_ray() -> None:
    with pytest.raises(ConfigError, match=r"is a dict, not a ray.serve.llm.LLMConfig"):
        LLMConfig.from_ray({})


def test_ray_takes_one_callback() -> None:
    config = LLMConfig(model_id="a", callback=["a.b:C", "d.e:F"])
    with pytest.raises(ConfigError, match="Ray Serve LLM takes one, and there are 2"):
        config.to_ray()


def test_there_and_back() -> None:
    pytest.importorskip("ray.serve.llm", exc_type=ImportError)
    config = LLMConfig(
        model_id="a",
        model_source={"bucket_uri": "s3://bucket/a", "extra_files": []},
        engine_kwargs={"tensor_parallel_size": 2},
        accelerator_type="A10G",
        accelerator_config={"kind": "gpu"},
        placement_group_config={"bundles": [{"GPU": 1}, {"GPU": 1}]},
        deployment_config={"num_replicas": "auto"},
        nodeinit={"seed": 1},
        callback="a.b:C",
        callback_kwargs={"x": 1},
    )
    theirs = config.to_ray()
    assert theirs.model_id == "a"
    assert theirs.engine_kwargs == {"tensor_parallel_size": 2}
    assert theirs.callback_config.callback_class == "a.b:C"
    assert LLMConfig.from_ray(theirs) == config
