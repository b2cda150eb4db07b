"""The driver's end of a swarm, told everything by hand."""

from __future__ import annotations

import attrs

from nodeinit.download.swarm.coordinator import PATIENCE, Coordinator
from nodeinit.download.swarm.words import Report

FILES = frozenset({"a", "b"})


def report(name: str, *has: str, **changes: object) -> Report:
    at = int(name.removeprefix("host-"))
    made = Report(
        life=name,
        endpoint=("10.0.0.1", 1000 + at),
        wants=FILES,
        wants_bytes=2,
        has=frozenset(has),
        has_bytes=len(has),
        ready=True,
    )
    return attrs.evolve(made, **changes)


def swarm(count: int) -> tuple[Coordinator, list[str]]:
    names = [f"host-{number}" for number in range(count)]
    return Coordinator(names), names


def test_nobody_leads_before_all_are_here_or_some_time_has_passed() -> None:
    driver, _ = swarm(2)
    assert not driver.heard("host-0", report("host-0"), 0.0).lead
    assert not driver.heard("host-0", report("host-0"), PATIENCE - 1).lead
    assert driver.heard("host-0", report("host-0"), PATIENCE + 1).lead
    assert not driver.heard("host-1", report("host-1", "a"), PATIENCE + 2).lead, "one leads already"


def test_who_has_most_leads_and_is_replaced_by_who_has_most_then() -> None:
    driver, names = swarm(3)
    for name, has in zip(names, ["", "ab", "a"], strict=True):
        driver.heard(name, report(name, *has), 0.0)
    assert driver.leader == "host-1"
    driver.gone("host-1")
    driver.heard("host-0", report("host-0"), 1.0)
    assert driver.leader is None, "its disk has what it began: another process of it may come"
    driver.heard("host-0", report("host-0"), 1.0 + PATIENCE)
    assert driver.leader == "host-2"
    driver.heard("host-1", report("host-1", "a", "b", life="another"), 20.0)
    assert driver.leader == "host-2"
    driver.heard("host-2", report("host-2", "a", alone="no way"), 21.0)
    assert driver.leader == "host-1"
    driver.gone("host-1")
    driver.heard("host-1", report("host-1", life="a third"), 22.0)
    assert driver.leader == "host-0", "alike, and the first; nobody is waited for any more"
    driver.left("host-0")
    driver.heard("host-1", report("host-1", life="a third"), 23.0)
    assert driver.leader == "host-1"


def test_who_needs_less_than_others_does_not_lead_them() -> None:
    driver, _ = swarm(2)
    tokenizer = report("host-0", "a", wants=frozenset("a"), wants_bytes=1)
    driver.heard("host-1", report("host-1", ready=False), 0.0)
    driver.heard("host-0", tokenizer, 0.0)
    assert driver.leader is None, "what others need would come from nowhere"
    driver.heard("host-1", report("host-1"), 1.0)
    assert driver.leader == "host-1"


def test_a_leader_that_needs_less_than_one_who_came_late_hands_over() -> None:
    driver, _ = swarm(2)
    tokenizer = report("host-0", wants=frozenset("a"), wants_bytes=1)
    driver.heard("host-0", tokenizer, 0.0)
    assert driver.heard("host-0", tokenizer, PATIENCE + 1).lead
    driver.heard("host-1", report("host-1"), PATIENCE + 2)
    assert driver.leader == "host-1"


def test_one_that_waits_for_its_turn_does_not_lead() -> None:
    driver, _ = swarm(2)
    driver.heard("host-0", report("host-0", "a", ready=False), 0.0)
    driver.heard("host-1", report("host-1"), 0.0)
    assert driver.leader == "host-1"


def test_a_torrent_is_made_once_and_told_to_all_once() -> None:
    driver, _ = swarm(3)
    for name in ("host-0", "host-1", "host-2"):
        driver.heard(name, report(name), 0.0)
    first = driver.heard("host-1", report("host-1", "a"), 1.0)
    second = driver.heard("host-2", report("host-2", "a"), 1.0)
    assert (first.make, second.make) == ({"a"}, set())
    made = report("host-1", "a", made=(("a", b"torrent"),))
    assert driver.heard("host-1", made, 2.0).torrents == (("a", b"torrent"),)
    orders = driver.heard("host-0", report("host-0"), 2.0)
    assert (orders.torrents, orders.held) == ((("a", b"torrent"),), {"a"})
    assert driver.heard("host-0", report("host-0", got=1), 3.0).torrents == ()
    assert driver.heard("host-0", report("host-0", life="anew"), 4.0).torrents == made.made


def test_it_is_over_once_all_have_all_or_have_left() -> None:
    driver, _ = swarm(3)
    assert not driver.heard("host-0", report("host-0", "a", "b"), 0.0).over, "others are to come"
    driver.heard("host-1", report("host-1", "a"), 0.0)
    driver.heard("host-2", report("host-2", alone="no way"), 0.0)
    orders = driver.heard("host-0", report("host-0", "a", "b"), 1.0)
    assert (orders.over, orders.idle) == (False, {"a"})
    driver.gone("host-1")
    orders = driver.heard("host-0", report("host-0", "a", "b"), 2.0)
    assert (orders.over, orders.idle) == (False, set()), "it may come back with nothing"
    driver.left("host-1")
    assert driver.heard("host-0", report("host-0", "a", "b"), 3.0).over


def test_the_pulse_is_that_of_the_leader() -> None:
    driver, _ = swarm(2)
    driver.heard("host-0", report("host-0"), 0.0)
    pulse = driver.heard("host-1", report("host-1"), 0.0).pulse
    assert driver.heard("host-1", report("host-1", done=5), 1.0).pulse == pulse
    driver.heard("host-0", report("host-0", done=5), 1.0)
    assert driver.heard("host-1", report("host-1", done=9), 2.0).pulse == pulse + 1


def test_in_a_large_swarm_a_few_neighbours_reach_everybody() -> None:
    driver, names = swarm(64)
    for name in names:
        driver.heard(name, report(name), 0.0)
    peers = {name: driver.heard(name, report(name), 1.0).peers for name in names}
    assert max(len(near) for near in peers.values()) <= 12
    number = {report(name).endpoint: name for name in names}
    for name, near in peers.items():
        assert all(report(name).endpoint in peers[number[one]] for one in near), "both know"
    reached, edge = {"host-0"}, {"host-0"}
    for _ in range(3):
        edge = {number[one] for name in edge for one in peers[name]} - reached
        reached |= edge
    assert len(reached) == 64
