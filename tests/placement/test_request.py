"""What a request refuses, and what it makes of what it accepts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeinit.errors import ConfigError
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import UNIT, Bundle, amount, fixed, reported

GPU = {"GPU": 1}


def refusal(*args, **kwargs) -> str:
    with pytest.raises(ConfigError) as caught:
        PlacementRequest(*args, **kwargs)
    return str(caught.value)


# What Ray 2.60 takes without a word, and what comes of it there.
@pytest.mark.parametrize(
    ("bundle", "where", "says"),
    [
        ({"GPU": -1}, "bundles[0].GPU = -1", "negative"),  # CREATED, reserves nothing
        ({"GPU": math.nan}, "bundles[0].GPU", "nan is not finite"),  # PENDING for ever
        ({"GPU": math.inf}, "bundles[0].GPU", "inf is not finite"),
        ({"GPU": 0.00005}, "bundles[0].GPU", "below 0.0001"),  # CREATED, reserves nothing
        ({"GPU": True}, "bundles[0].GPU", "True is not a number"),  # taken for 1
        ({"GPU": "1"}, "bundles[0].GPU", "'1' is not a number"),
        ({"GPU": 1.5}, "bundles[0].GPU = 1.5", "more than the one GPU"),  # CREATED, of no use
        ({"GPU": 2}, "bundles[0].GPU = 2", "write one bundle for each worker"),
        ({"gpu": 1}, "bundles[0].gpu = 1", "write GPU"),  # INFEASIBLE for ever
        ({"Cpu": 1}, "bundles[0].Cpu = 1", "write CPU"),
        ({"GPU": 1, "CPU": -0.5}, "bundles[0].CPU = -0.5", "negative"),
        ({"TPU": 1.5}, "bundles[0].TPU = 1.5", "whole number of chips"),
        ({}, "bundles[0]", "asks for nothing"),
        ({"GPU": 0}, "bundles[0]", "asks for nothing"),
        ("GPU", "bundles[0] = 'GPU'", "is not a mapping"),
        ({1: 1}, "bundles[0] = 1", "name of a resource"),
        (Bundle({"GPU": True}), "bundles[0].GPU = True", "fixed-point"),
        (Bundle({"GPU": 0.5}), "bundles[0].GPU = 0.5", "fixed-point"),
        (Bundle({"GPU": 0}), "bundles[0].GPU", "below 0.0001"),
        (Bundle.of(GPU=0.00009), "bundles[0].GPU", "below 0.0001"),
        (Bundle.of({"zone": "in(a, b)"}, GPU=1), "bundles[0].labels", "in(a, b)"),
    ],
)
def test_a_bad_bundle_is_refused_by_place_and_reason(bundle, where, says):
    text = refusal([bundle])
    assert where in text
    assert says in text


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "2", None])
@pytest.mark.parametrize("name", ["tensor_parallel_size", "pipeline_parallel_size"])
def test_a_size_that_is_none_is_refused(name, size):
    assert f"{name} = {size!r}" in refusal([GPU], **{name: size})
    with pytest.raises(ConfigError, match=name):
        PlacementRequest.of(**{name: size})


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"bundles": []}, "bundles: is empty"),
        ({"bundles": GPU}, "is not a list of bundles"),
        ({"bundles": 3}, "is not a list of bundles"),
        ({"bundles": [GPU], "strategy": "pack"}, "did you mean PACK?"),
        ({"bundles": [GPU], "strategy": "ANY"}, "use one of PACK, SPREAD"),
        ({"bundles": [GPU], "strategy": None}, "use one of PACK"),
        ({"bundles": [GPU], "tensor_parallel_size": 4}, "1 with a GPU: are too few for the 4"),
        ({"bundles": [{"CPU": 1}], "pipeline_parallel_size": 2}, "too few for the 2"),
        ({"bundles": [GPU, {"CPU": 1}], "tensor_parallel_size": 2}, "1 with a GPU"),
        ({"bundles": [GPU, {"GPU": 0.5}]}, "different shares of a GPU"),
        ({"bundles": [{"GPU": 0.5}] * 2, "tensor_parallel_size": 2}, "the same GPU"),
        ({"bundles": [GPU, {"TPU": 1}]}, "one kind of device"),
        ({"bundles": [{"CPU": 1}], "accelerator_type": "H100"}, "no bundle asks for a GPU"),
        ({"bundles": [GPU], "accelerator_type": ""}, "is not a name"),
        ({"bundles": [GPU], "span_tp": "yes"}, "neither true nor false"),
        (
            {"bundles": [GPU] * 2, "tensor_parallel_size": 2, "strategy": "STRICT_SPREAD"},
            "allow it with span_tp=True",
        ),
        (
            {"bundles": [{"CPU": 1}, GPU], "strategy": "STRICT_SPREAD"},
            "parts the engine's bundle from the first worker's",
        ),
        (
            {
                "bundles": [GPU] * 2,
                "tensor_parallel_size": 2,
                "strategy": "STRICT_PACK",
                "span_tp": True,
            },
            "nothing can span",
        ),
    ],
)
def test_a_contradiction_is_refused(kwargs, says):
    assert says in refusal(**kwargs)


def test_all_faults_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        PlacementRequest([{"GPU": -1}, {"gpu": 1}], "pakc", 0)
    assert [fault.where for fault in caught.value.faults] == [
        "tensor_parallel_size",
        "strategy",
        "bundles[0].GPU",
        "bundles[1].gpu",
    ]


def test_groups_are_in_the_order_of_ranks():
    request = PlacementRequest.of(2, 2, data_parallel_size=2)
    assert request.workers == tuple(range(8))
    assert request.tp_groups == ((0, 1), (2, 3), (4, 5), (6, 7))
    assert request.world_size == 8


def test_only_device_bundles_are_workers():
    bundles = [{"CPU": 4}, GPU, {"CPU": 1}, GPU, GPU]
    request = PlacementRequest(bundles, "PACK", 2)
    assert request.device == "GPU"
    assert request.tp_groups == ((1, 3),)
    assert PlacementRequest([{"CPU": 1}] * 2, "PACK", 2).tp_groups == ((0, 1),)
    assert PlacementRequest([{"TPU": 4}]).device == "TPU"


def test_the_engine_gets_its_share_in_the_first_bundle():
    request = PlacementRequest.of(1, 2, cpu=1, memory=100, engine={"CPU": 1.5, "disk": 1})
    assert request.bundles[0] == Bundle.of(GPU=1, CPU=2.5, memory=100, disk=1)
    assert request.bundles[1] == Bundle.of(GPU=1, CPU=1, memory=100)


def test_amounts_in_units_come_back_as_they_were_asked():
    request = PlacementRequest.of(gpu=0.25, cpu=2, labels={"zone": "a"})
    assert request.gpu_share == 2_500
    assert request.to_dict()["bundles"] == [
        {"resources": {"CPU": 2, "GPU": 0.25}, "labels": {"zone": "a"}}
    ]


@given(st.integers(1, 10**9))
def test_what_ray_reports_is_read_back_exactly(steps):
    assert reported(amount(steps)) == steps


def test_what_is_asked_for_is_truncated_as_ray_does():
    assert fixed(0.57) == 5699
    assert fixed(0.3334) == 3333
    assert reported(0.57) == 5700
    assert fixed(3) == 3 * UNIT
