"""What the adapter can work with: Rays, engines, deadlines, and a config that serves both sides."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from nodeinit import LLMConfig
from nodeinit.callbacks import CallbackSpec
from nodeinit.errors import ConfigError
from nodeinit.fsm.registry import load_machine
from nodeinit.node.policy import policy_of
from nodeinit.ray.llm import budget
from nodeinit.ray.llm.probe import upstream
from nodeinit.ray.llm.supported import check_supported

ADAPTER = "nodeinit.ray.llm:NodeInitCallback"


def llm(**changes: Any) -> LLMConfig:
    return LLMConfig(model_id="org/m", **changes)


@pytest.mark.parametrize(
    ("changes", "where", "remedy"),
    [
        (
            {"server_cls": "ray.serve.llm.engines:SGLangServer"},
            "server_cls = ray.serve.llm.engines:SGLangServer: .* calls no callbacks",
            "nodeinit fetch",
        ),
        (
            {"engine_kwargs": {"data_parallel_size": 2}},
            "engine_kwargs.data_parallel_size = 2: every rank",
            "nodeinit fetch",
        ),
        (
            {"accelerator_type": "TPU-V6E", "accelerator_config": {"kind": "tpu"}},
            "accelerator_config = TPU: Ray reserves TPU slices by itself",
            "nodeinit fetch",
        ),
    ],
)
def test_what_cannot_be_served_is_said(changes: dict[str, Any], where: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=where) as error:
        check_supported(llm(**changes))
    assert remedy in str(error.value)


def test_what_can_be_served_is_not_complained_about() -> None:
    check_supported(llm(engine_kwargs={"tensor_parallel_size": 4}))


def test_the_installed_ray_is_known() -> None:
    found = upstream()
    assert not found.untried and found.can_be_told_hardware


@pytest.mark.parametrize("version", ["2.49.2", "2.50.1"])
def test_a_ray_without_callbacks_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr("ray.__version__", version)
    with pytest.raises(ConfigError, match=rf"ray = {version}: has no callbacks.*use Ray 2\.51"):
        upstream()


@pytest.mark.parametrize(("version", "untried"), [("2.61.0", True), ("2.60.3", False)])
def test_a_later_ray_is_tried(monkeypatch: pytest.MonkeyPatch, version: str, untried: bool) -> None:
    monkeypatch.setattr("ray.__version__", version)
    assert upstream().untried is untried


@pytest.mark.parametrize(
    ("version", "can"), [("2.51.2", False), ("2.53.0", False), ("2.54.0", True)]
)
def test_only_some_can_leave_the_gpus_to_us(
    monkeypatch: pytest.MonkeyPatch, version: str, can: bool
) -> None:
    monkeypatch.setattr("ray.__version__", version)
    assert upstream().can_be_told_hardware is can


def test_a_ray_that_changed_its_context_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    @dataclasses.dataclass
    class CallbackCtx:
        placement_group: Any = None

    name = "ray.llm._internal.common.callbacks.base"
    changed = types.SimpleNamespace(CallbackCtx=CallbackCtx)
    monkeypatch.setitem(sys.modules, name, changed)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="a callback context without run_init_node, runtime_env"):
        upstream()


@pytest.mark.parametrize(("deadline", "ours"), [(3600, 3300), (600, 540), (10, 9)])
def test_the_engine_is_left_time_of_its_own(deadline: float, ours: float) -> None:
    assert budget.budget_of(deadline) == ours


def test_no_phase_may_take_longer_than_there_is() -> None:
    machine = load_machine("node_init")
    policy = budget.within(policy_of(llm(), machine), machine, 90)
    assert [policy.of(phase.state).deadline for phase in machine.phases] == [90, 90, 90]
    assert not policy.heal


def test_a_config_for_ray_is_read_with_the_callbacks_in_it() -> None:
    config = LLMConfig.from_dict(
        {
            "model_loading_config": {"model_id": "m"},
            "callback_config": {
                "callback_class": ADAPTER.replace(":", "."),
                "callback_kwargs": {
                    "callback": "my.module:Mine",
                    "callback_kwargs": {"a": 1},
                    "journal": "/var/log/nodeinit",
                },
                "raise_error_on_callback": False,
            },
        }
    )
    assert config.callbacks == (CallbackSpec("my.module:Mine", {"a": 1}, False),)


def test_the_adapter_alone_is_no_callback() -> None:
    assert llm(callback=ADAPTER).callbacks == ()


def test_several_callbacks_in_the_adapter() -> None:
    listed = ["a.b:C", {"callback_class": "d.e:F", "callback_kwargs": {"x": 2}}]
    config = llm(callback=ADAPTER, callback_kwargs={"callback": listed})
    assert [spec.name for spec in config.callbacks] == ["a.b:C", "d.e:F"]


def test_an_argument_that_the_adapter_does_not_have_is_a_fault() -> None:
    with pytest.raises(ConfigError, match=r"kwargs\.calback.*did you mean 'callback'"):
        llm(callback=ADAPTER, callback_kwargs={"calback": "a.b:C"})
