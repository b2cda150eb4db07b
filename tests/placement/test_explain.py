"""An answer of no says why, and what it names as a way out is one."""

from __future__ import annotations

import json

import attrs
from hypothesis import given, settings

import nodeinit.placement.alternatives as alternatives_module
from nodeinit.placement.alternatives import alternatives
from nodeinit.placement.explain import Infeasible
from nodeinit.placement.planner import plan
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.rules import violations
from nodeinit.placement.search import find
from nodeinit.placement.topology import Bundle, ClusterSnapshot, Group
from tests.placement.oracle import feasible
from tests.strategies import group, host, mixed_requests, requests, snapshots

BUSY = ClusterSnapshot(
    (host("1", 8, 4), host("2", 8, 5), host("3", 8, 6), host("4", 8, alive=False)),
    (group("llm-a", "3", [1.0] * 2),),
)


def no(request: PlacementRequest, snapshot: ClusterSnapshot = BUSY) -> Infeasible:
    found = plan(request, snapshot)
    assert isinstance(found, Infeasible), found
    return found


def test_the_whole_answer():
    assert str(no(PlacementRequest.of(8))) == (
        "needs 8 GPUs on one host (tensor_parallel_size=8); the largest free host has 6 "
        "(host-3, 2 taken by group 'llm-a'); "
        "fits with tensor_parallel_size=4, pipeline_parallel_size=2\n"
        "  host-4: not alive\n"
        "  host-1, host-2, host-3: less than 8 GPUs free\n"
        "  fits with span_tp=True (a tensor-parallel group on several hosts, which is slower)\n"
        "  fits when group 'llm-a' is gone\n"
        "  fits with 1 more host like host-1\n"
        "  Ray alone would create it and split tensor-parallel group 0 over host-3 and host-2"
    )


def test_hosts_of_one_name_are_told_apart():
    hosts = tuple(attrs.evolve(host(f"{i}" * 9, 2), name="10.0.0.1") for i in range(3))
    answer = no(PlacementRequest.of(2, 4), ClusterSnapshot(hosts))
    assert "room for 3 (10.0.0.1/00000000: 1, 10.0.0.1/11111111: 1" in answer.reason


def test_the_answer_as_json():
    answer = json.loads(json.dumps(no(PlacementRequest.of(8)).to_dict()))
    assert answer["temporary"] is True
    assert answer["proven"] is True
    assert answer["binding"] == "GPU"
    assert answer["ray_alone"].startswith("Ray alone would create it and split")
    assert answer["shortfall"] == {"GPU": 2}
    assert {"constraint": "not alive", "hosts": ["host-4"]} in answer["constraints"]


def test_a_request_that_never_fits_is_measured_by_whole_hosts():
    answer = no(PlacementRequest.of(16))
    assert answer.reason == (
        "needs 16 GPUs on one host (tensor_parallel_size=16); the largest host has 8 (host-1)"
    )
    assert not answer.temporary


def test_who_takes_what_is_missing():
    held = Group("g", "", "CREATED", (Bundle.of(CPU=3),), "PACK", ("a",))
    snapshot = ClusterSnapshot((host("a", 1, cpu=8, free_cpu=1),), (held,))
    assert no(PlacementRequest.of(1, cpu=6), snapshot).reason == (
        "needs 6 CPU on one host; the largest free host has 1 "
        "(host-a, 3 taken by group 'g', 4 taken by others)"
    )


def test_every_kind_of_reason():
    cluster = ClusterSnapshot((host("a", 2, zone="b", kind="L4"), host("b", 2, cpu=1)))
    of = PlacementRequest.of
    reasons = {
        no(of(1, labels={"zone": "a"}), cluster).reason: "labels",
        no(of(1, labels={"rack": "1"}), cluster).reason: "unknown label",
        no(of(1, accelerator_type="H100"), cluster).reason: "accelerator",
        no(of(1, resources={"licence": 1}), cluster).reason: "unknown resource",
        no(of(3, strategy="STRICT_PACK"), cluster).reason: "strict pack",
        no(of(1, 3, strategy="STRICT_SPREAD"), cluster).reason: "strict spread",
        no(of(2, 3), cluster).reason: "too many",
        no(of(1, 9, gpu=0.5), cluster).reason: "too many fractions",
        no(of(1), ClusterSnapshot(())).reason: "nobody",
        no(of(4, span_tp=True), ClusterSnapshot((host("a", 3),))).reason: "spanning",
        no(
            of(1, cpu=4),
            ClusterSnapshot((host("a", 0, cpu=8), host("b", 8, cpu=2))),
        ).reason: "not on the same host",
    }
    assert reasons == {
        "needs a host with zone=a; the hosts have zone: b": "labels",
        "needs a host with rack=1; no host has such a label": "unknown label",
        "needs accelerator_type H100; the hosts have L4": "accelerator",
        "needs 1 licence on one host; no host has any licence": "unknown resource",
        "needs 3 GPUs on one host (STRICT_PACK); the largest host has 2 (host-a)": "strict pack",
        "needs 3 hosts with 1 GPU; there is room for 2 (host-a: 1, host-b: 1)": "strict spread",
        "needs 3 times 2 GPUs (tensor_parallel_size=2); "
        "there is room for 2 (host-a: 1, host-b: 1)": "too many",
        "needs 9 times 0.5 GPU; there is room for 8 (host-a: 4, host-b: 4)": "too many fractions",
        "the cluster has no living host": "nobody",
        "needs 4 GPUs on one host (tensor_parallel_size=4); the largest host has 3 (host-a); "
        "no equal split over hosts fits either": "spanning",
        "needs 1 GPU and 4 CPU on one host; no host has all of it": "not on the same host",
    }


def test_one_host_that_is_never_large_enough():
    cluster = ClusterSnapshot((host("a", 2), host("b", 2)))
    found = no(PlacementRequest.of(4, strategy="STRICT_PACK"), cluster)
    both = "with tensor_parallel_size=2, pipeline_parallel_size=2, strategy=PACK"
    assert found.alternatives == (both,)


def test_every_kind_of_way_out():
    cluster = ClusterSnapshot(
        (host("a", 4, 2, zone="a", kind="L4"), host("b", 4, 3, zone="b", kind="H100")),
        (group("x", "a", [1.0] * 2), group("y", "b", [1.0])),
    )
    of = PlacementRequest.of

    def ways(request):
        return no(request, cluster).alternatives

    assert ways(of(4)) == (
        "with tensor_parallel_size=2, pipeline_parallel_size=2",
        "with span_tp=True (a tensor-parallel group on several hosts, which is slower)",
        "when group 'y' is gone",
        "with 1 more host like host-a",
    )
    assert ways(of(1, 4, strategy="STRICT_PACK"))[0] == "with strategy=PACK"
    assert ways(of(1, 3, strategy="STRICT_SPREAD"))[0] == "with strategy=SPREAD"
    assert ways(of(3, accelerator_type="L4"))[:2] == (
        "with accelerator_type=H100",
        "when group 'x' is gone",
    )
    assert "without labels" in ways(of(3, labels={"zone": "a"}))
    assert "when its hosts are empty" in ways(of(4, 2))
    assert ways(of(4, 4))[-1] == "with 4 more hosts like host-a"


def test_a_hint_is_renamed_with_its_accelerator():
    snapshot = ClusterSnapshot((host("a", 1, kind="L4"),))
    hinted = PlacementRequest.of(
        1, accelerator_type="H100", resources={"accelerator_type:H100": 0.001}
    )
    found = alternatives(hinted, snapshot)[0]
    assert found.request.bundles[0].units() == {"GPU": 1, "accelerator_type:L4": 0.001}


@settings(max_examples=250, deadline=None)
@given(requests() | mixed_requests(), snapshots(most=4))
def test_every_way_out_is_one_and_the_answer_is_short(request, snapshot):
    answer = plan(request, snapshot)
    if not isinstance(answer, Infeasible):
        return
    assert len(str(answer).splitlines()) < 15
    assert answer.reason
    json.dumps(answer.to_dict())
    found = alternatives(request, snapshot)
    assert answer.alternatives == tuple(way.text for way in found)
    for way in found:
        assert (way.request, way.snapshot) != (request, snapshot)
        way_plan = find(way.request, way.snapshot).plan
        assert violations(way.request, way_plan, way.snapshot) == ()


@settings(max_examples=150, deadline=None)
@given(requests(span=False), snapshots(most=3))
def test_temporary_means_that_it_fits_the_empty_cluster(request, snapshot):
    answer = plan(request, snapshot)
    if isinstance(answer, Infeasible):
        assert answer.temporary == feasible(request, snapshot.emptied())


@settings(max_examples=200, deadline=None)
@given(requests(span=False), snapshots(most=3))
def test_one_host_less_would_not_do(request, snapshot):
    for way in alternatives(request, snapshot):
        more = len(way.snapshot.hosts) - len(snapshot.hosts)
        if more:
            assert f"with {more} more host" in way.text
            fewer = ClusterSnapshot(way.snapshot.hosts, way.snapshot.groups)
            twin = max((h for h in fewer.hosts if "+" in h.node_id), key=lambda h: h.node_id)
            hosts = tuple(h for h in fewer.hosts if h is not twin)
            if find(request, snapshot).plan is None:
                assert not feasible(request, attrs.evolve(fewer, hosts=hosts))


@settings(max_examples=150, deadline=None)
@given(requests(span=False), snapshots(most=4))
def test_hosts_that_are_left_out_could_not_take_one_group(request, snapshot):
    equal = len({bundle.resources for bundle in request.bundles}) == 1
    answer = plan(request, snapshot)
    if not (isinstance(answer, Infeasible) and equal) or request.strategy == "STRICT_PACK":
        return
    size = request.tensor_parallel_size
    single = attrs.evolve(
        request, bundles=request.bundles[:size], pipeline_parallel_size=1, data_parallel_size=1
    )
    seen = snapshot if answer.temporary else snapshot.emptied()
    left_out = {name for item in answer.constraints for name in item.hosts}
    for each in seen.hosts:
        alone = ClusterSnapshot((each,), seen.groups)
        if each.name in left_out:
            assert not feasible(single, alone)


def test_a_request_beyond_the_whole_cluster_is_not_searched_for_ways_around(monkeypatch):
    """No other shape of it could fit: the answer comes after a search or two."""
    searched = []
    monkeypatch.setattr(
        alternatives_module, "find", lambda *case: searched.append(case) or find(*case)
    )
    snapshot = ClusterSnapshot((host("a", 8, 8),))
    found = plan(PlacementRequest.of(8, 500, strategy="SPREAD"), snapshot)
    assert isinstance(found, Infeasible)
    assert not found.temporary
    assert found.alternatives == ("with 499 more hosts like host-a",)
    assert len(searched) <= 15
