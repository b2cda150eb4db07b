"""Ours against Ray Serve LLM's own: what the same config reserves, bundle by bundle.

Where the two differ, it is on purpose, and has a name and a reason here.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs
import pytest

from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError
from nodeinit.placement.from_config import request_from_config
from nodeinit.placement.replicas import count_of
from nodeinit.placement.serve_bundles import reservation_of
from nodeinit.placement.topology import UNIT, amount
from tests.placement.upstream import Derived, derive, own_ray, skip_without_upstream

skip_without_upstream()

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300), pytest.mark.usefixtures("ray_of_its_own")]

RUNS = int(os.environ.get("NODEINIT_RUNS", "400"))
Data: TypeAlias = dict[str, Any]


@pytest.fixture(scope="module")
def ray_of_its_own() -> Iterator[None]:
    with own_ray():
        yield


def model(*, engine: Data | None = None, **more: Any) -> Data:
    loading = {"model_id": "m", "model_source": "/models/m"}
    return {"model_loading_config": loading, "engine_kwargs": engine or {}, **more}


def sizes(tp: int = 1, pp: int = 1, dp: int = 1) -> Data:
    named = {"tensor": tp, "pipeline": pp, "data": dp}
    return {f"{name}_parallel_size": size for name, size in named.items() if size != 1}


def group(strategy: str | None = None, **how: Any) -> Data:
    return {**how, **({"strategy": strategy} if strategy else {})}


ONE, TWO = {"GPU": 1}, {"GPU": 1, "CPU": 2}
CPU = {"kind": "cpu"}
EXPLICIT = {"GPU": 1, "accelerator_type:L4": 0.5}

ALIKE: dict[str, Data] = {
    "nothing said": model(),
    "tensor": model(engine=sizes(4)),
    "tensor and pipeline": model(engine=sizes(4, 2)),
    "data": model(engine=sizes(2, 1, 4)),
    "data, replicas": model(engine=sizes(2, 2, 2), deployment_config={"num_replicas": 3}),
    "data, a strategy": model(
        engine=sizes(1, 2, 2), placement_group_config=group("STRICT_PACK", bundles=[ONE, ONE])
    ),
    "data, autoscaling": model(
        engine=sizes(1, 1, 2),
        deployment_config={"autoscaling_config": {"min_replicas": 2, "max_replicas": 3}},
    ),
    "autoscaling": model(
        deployment_config={
            "autoscaling_config": {"min_replicas": 2, "initial_replicas": 3, "max_replicas": 4}
        }
    ),
    "auto": model(deployment_config={"num_replicas": "auto"}),
    "accelerator": model(engine=sizes(2), accelerator_type="H100"),
    "the accelerator that Ray calls otherwise": model(accelerator_type="A10"),
    "a hint of one's own": model(
        accelerator_type="L4", placement_group_config=group(bundles=[EXPLICIT])
    ),
    "a bundle for each worker": model(
        engine=sizes(2, 2),
        accelerator_type="L4",
        placement_group_config=group(bundle_per_worker=TWO),
    ),
    "bundles": model(
        engine=sizes(2), placement_group_config=group("SPREAD", bundles=[TWO, {**TWO, "x": 0.5}])
    ),
    "a fraction": model(placement_group_config=group(bundle_per_worker={"GPU": 0.4})),
    "a fraction in bundles": model(placement_group_config=group(bundles=[{"GPU": 0.49, "CPU": 1}])),
    "the engine without a GPU": model(
        engine=sizes(2), placement_group_config=group(bundles=[{"CPU": 2}, ONE, ONE])
    ),
    "CPU": model(accelerator_config=CPU),
    "CPU, bundles": model(
        accelerator_config=CPU, placement_group_config=group(bundles=[{"CPU": 4}])
    ),
    "TPU": model(accelerator_type="TPU-V6E"),
    "no CPU for the actor": model(deployment_config={"ray_actor_options": {"num_cpus": 0}}),
    "much for the actor": model(
        engine=sizes(2),
        deployment_config={
            "ray_actor_options": {"num_cpus": 2.5, "memory": 1000, "resources": {"x": 0.25}}
        },
    ),
    "a custom CPU for the actor": model(
        deployment_config={"ray_actor_options": {"num_cpus": 2, "resources": {"CPU": 5}}}
    ),
    "labels for all": model(
        engine=sizes(2, 1, 2),
        deployment_config={"placement_group_bundle_label_selector": [{"zone": "a"}]},
    ),
    "labels for each": model(
        engine=sizes(2),
        deployment_config={
            "placement_group_bundle_label_selector": [{"zone": "a"}, {"zone": "!b"}]
        },
    ),
}


def check_alike(data: Data, theirs: Derived) -> None:
    config = LLMConfig.from_dict(data)
    request, serve = request_from_config(config), reservation_of(config)
    assert tuple(dict(bundle.resources) for bundle in request.bundles) == theirs.bundles
    assert request.strategy == theirs.strategy
    share = None if request.gpu_share == UNIT else str(amount(request.gpu_share))
    assert share == theirs.share
    assert len(serve.bundles) == len(theirs.reserved)
    for bundle, expected in zip(serve.bundles, theirs.reserved, strict=True):
        assert bundle.resources.keys() == expected.keys()
        # Ray truncates the sum of engine and actor, we both of them: a step of 1e-4 at most.
        assert all(abs(bundle.resources[name] - value) <= 1 for name, value in expected.items())
    assert tuple(dict(bundle.labels) for bundle in serve.bundles) == theirs.selectors
    assert (serve.strategy, serve.ranks) == (theirs.reserved_strategy, theirs.ranks)
    assert count_of(config) == theirs.replicas


@pytest.mark.parametrize("data", ALIKE.values(), ids=ALIKE)
def test_alike(data: Data) -> None:
    check_alike(data, derive(data))


# -- on purpose otherwise --------------------------------------------------------------------------


@attrs.frozen
class Refused:
    """What Ray takes and we do not: a part of what we say, why so, and one such config."""

    told: str
    why: str
    data: Data


NO_GPU = [{"GPU": 0, "CPU": 1}]
REFUSED: dict[str, Refused] = {
    "nothing asked for": Refused(
        "asks for nothing",
        "Ray reserves the actor's CPU and no more, and the engine finds no GPU",
        model(placement_group_config=group(bundles=[{"GPU": 0}])),
    ),
    "no bundles": Refused(
        "has no bundle",
        "Ray takes the model for one of the CPU, without a word",
        model(placement_group_config=group(bundles=[])),
    ),
    "a misspelt resource": Refused(
        "is not how Ray spells the resource",
        "Ray waits for a host that has a resource `gpu`, for ever",
        model(placement_group_config=group(bundles=[{"gpu": 1}])),
    ),
    "several GPUs for a worker": Refused(
        "is more than the one GPU that a worker runs on",
        "vLLM fails when it starts: a bundle cannot have more than 1 GPU",
        model(placement_group_config=group(bundles=[{"GPU": 2}])),
    ),
    "too few bundles": Refused(
        "are too few for the",
        "vLLM fails when it starts: more workers than bundles with a device",
        model(engine=sizes(4), placement_group_config=group(bundles=[ONE])),
    ),
    "shared GPUs of a tensor-parallel group": Refused(
        "two tensor-parallel workers could get the same GPU",
        "two workers of a group on one device cannot talk to each other",
        model(engine=sizes(2), placement_group_config=group(bundle_per_worker={"GPU": 0.5})),
    ),
    "different shares": Refused(
        "ask for different shares of a GPU",
        "vLLM gives every worker the share of the first",
        model(engine=sizes(1, 2), placement_group_config=group(bundles=[{"GPU": 0.5}, ONE])),
    ),
    "a part of a chip": Refused(
        "is not a whole number of chips",
        "Ray gives out whole chips only",
        model(
            accelerator_config={"kind": "tpu"}, placement_group_config=group(bundles=[{"TPU": 0.5}])
        ),
    ),
    "tensor-parallel workers apart": Refused(
        "keeps on one host",
        "the ranks of a group on different hosts: all-reduce over the network",
        model(engine=sizes(2), placement_group_config=group("STRICT_SPREAD", bundles=[ONE, ONE])),
    ),
    "the engine apart": Refused(
        "parts the engine's bundle from the first worker's",
        "vLLM fails when it starts: the engine's host has no worker",
        model(placement_group_config=group("STRICT_SPREAD", bundles=[{"CPU": 1}, ONE])),
    ),
    "a type of no device": Refused(
        "is given although no bundle asks for a GPU",
        "Ray seeks a host with the accelerator, and the engine does not use it",
        model(
            accelerator_type="L4",
            accelerator_config={"kind": "gpu"},
            placement_group_config=group(bundles=NO_GPU),
        ),
    ),
    "GPUs for the actor": Refused(
        "is for the replica's own actor",
        "the engine has a worker there too, of whose GPU the actor already took some",
        model(deployment_config={"ray_actor_options": {"num_gpus": 1}}),
    ),
    "no workers": Refused(
        "is less than 1",
        "Ray reserves a group without GPUs, or none at all",
        model(engine={"tensor_parallel_size": 0}),
    ),
}


@attrs.frozen
class Differs:
    """What both take and understand otherwise, or what only we take; and why."""

    applies: Callable[[Data], bool]
    why: str
    data: Data


def bundles_of(data: Data) -> list[Data]:
    return list((data.get("placement_group_config") or {}).get("bundles") or [])


DIFFERENT: dict[str, Differs] = {
    "the share is that of the workers": Differs(
        lambda data: any(b.get("GPU", 1) == 0 for b in bundles_of(data)),
        "Ray reads it from the first bundle that names a GPU, be it `GPU: 0`; then it finds none, "
        "and every worker asks for a whole GPU that its bundle does not have",
        model(placement_group_config=group(bundles=[{"CPU": 1, "GPU": 0}, {"GPU": 0.5}])),
    ),
}
ONLY_OURS: dict[str, Differs] = {
    "bundles of a slice": Differs(
        lambda data: bool((data.get("accelerator_config") or {}).get("topology")),
        "Serve leaves a slice to the replica; what its bundles are is known all the same",
        model(
            accelerator_type="TPU-V6E",
            accelerator_config={"kind": "tpu", "topology": "2x2"},
            placement_group_config=group(bundles=[{"TPU": 4}]),
        ),
    ),
    "limits of autoscaling": Differs(
        lambda data: "autoscaling_config" in data.get("deployment_config", {}),
        "whether more replicas may follow is Serve's business; how many it begins with is not",
        model(deployment_config={"autoscaling_config": {"min_replicas": 2}}),
    ),
}


def refused_by_us(data: Data) -> ConfigError | None:
    try:
        reservation_of(LLMConfig.from_dict(data))
    except ConfigError as error:
        return error
    return None


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_ray_takes_and_we_refuse(case: Refused) -> None:
    derive(case.data)
    assert case.told in str(refused_by_us(case.data)), case.why


@pytest.mark.parametrize("case", DIFFERENT.values(), ids=DIFFERENT)
def test_what_is_understood_otherwise(case: Differs) -> None:
    assert case.applies(case.data)
    with pytest.raises(AssertionError):
        check_alike(case.data, derive(case.data))


@pytest.mark.parametrize("case", ONLY_OURS.values(), ids=ONLY_OURS)
def test_what_only_we_take(case: Differs) -> None:
    assert case.applies(case.data)
    assert refused_by_us(case.data) is None, case.why
    with pytest.raises((ValueError, AssertionError)):
        derive(case.data)


def test_generated_configs_are_understood_alike_but_for_what_is_named() -> None:
    rng = random.Random(20260)
    found: Counter[str] = Counter()
    for _ in range(RUNS):
        data = generated(rng)
        ours = refused_by_us(data)
        try:
            theirs = derive(data)
        except (ValueError, AssertionError):
            found["refused by Ray"] += 1
            if ours is None:
                assert any(case.applies(data) for case in ONLY_OURS.values()), data
            continue
        if ours is None:
            found["alike"] += 1
            if not any(case.applies(data) for case in DIFFERENT.values()):
                check_alike(data, theirs)
            continue
        for fault in ours.faults:
            names = [name for name, case in REFUSED.items() if case.told in fault.problem]
            assert names, (str(fault), data)
            found[names[0]] += 1
    assert found["alike"] > RUNS / 3, found


def generated(rng: random.Random) -> Data:
    """A config as people write them, and a little beyond."""
    tp, pp, dp = (rng.choice(c) for c in ((1, 1, 2, 4, 8), (1, 1, 1, 2, 3), (1, 1, 1, 2, 4)))
    data = model(engine=sizes(tp, pp, dp))
    kind = rng.choice((None, None, None, "H100", "L4", "A10", "TPU-V6E"))
    if kind:
        data["accelerator_type"] = kind
    hardware = rng.choice((None, None, None, None, "gpu", "cpu", "tpu"))
    if hardware:
        data["accelerator_config"] = {"kind": hardware}
        if hardware == "tpu" and rng.random() < 0.3:
            data["accelerator_config"]["topology"] = "4x4"
    device = "TPU" if (kind or "").startswith("TPU") or hardware == "tpu" else "GPU"

    def bundle() -> Data:
        made: Data = {}
        if rng.random() < 0.85:
            made[device] = rng.choice((1,) * 12 + (1.0, 0.5, 0.5, 0.3, 0.25, 2, 0))
        if rng.random() < 0.4:
            made["CPU"] = rng.choice((0, 0.5, 1, 2, 8))
        if rng.random() < 0.1:
            made[rng.choice(("memory", "x", "accelerator_type:L4"))] = rng.choice((0.001, 1, 0.57))
        return made or {"CPU": 1}

    shape = rng.choice((None, None, "each", "each", "list", "alike", "alike"))
    if shape == "each":
        data["placement_group_config"] = group(bundle_per_worker=bundle())
    elif shape == "list":
        number = max(0, tp * pp + rng.choice((0, 0, 0, 1, -1)))
        data["placement_group_config"] = group(bundles=[bundle() for _ in range(number)])
    elif shape == "alike":
        data["placement_group_config"] = group(bundles=[bundle()] * (tp * pp))
    if shape and rng.random() < 0.5:
        strategy = rng.choice(("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"))
        data["placement_group_config"]["strategy"] = strategy
    deployment: Data = {}
    if rng.random() < 0.3:
        deployment["num_replicas"] = rng.choice((0, 1, 2, "auto"))
    elif rng.random() < 0.3:
        deployment["autoscaling_config"] = {
            "min_replicas": rng.choice((0, 1, 2)),
            "max_replicas": 4,
        }
    if rng.random() < 0.3:
        options = {"num_cpus": rng.choice((0, 1, 2, 0.5)), "resources": {"x": 1}, "memory": 1000}
        keys = rng.sample(sorted(options), rng.randint(1, 3))
        deployment["ray_actor_options"] = {key: options[key] for key in keys}
        if rng.random() < 0.2:
            deployment["ray_actor_options"]["num_gpus"] = rng.choice((0, 0.5, 1))
    if deployment:
        data["deployment_config"] = deployment
    return data
