"""Which single GPUs may be counted on."""

from __future__ import annotations

import pytest

from nodeinit.placement import gpus
from nodeinit.placement.topology import UNIT
from tests.strategies import group, host


def certain(given, *groups):
    return gpus.certain(given, gpus.slices_by_host(groups))


def test_whole_gpus_need_no_guess():
    assert certain(host("a", 4, 3)) == (UNIT,) * 3
    assert gpus.possible(host("a", 4, 3)) == (UNIT,) * 3


def test_an_unexplained_remainder_is_only_possible():
    assert certain(host("a", 4, 1.5)) == (UNIT,)
    assert gpus.possible(host("a", 4, 1.5)) == (UNIT, 5_000)


@pytest.mark.parametrize(
    ("slices", "left"),
    [
        ([0.5], (UNIT, UNIT, UNIT, 5_000)),
        ([0.5, 0.5], (UNIT, UNIT, UNIT)),
        ([0.6, 0.6], (UNIT, UNIT, 4_000, 4_000)),
        ([0.6, 0.3, 0.4], (UNIT, UNIT, 1_000, 6_000)),  # 0.3 goes beside 0.6, 0.4 finds no room
        ([0.6] * 4, (4_000,) * 4),
    ],
)
def test_slices_of_groups_are_put_where_ray_puts_them(slices, left):
    assert certain(host("a", 4, 4 - sum(slices)), group("g", "a", slices)) == left


def test_groups_elsewhere_do_not_count():
    assert certain(host("a", 2, 1.5), group("g", "b", [0.5])) == (UNIT,)


def test_what_others_hold_beside_known_slices():
    assert certain(host("a", 4, 2.5), group("g", "a", [0.5])) == (UNIT, UNIT, 5_000)
    # 1.3 of somebody else: perhaps on two more GPUs, perhaps beside the slice that we know.
    assert certain(host("a", 4, 2.2), group("g", "a", [0.5])) == (UNIT,)


def test_books_that_do_not_add_up_promise_no_more_than_the_sum():
    assert sum(certain(host("a", 2, 1), group("g", "a", [0.5] * 6))) <= UNIT
    assert certain(host("a", 1, 1), group("g", "a", [0.6] * 2)) == ()


def test_known_gpus_are_taken_as_they_are_and_dead_ones_are_none():
    known = host("a", 2, 0.8, gpu_list=(4_000, 4_000))
    assert certain(known) == gpus.possible(known) == (4_000, 4_000)
    assert certain(host("a", 2, alive=False)) == gpus.possible(host("a", 2, alive=False)) == ()


def test_slots():
    assert gpus.slots((UNIT, 5_000, 4_999), 5_000) == 3
    assert gpus.slots((UNIT,) * 3, 6_000) == 3
    assert gpus.slots((UNIT,), 3_333) == 3
