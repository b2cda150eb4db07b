"""What a config is once it is made: its short form, its values, its copies, its callbacks."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest

from nodeinit.callbacks import CallbackSpec
from nodeinit.config import LLMConfig, ModelLoadingConfig, Settings
from nodeinit.errors import ConfigError
from nodeinit.frozen import freeze


class Greeter:
    def __init__(self, greeting: str = "hello") -> None:
        self.greeting = greeting


@attrs.define
class Unhashable:
    """A callback whose class compares by value and so cannot be hashed."""

    name: str = "x"


FULL = LLMConfig(
    model_id="llama",
    model_source={"bucket_uri": "s3://bucket/llama", "extra_files": []},
    tokenizer_source="org/llama",
    engine_kwargs={
        "tensor_parallel_size": 4,
        "pipeline_parallel_size": 2,
        "data_parallel_size": 3,
        "hf_overrides": {"architectures": ["A", "B"], "scale": 0.5},
    },
    accelerator_type="H100",
    accelerator_config={"kind": "gpu"},
    placement_group_config={"bundle_per_worker": {"GPU": 1, "CPU": 2}, "strategy": "SPREAD"},
    lora_config={"dynamic_lora_loading_path": "s3://bucket/loras", "max_download_tries": 2},
    deployment_config={"num_replicas": "auto"},
    runtime_env={"env_vars": {"A": "1"}},
    server_cls="package.module:Server",
    experimental_configs={"stream_batching_interval_ms": 0},
    nodeinit={"seed": 7, "deadlines": {"download": 60}},
    log_engine_metrics=None,
    callback=[CallbackSpec("a.b:C", {"x": [1]}, raise_error=False), "d.e:F"],
)
MINIMAL = LLMConfig(model_id="llama")


def test_the_short_form_fills_the_fields_of_a_file() -> None:
    short = LLMConfig(
        model_id="llama-2-7b",
        model_source="meta-llama/Llama-2-7b",
        callback="my_module.MyCallback",
        callback_kwargs={"greeting": "hi"},
        engine_kwargs={"tensor_parallel_size": 2},
        accelerator_type="L4",
        nodeinit={"seed": 1},
    )
    assert short == LLMConfig.from_dict(
        {
            "model_loading_config": {
                "model_id": "llama-2-7b",
                "model_source": "meta-llama/Llama-2-7b",
            },
            "callback_config": {
                "callback_class": "my_module.MyCallback",
                "callback_kwargs": {"greeting": "hi"},
            },
            "engine_kwargs": {"tensor_parallel_size": 2},
            "accelerator_type": "L4",
            "experimental_configs": {"nodeinit": {"seed": 1}},
        }
    )


def test_paths_and_parts_are_taken_in_python() -> None:
    loading = ModelLoadingConfig(model_id="a", model_source="/models/a")
    assert LLMConfig(model_loading_config=loading) == LLMConfig(
        model_id="a", model_source=Path("/models/a")
    )
    settings = Settings(store="/models", seed=3)
    assert LLMConfig(model_id="a", nodeinit=settings).nodeinit == settings


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (None, "a"),
        ("org/b", "org/b"),
        ("s3://bucket/b", "s3://bucket/b"),
        ({"bucket_uri": "gs://bucket/b"}, "gs://bucket/b"),
        ({"bucket_uri": None}, "a"),
        ({}, "a"),
    ],
)
def test_the_model_source_is_text_whatever_was_written(source: Any, expected: str) -> None:
    assert LLMConfig(model_id="a", model_source=source).model_source == expected


def test_sizes_come_from_the_engine_arguments_of_either_engine() -> None:
    def sizes(config: LLMConfig) -> tuple[int, int, int]:
        return (
            config.tensor_parallel_size,
            config.pipeline_parallel_size,
            config.data_parallel_size,
        )

    assert sizes(MINIMAL) == (1, 1, 1)
    assert sizes(FULL) == (4, 2, 3)
    sglang = {"tp_size": 5, "pp_size": 6, "dp_size": 7}
    assert sizes(LLMConfig(model_id="a", engine_kwargs=sglang)) == (5, 6, 7)


def test_bundles_and_strategy_are_read_under_either_name() -> None:
    assert (MINIMAL.bundles, MINIMAL.bundle_per_worker, MINIMAL.strategy) == (None, None, "PACK")
    assert (FULL.bundles, FULL.strategy) == (None, "SPREAD")
    assert FULL.bundle_per_worker == {"GPU": 1, "CPU": 2}
    for bundles, strategy in (
        ("bundles", "strategy"),
        ("placement_group_bundles", "placement_group_strategy"),
    ):
        group = {bundles: [{"GPU": 4}, {"GPU": 2}], strategy: "STRICT_SPREAD"}
        config = LLMConfig(model_id="a", placement_group_config=group)
        assert config.bundles == ({"GPU": 4}, {"GPU": 2})
        assert (config.bundle_per_worker, config.strategy) == (None, "STRICT_SPREAD")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "gpu"),
        ({"accelerator_type": "H100"}, "gpu"),
        ({"accelerator_type": "TPU-V6E"}, "tpu"),
        ({"accelerator_config": {"kind": "cpu"}}, "cpu"),
        ({"placement_group_config": {"bundles": [{"CPU": 1}]}}, "cpu"),
        ({"placement_group_config": {"bundles": [{"CPU": 1}, {"GPU": 0.5}]}}, "gpu"),
        ({"placement_group_config": {"bundle_per_worker": {"TPU": 4}}}, "tpu"),
        ({"placement_group_config": {"placement_group_bundles": [{"GPU": 4}]}}, "gpu"),
        (
            {
                "accelerator_config": {"kind": "gpu"},
                "placement_group_config": {"bundles": [{"CPU": 1}]},
            },
            "gpu",
        ),
    ],
)
def test_hardware_follows_the_rules_of_ray(fields: dict[str, Any], expected: str) -> None:
    assert LLMConfig(model_id="a", **fields).hardware == expected


def test_an_a10_is_what_ray_calls_an_a10g() -> None:
    assert LLMConfig(model_id="a", accelerator_type="A10").accelerator_type == "A10G"


def test_settings_hold_only_what_was_given() -> None:
    assert MINIMAL.nodeinit == Settings()
    assert MINIMAL.nodeinit.to_dict() == {}
    settings = LLMConfig(
        model_id="a",
        nodeinit={
            "attempts": {"download": 3},
            "span_tp": False,
            "replans": 0,
            "hook_deadline": 1.5,
        },
    ).nodeinit
    assert settings.attempts == {"download": 3}
    assert settings.deadlines == {}
    assert (settings.span_tp, settings.replans, settings.hook_deadline) == (False, 0, 1.5)
    assert settings.seed is None


def test_the_store_is_looked_up_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    config = LLMConfig(model_id="a")
    monkeypatch.delenv("NODEINIT_STORE", raising=False)
    assert config.nodeinit.store == "~/.cache/nodeinit/models"
    monkeypatch.setenv("NODEINIT_STORE", "/mnt/models")
    assert config.nodeinit.store == "/mnt/models"
    assert LLMConfig(model_id="a", nodeinit={"store": "~/mine"}).nodeinit.store == "~/mine"
    assert config.nodeinit.given_store is None


def test_a_config_is_frozen_to_the_bottom() -> None:
    given = {"hf_overrides": {"list": [1]}}
    config = LLMConfig(model_id="a", engine_kwargs=given)
    given["hf_overrides"]["list"].append(2)
    assert config.engine_kwargs["hf_overrides"]["list"] == [1]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.llm_engine = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        config.engine_kwargs["x"] = 1


@pytest.mark.parametrize("config", [MINIMAL, FULL], ids=["minimal", "full"])
def test_copies_are_equal_and_hash_alike(config: LLMConfig) -> None:
    for other in (
        pickle.loads(pickle.dumps(config)),
        copy.deepcopy(config),
        config.evolve(),
        attrs.evolve(config),
        LLMConfig.from_dict(config.to_dict()),
    ):
        assert other == config
        assert hash(other) == hash(config)
    assert freeze(config) is config


def test_configs_that_differ_are_not_equal() -> None:
    assert FULL.evolve(model_id="other") != FULL
    assert FULL.evolve(callbacks=FULL.callbacks[:1]) != FULL
    first, second = (LLMConfig(model_id="a", callback=Unhashable(name)) for name in "xy")
    assert first != second
    assert first == LLMConfig(model_id="a", callback=Unhashable("x"))


@pytest.mark.parametrize("callback", [Greeter, Greeter(), Unhashable()])
def test_live_callbacks_keep_a_config_hashable(callback: Any) -> None:
    config = LLMConfig(model_id="a", callback=callback)
    assert {config: 1}[config.evolve()] == 1
    assert config.callbacks[0].target is callback


def test_evolve_takes_the_names_of_the_constructor() -> None:
    assert FULL.evolve(model_id="b").model_source == FULL.model_source
    assert FULL.evolve(model_source=None).model_source == "llama"
    assert FULL.evolve(nodeinit={"seed": 9}).nodeinit == Settings(seed=9)
    assert FULL.evolve(nodeinit={"seed": 9}).experimental_configs == {
        "stream_batching_interval_ms": 0,
        "nodeinit": {"seed": 9},
    }
    assert FULL.evolve(callback="x:Y").callbacks == (CallbackSpec("x:Y"),)
    assert FULL.evolve(engine_kwargs=None).engine_kwargs == {}
    assert FULL.evolve(log_engine_metrics=False).log_engine_metrics is False
    assert FULL.evolve(accelerator_type="L4").callbacks == FULL.callbacks


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"modelid": "b"}, "did you mean 'model_id'?"),
        ({"engine_kwargs": {"tensor_parallel_size": 0}}, "engine_kwargs.tensor_parallel_size = 0"),
        ({"accelerator_type": "TPU-V6E"}, "is a TPU, but the rest of the config asks for GPU"),
    ],
)
def test_evolve_checks_what_it_makes(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FULL.evolve(**changes)
    assert told in str(caught.value)


def test_without_callbacks() -> None:
    bare = FULL.without_callbacks()
    assert bare.callbacks == ()
    assert bare == FULL.evolve(callbacks=())
    assert bare.engine_kwargs == FULL.engine_kwargs


def test_callbacks_are_made_once_per_process() -> None:
    path = "argparse:ArgumentParser"
    config = LLMConfig(model_id="a", callback=path, callback_kwargs={"prog": "once"})
    made = config.get_or_create_callback()
    assert made.prog == "once"
    assert config.evolve().get_or_create_callback() is made
    assert pickle.loads(pickle.dumps(config)).get_or_create_callbacks() == (made,)


@pytest.mark.parametrize(
    ("callback", "kwargs"),
    [(Greeter, {"greeting": "hi"}), (CallbackSpec(Greeter, {"greeting": "hi"}), None)],
)
def test_callbacks_may_be_classes_and_specifications(callback: Any, kwargs: Any) -> None:
    config = LLMConfig(model_id="a", callback=callback, callback_kwargs=kwargs)
    assert config.get_or_create_callback().greeting == "hi"


def test_a_callback_may_be_an_instance() -> None:
    greeter = Greeter()
    assert LLMConfig(model_id="a", callback=greeter).get_or_create_callback() is greeter


def test_several_callbacks_keep_their_order() -> None:
    first, second = Greeter("first"), Greeter("second")
    config = LLMConfig(model_id="a", callback=[first, second])
    assert config.get_or_create_callbacks() == (first, second)
    with pytest.raises(ConfigError, match=r"there are 2: .*use get_or_create_callbacks\(\)"):
        config.get_or_create_callback()


def test_no_callback_is_none() -> None:
    assert MINIMAL.get_or_create_callback() is None
    assert MINIMAL.get_or_create_callbacks() == ()


@pytest.mark.parametrize("listed", [False, True])
def test_arguments_beside_a_specification_are_refused(listed: bool) -> None:
    spec = CallbackSpec(Greeter, {"greeting": "hi"})
    with pytest.raises(ConfigError, match="is given beside a CallbackSpec"):
        LLMConfig(
            model_id="a", callback=[spec] if listed else spec, callback_kwargs={"greeting": "no"}
        )


def test_several_callbacks_with_their_arguments_survive_a_file() -> None:
    written = FULL.to_dict()["callback_config"]
    assert written == {
        "callback_class": [
            {
                "callback_class": "a.b:C",
                "callback_kwargs": {"x": [1]},
                "raise_error_on_callback": False,
            },
            "d.e:F",
        ]
    }
    assert LLMConfig.from_dict({**MINIMAL.to_dict(), "callback_config": written}).callbacks == (
        CallbackSpec("a.b:C", {"x": [1]}, raise_error=False),
        CallbackSpec("d.e:F"),
    )


def test_the_error_policy_of_a_file_goes_to_every_callback() -> None:
    config = LLMConfig(
        model_id="a",
        callback_config={
            "callback_class": ["a:B", {"callback_class": "c:D", "raise_error_on_callback": True}],
            "raise_error_on_callback": False,
        },
    )
    assert [spec.raise_error for spec in config.callbacks] == [False, True]


def test_to_dict_is_plain_sorted_and_without_defaults() -> None:
    assert MINIMAL.to_dict() == {"model_loading_config": {"model_id": "llama"}}
    live = LLMConfig(
        model_id="a",
        callback=Greeter(),
        server_cls=Greeter,
        engine_kwargs={"z": (1, 2), "a": dict.fromkeys("hgfedcba", 1)},
    ).to_dict()
    assert live["callback_config"] == {"callback_class": f"{__name__}:Greeter"}
    assert live["server_cls"] == f"{__name__}:Greeter"
    assert live["engine_kwargs"]["z"] == [1, 2]
    assert [type(value) for value in live["engine_kwargs"].values()] == [dict, list]
    assert list(live["engine_kwargs"]) == ["a", "z"]
    assert list(live["engine_kwargs"]["a"]) == list("abcdefgh")


def test_from_dict_names_its_source() -> None:
    with pytest.raises(ConfigError, match=r"^the form: model_loading_config: is missing"):
        LLMConfig.from_dict({}, source="the form")
    with pytest.raises(ConfigError, match="is a list, not a mapping"):
        LLMConfig.from_dict([], source="the form")  # type: ignore[arg-type]
