"""The order in which Ray visits the bundles of a group: largest first, and equal ones in disorder.

Ray sorts them with C++'s `std::sort`, which keeps equal elements in their order up to 16 elements
and no further; 24 equal bundles are visited as 12, 23, 22, …, 13, 0, 11, …, 1. That decides which
bundles share a host, so the algorithm of libstdc++ (`bits/stl_algo.h`, `bits/stl_heap.h`), with
which Ray's wheels are built, is followed here step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from nodeinit.placement.topology import Bundle

_LAST = ("object_store_memory", "memory", "CPU")  # in this order, after the custom resources
_PREDEFINED = ("GPU", *_LAST)
_THRESHOLD = 16  # libstdc++: shorter pieces are left to the insertion sort at the end

_Before: TypeAlias = Callable[[int, int], bool]


def visiting_order(bundles: Sequence[Bundle]) -> list[int]:
    """The indexes of bundles in the order in which Ray looks for their hosts.

    By GPU, custom resources, object store, memory and CPU, more before less. Ray compares custom
    resources in the order in which it first heard of their names; here they are sorted by name,
    which only matters to bundles that ask for more of one and less of another.
    """
    columns = ("GPU", *_custom(bundles), *_LAST)
    keys = {b: tuple(int(b.resources.get(name, 0)) for name in columns) for b in set(bundles)}
    return std_sort([keys[bundle] for bundle in bundles])


def _custom(bundles: Iterable[Bundle]) -> list[str]:
    named = {name for bundle in set(bundles) for name in bundle.resources}
    return sorted(named.difference(_PREDEFINED))


def std_sort(keys: Sequence[Any]) -> list[int]:
    """The indexes of keys as libstdc++'s `std::sort` leaves them, the largest key first."""

    def before(one: int, other: int) -> bool:
        return bool(keys[one] > keys[other])

    order = list(range(len(keys)))
    if len(keys) > _THRESHOLD:
        _partition(order, 0, len(keys), 2 * (len(keys).bit_length() - 1), before)
    # The insertion sort that follows keeps equal elements as they now stand. So does Python's.
    order.sort(key=keys.__getitem__, reverse=True)
    return order


def _partition(a: list[int], first: int, last: int, depth: int, before: _Before) -> None:
    """`__introsort_loop`: divide until the pieces are short, or heap-sort what divides badly."""
    while last - first > _THRESHOLD:
        if depth == 0:
            a[first:last] = _heap_sorted(a[first:last], before)
            return
        depth -= 1
        _move_median_to_first(a, first, first + 1, (first + last) // 2, last - 1, before)
        cut = _divide(a, first, last, before)
        _partition(a, cut, last, depth, before)
        last = cut


def _move_median_to_first(a: list[int], to: int, x: int, y: int, z: int, before: _Before) -> None:
    if before(a[x], a[y]):
        median = y if before(a[y], a[z]) else z if before(a[x], a[z]) else x
    else:
        median = x if before(a[x], a[z]) else z if before(a[y], a[z]) else y
    a[to], a[median] = a[median], a[to]


def _divide(a: list[int], first: int, last: int, before: _Before) -> int:
    """`__unguarded_partition`, with the pivot at `first`. Equal elements change sides."""
    pivot, low, high = a[first], first + 1, last
    while True:
        while before(a[low], pivot):
            low += 1
        high -= 1
        while before(pivot, a[high]):
            high -= 1
        if low >= high:
            return low
        a[low], a[high] = a[high], a[low]
        low += 1


def _heap_sorted(a: list[int], before: _Before) -> list[int]:
    """`__partial_sort` of everything: a heap whose root comes last."""
    for root in reversed(range(len(a) // 2)):
        _sift(a, root, len(a), a[root], before)
    for end in reversed(range(1, len(a))):
        value, a[end] = a[end], a[0]
        _sift(a, 0, end, value, before)
    return a


def _sift(a: list[int], root: int, size: int, value: int, before: _Before) -> None:
    """`__adjust_heap`: move the hole at `root` down to a leaf, then the value up from there."""
    hole = root
    while (child := 2 * hole + 2) <= size:
        if child == size or before(a[child], a[child - 1]):
            child -= 1
        a[hole] = a[child]
        hole = child
    while hole > root and before(a[(hole - 1) // 2], value):
        a[hole] = a[(hole - 1) // 2]
        hole = (hole - 1) // 2
    a[hole] = value
