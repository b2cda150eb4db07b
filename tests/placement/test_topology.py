"""Snapshots are values, and one that follows from another is as good as a fresh one."""

from __future__ import annotations

import pickle
import random

import attrs
import pytest

from nodeinit.placement.domains import domains
from nodeinit.placement.occupancy import occupied
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.search import find
from nodeinit.placement.shelves import Shelves, View
from nodeinit.placement.topology import UNIT, ClusterSnapshot
from tests.strategies import group, host

HOSTS = tuple(host(name, 8, zone=zone) for name, zone in zip("cab", "xyx", strict=True))


def test_hosts_are_sorted_and_found_by_id():
    snapshot = ClusterSnapshot(HOSTS)
    assert [h.node_id for h in snapshot.hosts] == ["a", "b", "c"]
    assert snapshot.host("b").node_id == "b"
    assert snapshot.host("bb") is None and ClusterSnapshot(()).host("a") is None


def test_the_next_moment_has_the_changed_hosts_and_leaves_the_old_one_alone():
    before = ClusterSnapshot(HOSTS)
    fuller, joined = attrs.evolve(before.host("b"), alive=False), host("aa", 2)
    after = before.after([fuller, joined])
    assert [h.node_id for h in after.hosts] == ["a", "aa", "b", "c"]
    assert after.host("b") is fuller and before.host("b").alive
    assert after == ClusterSnapshot((*HOSTS[:2], fuller, joined))


def test_a_fresh_look_takes_over_what_did_not_change():
    before = ClusterSnapshot(HOSTS)
    same = [attrs.evolve(h) for h in HOSTS[:2]]
    after = before.now(same, ())
    assert after == ClusterSnapshot(HOSTS[:2])
    assert all(after.host(h.node_id) is before.host(h.node_id) for h in after.hosts)
    assert after.host("b") is None


def test_derived_things_are_no_part_of_the_value():
    one, other = ClusterSnapshot(HOSTS), ClusterSnapshot(HOSTS[::-1])
    find(PlacementRequest.of(2), one)
    assert one == other and hash(one) == hash(other)
    copy = pickle.loads(pickle.dumps(one))
    assert copy == one and len(pickle.dumps(one)) == len(pickle.dumps(other))


def test_a_derived_thing_is_made_once():
    made = []
    snapshot = ClusterSnapshot(HOSTS)
    view = View(("GPU", "CPU"), (), UNIT)
    for _ in range(3):
        snapshot.derived(view, lambda hosts: made.append(1) or Shelves.of(view, hosts))
    following = snapshot.after([attrs.evolve(HOSTS[0], alive=False)])
    following.derived(view, lambda hosts: made.append(1) or Shelves.of(view, hosts))
    assert made == [1]


@pytest.mark.parametrize("seed", range(10))
def test_whatever_follows_is_as_if_it_were_new(seed):
    """Shelves, domains and doubts, kept up to date, are those of the hosts as they are."""
    rng = random.Random(seed)
    snapshot = ClusterSnapshot(HOSTS)
    for number in range(40):
        request = PlacementRequest.of(
            rng.choice([1, 1, 2]) if number % 2 else 1,
            gpu=1 if number % 2 else rng.choice([0.3, 0.5]),
            cpu=rng.choice([0, 1]),
            topology=rng.choice([None, "zone"]),
        )
        fresh = ClusterSnapshot(snapshot.hosts, snapshot.groups)
        found = find(request, snapshot)
        assert found == find(request, fresh)
        assert snapshot.uncertain == fresh.uncertain
        assert domains(snapshot, "zone", "GPU") == domains(fresh, "zone", "GPU")
        if found.plan is not None and rng.random() < 0.7:
            snapshot = occupied(snapshot, f"g{number}", found.plan)
        elif snapshot.groups:
            snapshot = snapshot.without(rng.choice(snapshot.groups))
        elif rng.random() < 0.5:
            changed = rng.choice(snapshot.hosts)
            snapshot = snapshot.after([attrs.evolve(changed, alive=not changed.alive)])


def test_a_group_that_goes_gives_back_what_it_held_and_no_more():
    held = group("g", "a", [1.0, 1.0])
    snapshot = ClusterSnapshot((host("a", 4, 1), host("b", 4)), (held,))
    after = snapshot.without(held)
    assert after.host("a").free("GPU") == 3 * UNIT
    assert after.groups == ()
    assert after.without(held).host("a").free("GPU") == 4 * UNIT


def test_a_cluster_is_emptied_once_and_follows_hosts_that_come_and_go():
    snapshot = ClusterSnapshot((host("a", 8, 2), host("b", 8, 3)))
    empty = snapshot.emptied()
    assert empty == ClusterSnapshot((host("a", 8), host("b", 8)))
    busier = snapshot.after([host("a", 8, 1)])
    assert busier.emptied() is empty
    joined = busier.after([host("c", 4, 1)])
    assert joined.emptied() == ClusterSnapshot((host("a", 8), host("b", 8), host("c", 4)))
    gone = joined.now(joined.hosts[1:], ())
    assert gone.emptied() == ClusterSnapshot((host("b", 8), host("c", 4)))
    dead = gone.after([host("b", 8, alive=False)])
    assert [h.alive for h in dead.emptied().hosts] == [False, True]
