"""The order of bundles is that of libstdc++'s `std::sort`, equal ones included."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.placement.ray_order import std_sort, visiting_order
from nodeinit.placement.topology import Bundle

# Keys, and their indexes as a program built with g++ 12.2 sorted them, the largest key first.
# The last list divides so badly that the algorithm turns to its heap.
SORTED = [
    ([1] * 17, "8 16 15 14 13 12 11 10 9 0 7 6 5 4 3 2 1"),
    ([3, 1] * 10, "0 2 18 4 6 16 8 10 14 12 19 17 15 13 11 9 7 5 3 1"),
    ([i % 3 for i in range(20)], "2 17 5 14 8 11 10 19 16 13 7 4 1 0 9 12 6 15 3 18"),
    (
        [i * 7 % 11 for i in range(33)],
        "3 14 25 17 6 28 20 31 9 1 23 12 26 15 4 7 29 18 21 32 10 13 24 2 16 27 5 19 8 30 22 11 0",
    ),
    (
        [
            *(0, 19, 1, 18, 2, 17, 3, 16, 1, 15, 3, 14, 0, 13, 4, 12, 2, 11, 9, 10),
            *(19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 4, 6, 5, 7, 6, 8, 7, 9, 8, 5),
        ],
        "1 20 3 21 5 22 7 23 9 24 11 25 13 26 15 27 17 28 19 29 "
        "18 37 35 38 36 33 31 34 39 32 14 30 6 10 16 4 2 8 0 12",
    ),
]


@pytest.mark.parametrize(("keys", "order"), SORTED)
def test_keys_are_left_as_libstdcxx_leaves_them(keys, order):
    assert std_sort(keys) == [int(index) for index in order.split()]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=90))
def test_sorting_sorts(keys):
    order = std_sort(keys)
    assert sorted(order) == [*range(len(keys))]
    assert [keys[i] for i in order] == sorted(keys, reverse=True)


def test_equal_bundles_keep_their_order_up_to_sixteen_only():
    assert visiting_order([Bundle.of(GPU=1)] * 16) == [*range(16)]
    assert visiting_order([Bundle.of(GPU=1)] * 24) == [12, *range(23, 12, -1), 0, *range(11, 0, -1)]


def test_what_counts_is_the_gpu_then_custom_resources_then_memory_then_the_cpu():
    bundles = [
        Bundle.of(CPU=9),
        Bundle.of(memory=2),
        Bundle.of(object_store_memory=1),
        Bundle.from_units({"accelerator_type:H100": 0.001}),
        Bundle.of(GPU=0.5, CPU=1),
        Bundle.of(GPU=1),
        Bundle.of(GPU=0.5, CPU=2),
    ]
    assert visiting_order(bundles) == [5, 6, 4, 3, 2, 1, 0]
