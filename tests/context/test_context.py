"""The frozen context: what it holds cannot change, travels, shows no secrets, and is guarded."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeinit import CallbackCtx, LLMConfig, NodeModelDownloadable, PlacementRequest
from nodeinit.context import FIELDS, changes, forbidden_change
from nodeinit.errors import FrozenContextError
from nodeinit.frozen import freeze, freeze_map, thaw

CONFIG = LLMConfig(model_id="m", model_source="/m")
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5)
PLAIN = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
MAPS = st.dictionaries(st.text(max_size=5), PLAIN, max_size=4)


def ctx(**fields: Any) -> CallbackCtx:
    return CallbackCtx(llm_config=CONFIG, **fields)


@given(MAPS)
def test_frozen_mappings_equal_plain_ones_and_share_nothing_with_them(
    plain: dict[str, Any],
) -> None:
    made = ctx(custom_data=plain, extra_init_kwargs=plain, runtime_env=plain)
    before = thaw(made.custom_data)

    hash(made.custom_data)  # deep: a mutable value anywhere would refuse
    for value in plain.values():
        if isinstance(value, list | dict):
            value.clear()
    plain["new"] = 1

    assert before == thaw(made.custom_data) == made.custom_data
    assert made == pickle.loads(pickle.dumps(made))


@pytest.mark.parametrize(
    "value", [bytearray(b"x"), memoryview(bytearray(b"x")), [[{"a": bytearray()}]]]
)
def test_what_can_change_is_refused_with_its_path(value: Any) -> None:
    if isinstance(value, memoryview):
        with pytest.raises((TypeError, ValueError)):
            ctx(custom_data={"k": value})
        return
    with pytest.raises(TypeError, match=r"custom_data\.k.*bytearray"):
        ctx(custom_data={"k": value})


def test_keys_are_strings_and_mappings_are_mappings() -> None:
    with pytest.raises(TypeError, match="has the key 1; keys must be strings"):
        freeze_map({1: "a"}, "m")  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="custom_data must be a mapping, not list"):
        ctx(custom_data=["a"])
    assert (1, (2,)) == freeze((1, (2,)))


def test_no_way_to_write() -> None:
    made = ctx(custom_data={"a": [1, {"b": 2}]})
    for attempt in (
        lambda: setattr(made, "attempt", 2),
        lambda: delattr(made, "attempt"),
        lambda: setattr(made, "atempt", 2),
    ):
        with pytest.raises(FrozenContextError):
            attempt()
    with pytest.raises(TypeError):
        made.custom_data["a"][1]["b"] = 3
    with pytest.raises((TypeError, AttributeError)):
        made.custom_data["a"].append(3).append(4) and made.custom_data["a"].__setitem__(0, 9)
    assert ctx(custom_data={"a": [1, {"b": 2}]}) == made


VALUES: dict[str, Any] = {
    "llm_config": LLMConfig(model_id="other"),
    "local_node_download_model": "NONE",
    "worker_node_download_model": NodeModelDownloadable.TOKENIZER_ONLY,
    "placement_group": PlacementRequest.of(tensor_parallel_size=1),
    "extra_init_kwargs": {"a": 1},
    "runtime_env": {"pip": ["x"]},
    "custom_data": {"a": 1},
    "run_init_node": False,
    "plan": object(),
    "model": object(),
    "placement": object(),
    "observed": object(),
    "attempt": 7,
    "nodes": {"a": 1},
}
INIT, DOWNLOAD, PLACEMENT, AFTER = (
    "on_before_init",
    "on_before_download",
    "on_before_placement",
    "on_after_init",
)
ALLOWED: dict[str, set[str]] = {
    "local_node_download_model": {INIT, DOWNLOAD},
    "worker_node_download_model": {INIT, DOWNLOAD},
    "runtime_env": {INIT, DOWNLOAD},
    "placement_group": {INIT, DOWNLOAD, PLACEMENT},
    "run_init_node": {INIT},
    "extra_init_kwargs": {INIT, DOWNLOAD, PLACEMENT, AFTER, "on_before_warmup"},
    "custom_data": {INIT, DOWNLOAD, PLACEMENT, AFTER, "on_before_warmup"},
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("hook", [INIT, DOWNLOAD, PLACEMENT, AFTER, "on_before_warmup"])
def test_each_field_may_be_changed_by_these_hooks_and_no_others(field: str, hook: str) -> None:
    before = ctx()
    after = attrs.evolve(before, **{field: VALUES[field]})

    found = forbidden_change(before, after, hook)

    if hook in ALLOWED.get(field, set()):
        assert found is None
    else:
        assert found is not None and found[0] == field
    assert {field} == set(changes(before, after))
    assert forbidden_change(before, attrs.evolve(before), hook) is None


def test_a_field_is_named_that_does_not_exist() -> None:
    with pytest.raises(TypeError, match=r"no field 'custom_dat'; did you mean 'custom_data'\?"):
        ctx().evolve(custom_dat={})


def test_modes_are_taken_by_name_in_any_case() -> None:
    assert ctx(worker_node_download_model="tokenizer_only").worker_node_download_model == (
        NodeModelDownloadable.TOKENIZER_ONLY
    )
    for wrong in ("TOKENIZER", 7, None):
        with pytest.raises(ValueError, match="is not a download mode"):
            ctx(worker_node_download_model=wrong)


def test_no_secret_shows() -> None:
    env = {"env_vars": {"HF_TOKEN": "hf_abcdefghijklmnopqrst", "PLAIN": "seen"}}
    shown = repr(ctx(runtime_env=env, custom_data={"api_key": "s3cr3t"}, extra_init_kwargs=env))

    assert "hf_abc" not in shown and "s3cr3t" not in shown
    assert "seen" in shown


def test_objects_that_hash_may_be_carried() -> None:
    lock = threading.Lock()  # it will not travel, but that is only asked of it on the way
    assert ctx(custom_data={"lock": lock}).custom_data["lock"] is lock
