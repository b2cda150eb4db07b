"""Properties that hold for all configs: no error but ConfigError, and nothing lost on the way."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeinit.config import LLMConfig, json_schema
from nodeinit.errors import ConfigError

names = st.text("abcdefgh_-.: é", min_size=1, max_size=8)
words = st.text(max_size=8)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), words, st.just("a.b:C"), st.binary()
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.one_of(names, st.integers(), st.booleans()), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = list(json_schema()["$defs"]["llm_config"]["properties"])
PARTS = {
    name: list(definition["properties"])
    for name, definition in json_schema()["$defs"].items()
    if "properties" in definition
}


@st.composite
def nearly_configs(draw: st.DrawFn) -> Any:
    """Mappings with the right names in the right places, and anything as values."""

    def part(name: str) -> st.SearchStrategy[Any]:
        known = PARTS.get(name, ["x"])
        return st.dictionaries(st.sampled_from(known) | names, anything, max_size=3) | anything

    chosen = draw(st.lists(st.sampled_from(FIELDS), unique=True))
    found: dict[Any, Any] = {name: draw(part(name)) for name in chosen}
    if draw(st.booleans()):
        found["model_loading_config"] = {"model_id": draw(words)}
    if draw(st.booleans()):
        found["experimental_configs"] = {"nodeinit": draw(part("nodeinit"))}
    return found


finite = st.floats(allow_nan=False, allow_infinity=False)
plain_scalars = st.one_of(st.none(), st.booleans(), st.integers(), finite, words)
free = st.dictionaries(
    names.map(lambda name: f"x{name}"),
    st.recursive(
        plain_scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)
sizes = st.integers(1, 64)
parts_of_one = st.floats(0.0001, 1)
bundles = st.fixed_dictionaries(
    {"GPU": st.one_of(st.integers(1, 16), parts_of_one)},
    optional={"CPU": st.floats(0.0001, 64), "accelerator_type:H100": parts_of_one},
)
settings_of_nodeinit = st.fixed_dictionaries(
    {},
    optional={
        "store": st.text(min_size=1, max_size=8),
        "deadlines": st.dictionaries(names, st.floats(0.001, 1e6), max_size=2),
        "attempts": st.dictionaries(names, st.integers(1, 9), max_size=2),
        "replans": st.integers(0, 9),
        "hook_deadline": st.floats(0.001, 1e6),
        "span_tp": st.booleans(),
        "labels": st.dictionaries(
            st.sampled_from(["zone", "tier"]), st.sampled_from(["a", "!b", "in(a,b)"]), min_size=1
        ),
        "topology": st.sampled_from(["rack", "ray.io/tpu-slice-name"]),
        "pin": st.sampled_from(["node", "hosts", "none"]),
        "probe_gpus": st.booleans(),
        "seed": st.integers(),
    },
)
callback_names = st.sampled_from(["a.b:C", "a.b.C", "my_module:Outer.Inner"])
callback_configs = st.one_of(
    st.fixed_dictionaries(
        {"callback_class": callback_names},
        optional={"callback_kwargs": free, "raise_error_on_callback": st.booleans()},
    ),
    st.fixed_dictionaries(
        {
            "callback_class": st.lists(
                callback_names
                | st.fixed_dictionaries(
                    {"callback_class": callback_names}, optional={"callback_kwargs": free}
                ),
                min_size=1,
                max_size=3,
            )
        }
    ),
)
valid = st.fixed_dictionaries(
    {
        "model_loading_config": st.fixed_dictionaries(
            {"model_id": st.text(min_size=1, max_size=8)},
            optional={
                "model_source": st.one_of(
                    st.just("org/model"),
                    st.fixed_dictionaries({"bucket_uri": st.just("s3://bucket/model")}),
                ),
                "tokenizer_source": st.just("org/tokenizer"),
            },
        )
    },
    optional={
        "engine_kwargs": st.tuples(
            free,
            st.fixed_dictionaries(
                {}, optional={"tensor_parallel_size": sizes, "pipeline_parallel_size": sizes}
            ),
        ).map(lambda pair: pair[0] | pair[1]),
        "accelerator_type": st.sampled_from(["A10G", "H100", "L4", None]),
        "placement_group_config": st.one_of(
            st.fixed_dictionaries({"bundles": st.lists(bundles, min_size=1, max_size=3)}),
            st.fixed_dictionaries(
                {"bundle_per_worker": bundles, "strategy": st.sampled_from(["PACK", "SPREAD"])}
            ),
        ),
        "lora_config": st.fixed_dictionaries({"max_num_adapters_per_replica": sizes}),
        "deployment_config": free,
        "runtime_env": st.fixed_dictionaries(
            {"env_vars": st.dictionaries(names, words, max_size=2)}
        ),
        "experimental_configs": st.fixed_dictionaries({"nodeinit": settings_of_nodeinit}),
        "log_engine_metrics": st.sampled_from([True, False, None]),
        "callback_config": callback_configs,
    },
)


@given(anything | nearly_configs())
def test_a_mapping_is_a_config_or_a_config_error(data: Any) -> None:
    with contextlib.suppress(ConfigError):
        LLMConfig.from_dict(data)


@given(st.dictionaries(st.sampled_from([*FIELDS, "model_id", "callback", "nodeinit"]), anything))
def test_a_call_makes_a_config_or_raises_a_config_error(asked: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigError):
        LLMConfig(**asked)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_a_file_is_a_config_or_a_config_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with contextlib.suppress(ConfigError):
        LLMConfig.load(file)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nearly_configs(), st.booleans())
def test_a_file_with_the_right_names_is_a_config_or_a_config_error(
    tmp_path: Path, data: Any, in_serve: bool
) -> None:
    file = tmp_path / "config.yaml"
    data = {"applications": [{"args": {"llm_configs": [data, data]}}]} if in_serve else data
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    with contextlib.suppress(ConfigError):
        LLMConfig.load_all(file)


@given(valid)
def test_a_valid_config_survives_every_way_out_and_in(data: dict[str, Any]) -> None:
    config = LLMConfig.from_dict(data)
    for other in (
        LLMConfig.from_dict(config.to_dict()),
        LLMConfig(**data),
        pickle.loads(pickle.dumps(config)),
        config.evolve(),
    ):
        assert other == config
        assert hash(other) == hash(config)
    assert config.to_dict() == LLMConfig.from_dict(config.to_dict()).to_dict()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(valid)
def test_a_valid_config_survives_a_file(tmp_path: Path, data: dict[str, Any]) -> None:
    config = LLMConfig.from_dict(data)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config.to_dict()), encoding="utf-8")
    assert LLMConfig.load(file) == config


@given(valid, sizes)
def test_every_value_that_was_given_is_kept(data: dict[str, Any], size: int) -> None:
    data = {**data, "engine_kwargs": {"data_parallel_size": size, "x": data}}
    written = LLMConfig.from_dict(data).to_dict()
    assert written["engine_kwargs"]["data_parallel_size"] == size
    assert written["engine_kwargs"]["x"] == data["engine_kwargs"]["x"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("deep", [False, True])
def test_numbers_that_yaml_would_not_bring_back_are_refused(value: float, deep: bool) -> None:
    kwargs = {"x": [{"y": value}]} if deep else {"x": value}
    with pytest.raises(ConfigError, match="is not a finite number"):
        LLMConfig(model_id="a", engine_kwargs=kwargs)
