"""Which single GPUs are known, which may be counted on, and which are possible."""

from __future__ import annotations

import itertools

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.placement import gpus
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Group
from tests.strategies import group, host

SHARES = (UNIT, 6_000, 5_000, 3_333, 1)


def seen(given, *groups):
    """A host as a snapshot with these groups shows it."""
    return ClusterSnapshot((given,), groups).hosts[0]


def test_whole_gpus_need_no_guess():
    whole = seen(host("a", 4, 3), group("g", "a", [1.0]))
    assert not whole.uncertain
    assert gpus.certain(whole, UNIT) == gpus.possible(whole, UNIT) == 3
    assert gpus.certain(whole, 3_333) == 9


def test_an_unexplained_remainder_is_only_possible():
    given = seen(host("a", 4, 1.5))
    assert given.uncertain
    assert (gpus.certain(given, UNIT), gpus.possible(given, UNIT)) == (1, 1)
    assert (gpus.certain(given, 5_000), gpus.possible(given, 5_000)) == (2, 3)


@pytest.mark.parametrize(
    ("slices", "left"),
    [
        ([0.5], (5_000, UNIT, UNIT, UNIT)),
        ([0.6, 0.6], (4_000, 4_000, UNIT, UNIT)),
        ([0.7, 0.4], (6_000, 3_000, UNIT, UNIT)),
        ([0.6] * 4, (4_000,) * 4),
    ],
)
def test_slices_that_cannot_share_a_gpu_say_where_they_are(slices, left):
    given = seen(host("a", 4, 4 - sum(slices)), group("g", "a", slices))
    assert given.gpus == left and not given.uncertain


def test_whole_gpus_of_others_beside_known_slices():
    assert seen(host("a", 4, 2.5), group("g", "a", [0.5])).gpus == (0, 5_000, UNIT, UNIT)


@pytest.mark.parametrize("slices", [[0.5, 0.5], [0.3, 0.6], [0.6, 0.6, 0.3]])
def test_slices_that_may_share_a_gpu_or_not_leave_a_doubt(slices):
    given = seen(host("a", 4, 4 - sum(slices)), group("g", "a", slices))
    assert given.gpus is None and given.uncertain
    assert given.slices == tuple(sorted(round(s * UNIT) for s in slices))
    assert gpus.certain(given, UNIT) == 4 - len(slices)


def test_groups_elsewhere_do_not_count():
    assert seen(host("a", 2, 1.5), group("g", "b", [0.5])).gpus is None


def test_what_others_hold_beside_slices_that_do_not_explain_it():
    # 1.3 of somebody else: perhaps on two more GPUs, perhaps beside the slice that we know.
    given = seen(host("a", 4, 2.2), group("g", "a", [0.5]))
    assert given.gpus is None and gpus.certain(given, UNIT) == 1


def test_books_that_do_not_add_up_promise_no_more_than_the_sum():
    for made in (
        seen(host("a", 2, 1), group("g", "a", [0.5] * 6)),
        seen(host("a", 1, 1), group("g", "a", [0.6] * 2)),
    ):
        assert made.gpus is None
        for share in SHARES:
            assert gpus.certain(made, share) * share <= made.free("GPU")


def test_known_gpus_are_taken_as_they_are_and_dead_ones_are_none():
    known = seen(host("a", 2, 0.8, gpu_list=(4_000, 4_000)), group("g", "a", [0.6, 0.6]))
    assert known.gpus == (4_000, 4_000)
    assert gpus.certain(known, 4_000) == gpus.possible(known, 4_000) == 2
    dead = host("a", 2, alive=False)
    assert gpus.certain(dead, UNIT) == gpus.possible(dead, UNIT) == 0


def test_slots():
    assert gpus.slots((UNIT, 5_000, 4_999), 5_000) == 3
    assert gpus.slots((UNIT,) * 3, 6_000) == 3
    assert gpus.slots((UNIT,), 3_333) == 3


def arrangements(count, slices):
    """Every way in which slices can lie on so many GPUs: what is left of each."""
    for places in itertools.product(range(count), repeat=len(slices)):
        left = [UNIT] * count
        for at, piece in zip(places, slices, strict=True):
            left[at] -= piece
        if min(left, default=0) >= 0:
            yield left


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(0, 2),
    st.lists(st.sampled_from([1_000, 2_500, 3_333, 5_000, 6_000, 9_000]), max_size=4),
    st.sampled_from(SHARES),
)
def test_certain_is_never_more_and_possible_never_less_than_any_way_has(
    count, whole, slices, share
):
    ways = [*arrangements(count, slices)]
    if not ways:
        return
    bare = host("a", count + whole)
    left = bare.available.set("GPU", sum(ways[0]))
    bundles = tuple(Bundle({"GPU": piece}) for piece in slices)
    held = Group("g", "g", "CREATED", bundles, "PACK", ("a",) * len(bundles))
    given = seen(attrs.evolve(bare, available=left), held)
    fitting = [gpus.slots(way, share) for way in ways]
    assert gpus.certain(given, share) <= min(fitting)
    assert gpus.possible(given, share) >= max(fitting)
    if given.gpus is not None:
        assert {tuple(sorted(way)) for way in ways} == {tuple(sorted(given.gpus[whole:]))}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([3_000, 5_000, 6_000, UNIT]), max_size=6))
def test_what_is_put_on_a_host_is_there_until_it_is_taken_off(shares):
    """The amounts come back to the last step; the GPUs too, as far as they are known."""
    before = host("a", 8)
    bundles = [Bundle({"GPU": share, "CPU": UNIT}) for share in shares]
    full = gpus.taken(before, bundles)
    assert full.free("GPU") == before.free("GPU") - sum(shares)
    if full.gpus is not None:
        assert sum(full.gpus) == full.free("GPU")
    back = gpus.freed(full, bundles, ())
    assert back == attrs.evolve(before, available=back.available)
    assert back.available == before.available
