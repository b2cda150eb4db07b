"""A cluster survives its file, and a file that is wrong says everything that is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.errors import ConfigError
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.search import find
from nodeinit.placement.snapshot_file import read_snapshot, snapshot_text, with_plenty
from nodeinit.placement.topology import Bundle, ClusterSnapshot, Group, Host
from tests.strategies import host, snapshots

NODE = {
    "node_id": "n1",
    "alive": True,
    "labels": {"zone": "a"},
    "total": {"GPU": 8, "CPU": 0.5},
    "available": {"GPU": 6},
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("snapshots") / "cluster.json"


def again(snapshot: ClusterSnapshot, file: Path) -> ClusterSnapshot:
    file.write_text(snapshot_text(snapshot), encoding="utf-8")
    return read_snapshot(file)


@settings(max_examples=150, deadline=None)
@given(snapshots())
def test_any_cluster_survives(file: Path, snapshot: ClusterSnapshot) -> None:
    assert again(snapshot, file) == snapshot


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**53), st.text(), st.text(), st.lists(st.integers(0, 10_000)))
def test_any_amount_and_any_name_survive(
    file: Path, steps: int, name: str, label: str, gpus: list[int]
) -> None:
    amounts = {name or "x": steps}
    saved = Host("n", name or "n", amounts, amounts, {label: name}, True, tuple(gpus))
    bundle = Bundle(amounts, {label: name})
    group = Group("g", name, "RESCHEDULING", (bundle, bundle), "SPREAD", ("n", None))
    snapshot = ClusterSnapshot((saved,), (group,))
    assert again(snapshot, file) == snapshot


def test_what_ray_reports_for_a_moment_is_made_readable(file: Path) -> None:
    """Its free CPU falls below nothing while tasks wait for each other."""
    odd = host("a", 8, 9, free_cpu=-1.5)
    found = again(ClusterSnapshot((odd,)), file)
    assert found.hosts == (attrs.evolve(odd, available={"GPU": 80_000, "CPU": 0}),)


def test_what_may_be_left_out(file: Path) -> None:
    group = {"group_id": "g", "bundles": [{"resources": {"GPU": 2}}], "made_by": "hand"}
    file.write_text(json.dumps({"nodes": [{**NODE, "rack": 7}], "groups": [group], "version": 3}))
    found = read_snapshot(file)
    amounts = {"GPU": 80_000, "CPU": 5_000}, {"GPU": 60_000}
    assert found.hosts == (Host("n1", "n1", *amounts, {"zone": "a"}),)
    assert found.groups == (Group("g", "", "CREATED", (Bundle.of(GPU=2),), "PACK", (None,)),)


def faults(file: Path, text: str) -> list[str]:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_snapshot(file)
    assert str(file) in str(caught.value)
    return [str(fault) for fault in caught.value.faults]


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in NODE.items() if name != key}


ONE_FAULT: dict[str, tuple[Any, list[str]]] = {
    "no mapping": ([NODE], ["is not a mapping", '{"nodes": […]}']),
    "no nodes": ({}, ["nodes: is missing"]),
    "nodes as a mapping": ({"nodes": {"n1": NODE}}, ["nodes = ", "is not a list"]),
    "groups as text": ({"nodes": [NODE], "groups": "g"}, ["groups = 'g': is not a list"]),
    "a node as text": ({"nodes": [NODE, "n2"]}, ["nodes[1] = 'n2': is not a mapping"]),
    "a number as id": ({"nodes": [{**NODE, "node_id": 7}]}, ["nodes[0].node_id = 7", "not text"]),
    "alive as a word": (
        {"nodes": [{**NODE, "alive": "yes"}]},
        ["nodes[0].alive = 'yes'", "write true or false"],
    ),
    "a label as a number": (
        {"nodes": [{**NODE, "labels": {"zone": 1}}]},
        ["nodes[0].labels.zone = 1: is not text; write it in quotes"],
    ),
    "an amount as text": (
        {"nodes": [{**NODE, "total": {"GPU": 8, "CPU": "64"}}]},
        ["nodes[0].total.CPU = '64': is not a number; write how many units"],
    ),
    "an amount that is true": (
        {"nodes": [{**NODE, "total": {"GPU": 8, "CPU": True}}]},
        ["nodes[0].total.CPU = True: is not a number"],
    ),
    "a negative amount": (
        {"nodes": [{**NODE, "available": {"GPU": -1}}]},
        ["nodes[0].available.GPU = -1: is negative"],
    ),
    "NaN": (
        {"nodes": [{**NODE, "available": {"GPU": float("nan")}}]},
        ["nodes[0].available.GPU = nan: is not a finite number"],
    ),
    "a number beyond floats": (
        {"nodes": [{**NODE, "total": {"GPU": 8, "memory": 1e308}}]},
        ["nodes[0].total.memory = 1e+308: is not a finite number"],
    ),
    "more free than there is": (
        {"nodes": [{**NODE, "available": {"GPU": 9}}]},
        ["nodes[0].available.GPU = 9: is more than the total, 8; lower it"],
    ),
    "free of what there is not": (
        {"nodes": [{**NODE, "available": {"TPU": 1}}]},
        ["nodes[0].available.TPU = 1: is more than the total, 0"],
    ),
    "an id twice": (
        {"nodes": [NODE, {**NODE, "node_id": "n2"}, NODE]},
        ["nodes[2].node_id = 'n1': is the id of nodes[0] too; list each host once"],
    ),
    "a single GPU below nothing": (
        {"nodes": [{**NODE, "gpus": [1, -0.5]}]},
        ["nodes[0].gpus[1] = -0.5: is negative"],
    ),
    "a group without bundles": (
        {"nodes": [NODE], "groups": [{"group_id": "g"}]},
        ["groups[0].bundles: is missing"],
    ),
    "a bundle of nothing": (
        {"nodes": [NODE], "groups": [{"group_id": "g", "bundles": [{"node_id": "n1"}]}]},
        ["groups[0].bundles[0].resources: is missing"],
    ),
    **{f"no {key}": ({"nodes": [without(key)]}, [f"nodes[0].{key}: is missing"]) for key in NODE},
}
ONE_FAULT["no total"] = ({"nodes": [{**without("total"), "available": {}}]}, ["nodes[0].total: is"])


@pytest.mark.parametrize(("data", "told"), ONE_FAULT.values(), ids=ONE_FAULT)
def test_a_fault_is_told_with_its_place(file: Path, data: Any, told: list[str]) -> None:
    (found,) = faults(file, json.dumps(data))
    for text in told:
        assert text in found


def test_all_faults_are_told_at_once(file: Path) -> None:
    bad = {**NODE, "alive": 1, "total": {"GPU": -8}, "available": {"CPU": "x"}}
    data = {"nodes": [bad, "n2", {}], "groups": [{"bundles": [{"resources": 1}]}]}
    where = [fault.partition(" ")[0].rstrip(":") for fault in faults(file, json.dumps(data))]
    assert set(where) == {
        *("nodes[0].alive", "nodes[0].total.GPU", "nodes[0].available.CPU", "nodes[1]"),
        *(f"nodes[2].{key}" for key in NODE),
        *("groups[0].group_id", "groups[0].bundles[0].resources"),
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"nodes": [\n,]}', "(line 2): is not JSON: Expecting value in column 1; save a cluster"),
        ("", "is not JSON"),
        ("[" * 100_000, "cannot be read"),
        ("1" * 5_000, "cannot be read"),
    ],
)
def test_what_is_no_json(file: Path, text: str, told: str) -> None:
    (found,) = faults(file, text)
    assert told in found


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xe9")
    told = {"nope.json": "does not exist; check the path", ".": "directory", "latin": "not UTF-8"}
    for name, text in told.items():
        with pytest.raises(ConfigError, match=text):
            read_snapshot(tmp_path / name)


def test_who_lists_gpus_alone_does_not_mean_that_there_is_no_cpu() -> None:
    only_gpus = ClusterSnapshot((Host("a", "a", {"GPU": 80_000}, {"GPU": 80_000}),))
    request = PlacementRequest.of(4, cpu=1, memory=2**30)
    assert find(request, only_gpus).plan is None
    assert find(request, with_plenty(only_gpus)).plan is not None
    listed = ClusterSnapshot(
        (
            Host("a", "a", {"GPU": 80_000}, {"GPU": 80_000}),
            Host("b", "b", {"CPU": 80_000, "memory": 1}, {"CPU": 80_000, "memory": 1}),
        )
    )
    assert with_plenty(listed) == listed
