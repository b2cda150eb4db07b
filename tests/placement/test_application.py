"""A whole application: the ingress before the models, and all of it on one cluster."""

from __future__ import annotations

from typing import Any

import pytest

from nodeinit.config import LLMConfig
from nodeinit.config.applications import Application, Entry
from nodeinit.errors import ConfigError
from nodeinit.placement.application import (
    ingress_replicas,
    plan_application,
    replicas_of_applications,
)
from nodeinit.placement.topology import ClusterSnapshot
from tests.strategies import host

ZERO = {"autoscaling_config": {"min_replicas": 0, "max_replicas": 2}}
OPENAI = "build_openai_app"


def config(name: str = "m", **deployment: Any) -> LLMConfig:
    return LLMConfig(model_id=name, deployment_config=deployment)


@pytest.mark.parametrize(
    ("builder", "models", "options", "count"),
    [
        (OPENAI, [config()], {}, 1),
        ("build_dp_openai_app", [config()], {}, 1),
        ("build_pd_openai_app", [config()], {}, 1),
        ("my_app", [config()], {}, 0),
        (OPENAI, [config()], {"num_replicas": 3}, 3),
        (OPENAI, [config()], {"autoscaling_config": {"min_replicas": 2}}, 2),
        (OPENAI, [config()], {"ray_actor_options": {"num_cpus": 0}}, 0),  # it takes nothing
        (OPENAI, [config(**ZERO)], {}, 0),
        (OPENAI, [config(**ZERO), config("n")], {}, 1),
        (OPENAI, [config(**ZERO)], {"num_replicas": 1}, 1),
        (OPENAI, [config(**ZERO)], {"autoscaling_config": {"min_replicas": 1}}, 1),
    ],
)
def test_how_many_replicas_take_requests(
    builder: str, models: list[LLMConfig], options: dict[str, Any], count: int
) -> None:
    found = ingress_replicas(builder, models, options)
    assert [replica.number for replica in found] == list(range(1, count + 1))
    assert all(replica.is_ingress for replica in found)


def test_what_a_replica_of_the_ingress_takes() -> None:
    actor = {"num_cpus": 0.5, "memory": 10, "resources": {"front": 1}}
    (replica,) = ingress_replicas(OPENAI, [config()], {"ray_actor_options": actor})
    (bundle,) = replica.request.bundles
    assert bundle.units() == {"CPU": 0.5, "memory": 10, "front": 1}
    (plain,) = ingress_replicas(OPENAI, [config()], {})
    assert plain.request.bundles[0].units() == {"CPU": 1}


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"ray_actor_options": {"num_cpus": -1}}, "ray_actor_options"),
        ({"ray_actor_options": {"resources": [1]}}, "ray_actor_options.resources"),
        ({"autoscaling_config": {"min_replicas": "x"}}, "autoscaling_config.min_replicas"),
    ],
)
def test_what_no_ingress_has_is_refused_at_its_place(options: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ingress_replicas(OPENAI, [config()], options)
    assert refused.value.faults[0].where == f"ingress_deployment_config.{where}"


def application(index: int, name: str, *configs: LLMConfig) -> Application:
    entries = tuple(Entry(("llm_configs", i), one, {}) for i, one in enumerate(configs))
    return Application(index, name, f"ray.serve.llm:{OPENAI}", entries)


def test_several_applications_have_an_ingress_each() -> None:
    one = application(0, "one", config("m", num_replicas=2))
    found = replicas_of_applications([one, application(1, "two", config("m"))])
    assert [replica.name for replica in found] == [
        "m#1",
        "m#2",
        "m#3",
        "one:OpenAiIngress#1",
        "two:OpenAiIngress#1",
    ]
    assert replicas_of_applications([one])[-1].name == "OpenAiIngress#1"


def test_an_application_is_planned_with_what_stands_beside_it() -> None:
    ingress = ingress_replicas(OPENAI, [config()], {})
    hosts = ClusterSnapshot((host("a", 1, cpu=8, free_cpu=1),))
    found = plan_application([config()], hosts, beside=ingress)
    assert [replica.name for replica, _ in found.answers] == ["m#1", "OpenAiIngress#1"]
    assert [replica.name for replica, _ in found.refused] == ["OpenAiIngress#1"]
    roomy = ClusterSnapshot((host("a", 1, cpu=8, free_cpu=2),))
    assert plan_application([config()], roomy, beside=ingress).feasible
