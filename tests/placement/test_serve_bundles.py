"""What Serve reserves for a config: the engine's bundles, and the replica's actor in the first.

`test_upstream_bundles.py` holds it against Ray's own, where Ray's own can be imported.
"""

from __future__ import annotations

from typing import Any

import pytest

from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError
from nodeinit.placement.from_config import request_from_config
from nodeinit.placement.serve_bundles import reservation_of, serve_request

SELECTOR = "placement_group_bundle_label_selector"


def config(tp: int = 2, dp: int = 1, **fields: Any) -> LLMConfig:
    sizes = {"tensor_parallel_size": tp, "data_parallel_size": dp}
    return LLMConfig(model_id="m", engine_kwargs=sizes, **fields)


def with_actor(**options: Any) -> LLMConfig:
    return config(deployment_config={"ray_actor_options": options})


def units(made: LLMConfig) -> list[dict[str, float]]:
    return [bundle.units() for bundle in serve_request(made).bundles]


def test_the_actor_has_a_cpu_in_the_first_bundle() -> None:
    assert units(config()) == [{"CPU": 1, "GPU": 1}, {"GPU": 1}]
    each = {"bundle_per_worker": {"GPU": 1, "CPU": 2}}
    assert units(config(placement_group_config=each)) == [
        {"CPU": 3, "GPU": 1},
        {"CPU": 2, "GPU": 1},
    ]


def test_the_actor_has_what_the_deployment_says() -> None:
    asked = with_actor(num_cpus=0.5, memory=100, resources={"x": 2})
    assert units(asked) == [{"CPU": 0.5, "GPU": 1, "memory": 100, "x": 2}, {"GPU": 1}]
    assert units(with_actor(num_cpus=0)) == [{"GPU": 1}] * 2
    assert units(with_actor(num_gpus=0)) == [{"CPU": 1, "GPU": 1}, {"GPU": 1}]
    nothing = config(deployment_config={"ray_actor_options": None})
    assert units(nothing) == units(config())


def test_the_rest_is_the_node_s_own_request() -> None:
    made = config(
        accelerator_type="L4", placement_group_config={"bundles": [{"GPU": 1}] * 3}, nodeinit={}
    )
    node, serve = request_from_config(made), serve_request(made)
    assert node.bundles[1:] == serve.bundles[1:]
    assert node.workers == serve.workers
    assert (node.strategy, node.accelerator_type) == (serve.strategy, serve.accelerator_type)


def test_the_bundles_of_sglang_are_left_as_they_are() -> None:
    theirs = {"placement_group_bundles": [{"GPU": 1, "CPU": 4}] * 2}
    assert (
        units(config(placement_group_config=theirs, server_cls="a.b:C"))
        == [{"CPU": 4, "GPU": 1}] * 2
    )


def test_a_data_parallel_group_is_one_group_and_packed() -> None:
    made = config(
        dp=3, placement_group_config={"bundle_per_worker": {"GPU": 1}, "strategy": "STRICT_PACK"}
    )
    found = reservation_of(made)
    assert found.ranks == 3
    assert found.strategy == "PACK"
    assert [bundle.units() for bundle in found.bundles] == [{"CPU": 1, "GPU": 1}, {"GPU": 1}] * 3
    assert serve_request(made).strategy == "PACK"


def test_label_selectors() -> None:
    def labels(*selectors: Any) -> list[dict[str, str]]:
        made = config(deployment_config={SELECTOR: list(selectors)})
        return [dict(bundle.labels) for bundle in serve_request(made).bundles]

    assert labels() == [{}, {}]
    assert labels({"zone": "a"}) == [{"zone": "a"}] * 2
    assert labels({"zone": "a"}, {"zone": "in(a,b)"}) == [{"zone": "a"}, {"zone": "in(a,b)"}]


OPTIONS = "deployment_config.ray_actor_options"


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (with_actor(num_gpus=1), f"{OPTIONS}.num_gpus = 1: is for the replica's own actor"),
        (with_actor(num_cpus=-1), f"{OPTIONS}.num_cpus = -1: is negative"),
        (with_actor(num_cpus="2"), f"{OPTIONS}.num_cpus: '2' is not a number"),
        (with_actor(memory=None), f"{OPTIONS}.memory: None is not a number"),
        (with_actor(resources={"x": -1}), f"{OPTIONS}.resources.x = -1: is negative"),
        (with_actor(resources={"gpu": 1}), f"{OPTIONS}.resources.gpu = 1: is a resource that no"),
        (with_actor(resources=["x"]), f"{OPTIONS}.resources = ['x']"),
        (with_actor(resources={"TPU": 4}), f"{OPTIONS}: ask for GPUs and for TPUs"),
        (config(deployment_config={SELECTOR: {"zone": "a"}}), f"deployment_config.{SELECTOR} = "),
        (config(deployment_config={SELECTOR: [{}] * 3}), "are not as many as the 2 bundles"),
        (config(deployment_config={SELECTOR: ["a"]}), f"{SELECTOR}[0] = 'a': is not a label"),
        (config(deployment_config={SELECTOR: [{"zone": "a b"}]}), f"{SELECTOR}[0] = "),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_what_is_refused_is_named_by_its_place(made: LLMConfig, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        serve_request(made)
    assert told in str(caught.value)
