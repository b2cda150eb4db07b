"""What becomes of an application before Serve gets it: pure, on snapshots."""

from __future__ import annotations

import inspect
from typing import Any

import attrs
import pytest

from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError, InfeasibleError, NoCapacityError
from nodeinit.placement.application import ingress_replicas
from nodeinit.placement.labels import NODE_ID, matches
from nodeinit.placement.topology import Bundle, ClusterSnapshot, Group, Host
from nodeinit.ray import llm
from nodeinit.ray.llm import live
from nodeinit.ray.llm.bundles import bundle_selectors, may_grow
from nodeinit.ray.llm.deployed import being_built, matched, without_application
from nodeinit.ray.llm.preparing import Preparation, check_fits, prepare
from tests import strategies


def host(name: str, *amounts: float, **more: Any) -> Host:
    """A host with the label that every one of Ray's has."""
    made = strategies.host(name, *amounts, **more)
    return attrs.evolve(made, labels={**made.labels, NODE_ID: name})


FOUR = ClusterSnapshot((*(host(name, 4) for name in "abcd"), host("cpu", 0)))


def config(name: str = "m", tp: int = 1, *, pin: str | None = None, **more: Any) -> LLMConfig:
    ours = {} if pin is None else {"nodeinit": {"pin": pin}}
    return LLMConfig(
        model_id=name, engine_kwargs={"tensor_parallel_size": tp}, experimental_configs=ours, **more
    )


def prepared(*configs: LLMConfig, on: ClusterSnapshot = FOUR, **more: Any) -> Preparation:
    found = prepare(configs, on, **more)
    check_fits(found)
    return found


def allowed(selector: dict[str, str], on: ClusterSnapshot = FOUR) -> set[str]:
    """The hosts with GPUs that a selector permits."""
    hosts = [one for one in on.alive if one.total.get("GPU")]
    return {one.node_id for one in hosts if matches(selector, one.labels)}


def test_a_single_replica_goes_to_the_hosts_of_its_bundles_and_to_new_ones() -> None:
    sizes = {"tensor_parallel_size": 4, "pipeline_parallel_size": 2}
    (model,) = prepared(LLMConfig(model_id="m", engine_kwargs=sizes)).models
    (plan,) = model.plans
    assert model.selectors is not None and len(plan.hosts) == 2
    grown = ClusterSnapshot((*FOUR.hosts, host("new", 4)))
    for node_id, selector in zip(plan.node_ids, model.selectors, strict=True):
        assert allowed(dict(selector)) == {node_id}
        assert allowed(dict(selector), grown) == {node_id, "new"}


def test_several_replicas_share_all_hosts_of_their_plans() -> None:
    (model,) = prepared(config(tp=4, deployment_config={"num_replicas": 3})).models
    assert model.selectors is not None
    assert len(model.hosts) == 3
    assert all(allowed(dict(selector)) == set(model.hosts) for selector in model.selectors)


@pytest.mark.parametrize(("pin", "expected"), [("node", "a"), ("hosts", "a"), ("none", None)])
def test_a_pin_that_is_asked_for_names_hosts_or_nothing(pin: str, expected: str | None) -> None:
    (model,) = prepared(config(pin=pin)).models
    assert model.selectors == ([{NODE_ID: expected}] if expected else None)
    (several,) = prepared(config(tp=4, pin=pin, deployment_config={"num_replicas": 2})).models
    assert several.selectors == ([{NODE_ID: "in(a,b)"}] * 4 if expected else None)


def test_one_that_may_grow_keeps_only_its_own_labels() -> None:
    scaling = {"autoscaling_config": {"min_replicas": 1, "max_replicas": 3}}
    (model,) = prepared(config(deployment_config=scaling)).models
    assert model.selectors is None
    assert model.hosts == ("a",)
    labels = {"nodeinit": {"labels": {"zone": "!x"}}}
    (model,) = prepared(
        LLMConfig(model_id="m", deployment_config=scaling, experimental_configs=labels)
    ).models
    assert model.selectors == [{"zone": "!x"}]


@pytest.mark.parametrize(
    ("deployment", "grows"),
    [
        ({}, False),
        ({"num_replicas": 3}, False),
        ({"num_replicas": "auto"}, True),
        ({"autoscaling_config": {"min_replicas": 2}}, False),
        ({"autoscaling_config": {"max_replicas": 2}}, True),
        ({"autoscaling_config": {"min_replicas": 2, "max_replicas": 2}}, False),
        ({"autoscaling_config": {"initial_replicas": 1, "max_replicas": 2}}, True),
    ],
)
def test_whether_a_deployment_may_grow(deployment: dict[str, Any], grows: bool) -> None:
    assert may_grow(config(deployment_config=deployment)) is grows


def test_hosts_that_could_not_hold_a_bundle_are_not_spoken_of() -> None:
    """Else the selectors of a large cluster would be long for nothing."""
    (model,) = prepared(config(accelerator_type="L4"), on=MIXED).models
    assert model.selectors == [{NODE_ID: "!l2"}]


def test_what_serve_has_no_bundles_for_or_cannot_be_told_gets_no_selectors() -> None:
    sizes = {"tensor_parallel_size": 8}
    hosts = [
        attrs.evolve(
            host(name, 0, TPU=4, kind="TPU-V4"),
            labels={"ray.io/tpu-slice-name": "s", "ray.io/tpu-worker-id": str(worker)},
        )
        for worker, name in enumerate("ab")
    ]
    tpu = LLMConfig(
        model_id="m",
        engine_kwargs=sizes,
        accelerator_type="TPU-V4",
        accelerator_config={"kind": "tpu", "topology": "2x2x2"},
    )
    (model,) = prepared(tpu, on=ClusterSnapshot((*hosts, host("cpu", 0)))).models
    assert (model.hosts, model.selectors) == (("a", "b"), None)
    (model,) = prepared(config(), pinning=False).models
    assert (model.hosts, model.selectors) == (("a",), None)


MIXED = ClusterSnapshot(
    (host("l1", 1, kind="L4"), host("l2", 4, kind="L4"), host("h", 4, kind="H100"), host("x", 4))
)


def test_without_plans_there_is_nothing_to_say() -> None:
    assert bundle_selectors(config(), (), FOUR) is None


def test_what_is_planned_first_is_taken_for_what_comes_after() -> None:
    first, second = prepared(config("m", 4), config("n", 4)).models
    assert not set(first.hosts) & set(second.hosts)
    ingress = ingress_replicas("build_openai_app", [config()], {"num_replicas": 2})
    cramped = ClusterSnapshot((host("a", 4, free_cpu=2),))
    with pytest.raises(NoCapacityError, match="OpenAiIngress#2 does not fit: needs 1 CPU"):
        prepared(config("m", 4), on=cramped, beside=ingress)


def test_what_never_fits_says_so_first() -> None:
    taken = ClusterSnapshot((host("a", 4, 0),))
    with pytest.raises(NoCapacityError, match="m#1 does not fit"):
        prepared(config("m", 2), on=taken)
    with pytest.raises(InfeasibleError, match="n#1 does not fit: needs 8 GPUs"):
        prepared(config("m", 2), config("n", 8), on=taken)


def test_what_is_left_to_ray_may_come_to_fit_when_the_cluster_grows() -> None:
    small = ClusterSnapshot((host("a", 2, free_cpu=0),))
    ingress = ingress_replicas("build_openai_app", [config()], {})
    found = prepared(config(tp=2, pin="none"), on=small, beside=ingress)
    assert not found.planned.feasible
    assert (found.models[0].plans, found.models[0].selectors) == ((), None)
    with pytest.raises(NoCapacityError, match=r"^n#1, OpenAiIngress#1 do not fit: "):
        prepared(config(tp=2, pin="none"), config("n"), on=small, beside=ingress)


def test_hosts_that_the_user_names_stay_named() -> None:
    labels = {"nodeinit": {"labels": {NODE_ID: "in(b,c)"}}}
    (model,) = prepared(LLMConfig(model_id="m", experimental_configs=labels)).models
    assert (model.hosts, model.selectors) == (("b",), [{NODE_ID: "in(b,c)"}])


# -- what Serve runs already ------------------------------------------------------------------------


def serves(app: str, deployment: str, node_id: str, gpus: int) -> Group:
    name = f"SERVE_REPLICA::{app}#{deployment}#x1y2"
    bundles = (Bundle.of(GPU=1),) * gpus
    return Group(name, name, "CREATED", bundles, "PACK", (node_id,) * gpus)


def test_what_an_application_holds_is_free_for_its_next_version() -> None:
    held = ClusterSnapshot((host("a", 4, 0),), (serves("llm", "LLMServer:m", "a", 4),))
    with pytest.raises(NoCapacityError):
        prepared(config("m", 4), on=held)
    with pytest.raises(NoCapacityError):
        prepared(config("m", 4), on=without_application(held, "ll"))
    (model,) = prepared(config("m", 4), on=without_application(held, "llm")).models
    assert model.hosts == ("a",)


def test_a_builder_finds_out_what_serve_calls_the_application() -> None:
    def build_serve_application(import_path: str, name: str) -> str | None:
        return (lambda: being_built())()

    assert build_serve_application("a:b", "llm") == "llm"
    assert being_built() is None


def test_a_deployment_keeps_its_selectors_while_they_leave_room() -> None:
    """Or Serve would restart replicas that nothing has changed for."""
    there = [{NODE_ID: "!in(a,b,c,gone)"}]
    (model,) = prepared(config(), present=[there]).models
    assert (model.hosts, model.selectors) == (("d",), there)
    full = ClusterSnapshot((host("a", 4), host("d", 4, 0)))
    (model,) = prepared(config(), on=full, present=[there]).models
    assert model.hosts == ("a",)
    assert allowed(dict((model.selectors or [{}])[0]), full) == {"a"}


@pytest.mark.parametrize("there", [[{NODE_ID: "d"}] * 2, [{NODE_ID: "d"}]])
def test_selectors_that_do_not_suit_any_more_are_dropped(there: list[dict[str, str]]) -> None:
    """There are more bundles now, or the user asks for labels that they lack."""
    labels = {"nodeinit": {"labels": {"zone": "!x"}}}
    changed = LLMConfig(model_id="m", experimental_configs=labels)
    (model,) = prepared(changed, present=[there]).models
    assert model.hosts == ("a",)


def test_the_deployment_of_a_model_is_found_by_its_name() -> None:
    """Prefill and decode of one model have its id both."""
    one, two, three = ([{NODE_ID: name}] for name in "abc")
    there = {
        "OpenAiIngress": None,
        "Decode:p": three,
        "Prefill:p": two,
        "LLMServer:org--m-1_5": one,
        "LLMServer:free": None,
    }
    configs = [config(name) for name in ("p", "org/m-1.5", "p", "p", "free", "new")]
    assert matched(there, configs) == [two, one, three, None, None, None]


@pytest.mark.parametrize("name", [name for name in llm.__all__ if name.endswith("_app")])
def test_serve_takes_the_builders(name: str) -> None:
    """It calls one with a dictionary, and refuses any that has a second parameter."""
    assert len(inspect.signature(getattr(llm, name)).parameters) == 1


def test_what_is_replaced_is_known_while_it_is_built() -> None:
    with llm.replacing("llm"):
        assert live.REPLACED.get() == "llm"
    assert live.REPLACED.get() is None


# -- how nodeinit gets in ----------------------------------------------------------------------------

ADAPTER = "nodeinit.ray.llm:NodeInitCallback"


def callback_config(written: LLMConfig, there: Any = None) -> Any:
    (model,) = prepare([written], FOUR, written=[there]).models
    assert model.reason is None
    return model.changes.get("callback_config")


def test_a_config_without_a_callback_gets_the_adapter() -> None:
    assert callback_config(config()) == {"callback_class": ADAPTER}


def test_callbacks_of_ours_are_wrapped() -> None:
    one = config(callback="my:Callback", callback_kwargs={"a": 1})
    inner = {"callback": "my:Callback", "callback_kwargs": {"a": 1}}
    assert callback_config(one) == {"callback_class": ADAPTER, "callback_kwargs": inner}
    lenient = LLMConfig.from_dict(
        {
            "model_loading_config": {"model_id": "m"},
            "callback_config": {
                "callback_class": "my:Callback",
                "raise_error_on_callback": False,
            },
        }
    )
    assert callback_config(lenient)["raise_error_on_callback"] is False


def test_several_callbacks_are_wrapped_in_their_order_and_come_out_again() -> None:
    several = config(callback=["my:One", "my:Two"])
    found = callback_config(several)
    assert found["callback_kwargs"] == {"callback": ["my:One", "my:Two"]}
    read = {"model_loading_config": {"model_id": "m"}, "callback_config": found}
    assert LLMConfig.from_dict(read).callbacks == several.callbacks


def test_an_adapter_that_is_there_stays_as_it_is() -> None:
    there = {"callback_class": ADAPTER, "callback_kwargs": {"journal": "/tmp/j"}}
    assert callback_config(config(), there) is None


class CallbackBase:
    """Stands where Ray's own is, which needs packages that only an engine needs."""


CallbackBase.__module__ = "ray.llm._internal.common.callbacks.base"


class Foreign(CallbackBase):
    pass


def test_a_callback_of_rays_own_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError) as refused:
        prepare([config(callback=Foreign)], FOUR)
    assert "is a callback of Ray's own, and ray.serve.llm takes only one" in str(refused.value)
    assert "on_before_download" in str(refused.value)


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (
            LLMConfig(model_id="m", engine_kwargs={"data_parallel_size": 2}),
            "engine_kwargs.data_parallel_size = 2",
        ),
        (config(server_cls="ray.llm.SGLangServer"), "server_cls = ray.llm.SGLangServer"),
    ],
)
def test_where_the_adapter_cannot_run_the_model_is_planned_all_the_same(
    one: LLMConfig, told: str
) -> None:
    (model,) = prepared(one).models
    assert model.reason is not None and model.reason.startswith(told)
    assert "callback_config" not in model.changes
    assert model.selectors is not None


def test_the_gpus_of_a_group_of_ones_own_do_not_follow_serves() -> None:
    there = {"callback_class": ADAPTER, "callback_kwargs": {"own_group": True}}
    own = config(
        placement_group_config={"bundles": [{"CPU": 1}]}, accelerator_config={"kind": "cpu"}
    )
    (model,) = prepare([own], FOUR, written=[there]).models
    assert model.selectors is None


def test_replicas_look_where_the_driver_brought_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODEINIT_STORE", "/nvme")
    (model,) = prepare([config(pin="none")], FOUR).models
    assert model.changes["experimental_configs"] == {"nodeinit": {"pin": "none", "store": "/nvme"}}
    own = LLMConfig(model_id="m", experimental_configs={"nodeinit": {"store": "/mine"}})
    (model,) = prepare([own], FOUR).models
    assert "experimental_configs" not in model.changes
