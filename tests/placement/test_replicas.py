"""How many replicas a config begins with."""

from __future__ import annotations

import pytest

from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError
from nodeinit.placement.replicas import count_of, replicas_of


def config(model_id="m", **deployment) -> LLMConfig:
    return LLMConfig(model_id=model_id, deployment_config=deployment)


@pytest.mark.parametrize(
    ("deployment", "count"),
    [
        ({}, 1),
        ({"num_replicas": 3}, 3),
        ({"num_replicas": 0}, 0),
        ({"num_replicas": "auto"}, 1),
        ({"num_replicas": None}, 1),
        ({"autoscaling_config": {"max_replicas": 9}}, 1),
        ({"autoscaling_config": {"min_replicas": 2, "max_replicas": 9}}, 2),
        ({"autoscaling_config": {"min_replicas": 0}}, 0),
        ({"autoscaling_config": {"min_replicas": 2, "initial_replicas": 4}}, 4),
        ({"autoscaling_config": {"min_replicas": 2, "initial_replicas": None}}, 2),
        ({"num_replicas": "auto", "autoscaling_config": {"min_replicas": 2}}, 2),
    ],
)
def test_as_serve_counts(deployment: dict, count: int) -> None:
    assert count_of(config(**deployment)) == count


def test_every_data_parallel_rank_is_one() -> None:
    made = config(num_replicas=2).evolve(engine_kwargs={"data_parallel_size": 3})
    assert count_of(made) == 6


def test_replicas_are_numbered_by_model() -> None:
    """Also across two configs of one model, as its prefill and its decode side are."""
    found = replicas_of([config("a", num_replicas=2), config("b"), config("a")])
    assert [replica.name for replica in found] == ["a#1", "a#2", "b#1", "a#3"]
    assert [(replica.model_id, replica.number) for replica in found[2:]] == [("b", 1), ("a", 3)]


def test_the_faults_of_all_models_are_told_with_their_model() -> None:
    bad = config("a", autoscaling_config={"min_replicas": "two"})
    worse = LLMConfig(
        model_id="b",
        placement_group_config={"bundles": [{"GPU": 1}]},
        engine_kwargs={"tensor_parallel_size": 2},
    )
    with pytest.raises(ConfigError) as caught:
        replicas_of([bad, worse, config("c")])
    first, second = caught.value.faults
    assert first.where == "a: deployment_config.autoscaling_config.min_replicas"
    assert first.value == "'two'"
    assert second.where.startswith("b: placement_group_config.bundles")
