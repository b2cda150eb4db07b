"""The request of a config is the group that Ray Serve LLM would make."""

from __future__ import annotations

import pytest

from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError
from nodeinit.placement.placed import Pin
from nodeinit.placement.request import PlacementRequest


def request(**fields) -> PlacementRequest:
    return PlacementRequest.from_config(LLMConfig(model_id="m", **fields))


def units(made: PlacementRequest) -> list[dict]:
    return [bundle.units() for bundle in made.bundles]


def test_without_a_word_about_it_every_worker_gets_a_gpu():
    made = request(engine_kwargs={"tensor_parallel_size": 2, "pipeline_parallel_size": 2})
    assert units(made) == [{"GPU": 1}] * 4
    assert (made.strategy, made.tensor_parallel_size, made.pipeline_parallel_size) == ("PACK", 2, 2)


def test_replicas_are_not_multiplied_in():
    made = request(engine_kwargs={"tensor_parallel_size": 2, "data_parallel_size": 4})
    assert len(made.bundles) == 2


def test_an_accelerator_is_hinted_at_in_every_bundle():
    made = request(
        accelerator_type="L4",
        placement_group_config={"bundles": [{"GPU": 1, "accelerator_type:L4": 0.5}, {"GPU": 1}]},
        engine_kwargs={"tensor_parallel_size": 2},
    )
    assert units(made) == [
        {"GPU": 1, "accelerator_type:L4": 0.5},
        {"GPU": 1, "accelerator_type:L4": 0.001},
    ]
    assert made.accelerator_type == "L4"


def test_a_bundle_per_worker_is_repeated():
    made = request(
        placement_group_config={
            "bundle_per_worker": {"GPU": 1, "CPU": 2},
            "strategy": "STRICT_PACK",
        },
        engine_kwargs={"tensor_parallel_size": 4},
    )
    assert units(made) == [{"CPU": 2, "GPU": 1}] * 4
    assert made.strategy == "STRICT_PACK"


def test_cpu_and_tpu():
    assert units(request(accelerator_config={"kind": "cpu"})) == [{"CPU": 1}]
    cpu = request(placement_group_config={"bundles": [{"CPU": 2, "GPU": 0}]})
    assert units(cpu) == [{"CPU": 2}]
    assert units(request(accelerator_type="TPU-V6E")) == [
        {"TPU": 1, "accelerator_type:TPU-V6E": 0.001}
    ]


def tpu(topology: str, tp: int, kind: str = "TPU-V6E") -> PlacementRequest:
    return request(
        accelerator_type=kind,
        accelerator_config={"kind": "tpu", "topology": topology},
        engine_kwargs={"tensor_parallel_size": tp},
    )


@pytest.mark.parametrize(
    ("topology", "kind", "tp", "hosts", "chips"),
    [
        ("4x4", "TPU-V6E", 16, 4, 4),
        ("2x4", "TPU-V6E", 8, 1, 8),
        ("2x2", "TPU-V6E", 4, 1, 4),
        ("2x2x2", "TPU-V4", 8, 2, 4),
        ("2x2x1", "TPU-V5P", 4, 1, 4),
    ],
)
def test_a_tpu_slice_has_a_bundle_for_each_host(topology, kind, tp, hosts, chips):
    made = tpu(topology, tp, kind)
    assert units(made) == [{"TPU": chips, f"accelerator_type:{kind}": 0.001}] * hosts
    assert made.workers == tuple(i for i in range(hosts) for _ in range(chips))
    assert made.topology == ("ray.io/tpu-slice-name" if hosts > 1 else None)


def test_a_tpu_slice_that_its_workers_do_not_fill_is_refused():
    with pytest.raises(ConfigError, match="4 chips, which 6 workers do not fill"):
        tpu("4x4", 6)


def test_topology_and_pin_are_read():
    made = request(nodeinit={"topology": "rack", "pin": "hosts"})
    assert (made.topology, made.pin) == ("rack", Pin.HOSTS)
    assert (request().topology, request().pin) == (None, Pin.NODE)


def test_label_selectors_are_those_of_serve_and_our_own():
    made = request(
        engine_kwargs={"tensor_parallel_size": 2},
        deployment_config={"placement_group_bundle_label_selector": [{"tier": "!spot"}]},
        nodeinit={"labels": {"zone": "in(a,b)", "tier": "gold"}},
    )
    assert [dict(bundle.labels) for bundle in made.bundles] == [
        {"zone": "in(a,b)", "tier": "!spot"}
    ] * 2
    with pytest.raises(ConfigError, match=r"experimental_configs.nodeinit.labels: 'in\(a, b\)'"):
        request(nodeinit={"labels": {"zone": "in(a, b)"}})


def test_span_tp_is_read():
    kwargs = {"engine_kwargs": {"tensor_parallel_size": 2}}
    assert not request(**kwargs).span_tp
    assert request(nodeinit={"span_tp": True}, **kwargs).span_tp


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        (
            {"placement_group_config": {"bundle_per_worker": {"GPU": 0.5}}, "tp": 2},
            "placement_group_config.bundles",
        ),
        (
            {"placement_group_config": {"bundle_per_worker": {"GPU": 2}}, "tp": 2},
            "placement_group_config.bundle_per_worker.GPU = 2:",
        ),
        (
            {"placement_group_config": {"bundles": [{"GPU": 1}]}, "tp": 4},
            "placement_group_config.bundles = 1 with a GPU: are too few",
        ),
        (
            {
                "placement_group_config": {
                    "bundle_per_worker": {"GPU": 1},
                    "strategy": "STRICT_SPREAD",
                },
                "tp": 2,
            },
            "placement_group_config.strategy",
        ),
    ],
)
def test_a_fault_names_its_place_in_the_file(fields, where):
    tp = fields.pop("tp")
    with pytest.raises(ConfigError) as caught:
        request(engine_kwargs={"tensor_parallel_size": tp}, **fields)
    assert where in str(caught.value)
    assert len(caught.value.faults) == 1
