"""What the driver makes of several hosts that fetch one model."""

from __future__ import annotations

import attrs
import pytest

from nodeinit.clusters.base import Progress
from nodeinit.context import NodeModelDownloadable, NodeReport
from nodeinit.errors import PermanentError
from nodeinit.node.alike import check_alike
from nodeinit.node.totals import Totals

ALL = NodeModelDownloadable.MODEL_AND_TOKENIZER
ONE = NodeReport("a", "/models/m/1", ALL, "1", 3, 100, 100, True, digest="d" * 64)


def test_d18_one_path_for_all_hosts() -> None:
    check_alike([ONE, attrs.evolve(ONE, node_id="b")])
    elsewhere = attrs.evolve(ONE, node_id="b", path="/home/b/m/1")
    with pytest.raises(PermanentError, match=r"/models/m/1 on host a and at /home/b/m/1 on host b"):
        check_alike([ONE, elsewhere])


def test_hosts_with_different_bytes_are_named() -> None:
    other = attrs.evolve(ONE, node_id="b", digest="e" * 64)
    with pytest.raises(PermanentError, match=r"^corrupted: host a and host b have different bytes"):
        check_alike([ONE, other])
    tokenizer = attrs.evolve(other, mode=NodeModelDownloadable.TOKENIZER_ONLY)
    check_alike([ONE, tokenizer, attrs.evolve(ONE, node_id="c")])  # what is comparable


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_total_has_a_rate_and_a_time_that_is_left() -> None:
    clock, heard = Clock(), []
    totals = Totals(2, heard.append, clock)
    for second in range(1, 6):
        clock.now = float(second)
        totals(Progress("a", 10 * second, 100))
        clock.now += 0.1
        totals(Progress("b", 30 * second, 300))
    said = [progress for progress in heard if not progress.node_id]
    assert [progress.done for progress in said] == [10, 50, 90, 130, 170]
    assert said[0].left is None, "nobody knows yet how much it is"
    assert said[-1].total == 400
    assert said[-1].rate == pytest.approx(34.0)
    assert said[-1].left == pytest.approx(230 / 34)


def test_a_total_counts_what_is_brought_and_ends_at_all_of_it() -> None:
    clock, heard = Clock(), []
    totals = Totals(2, heard.append, clock)
    totals(Progress("a", 100, 100, stage="verify"))  # a warm host moves nothing
    clock.now = 10.0
    totals(Progress("b", 50, 100))
    totals(Progress("b", 100, 100))
    totals(Progress("b", 100, 100, stage="done"))
    said = [progress for progress in heard if not progress.node_id]
    assert (said[-1].done, said[-1].total, said[-1].left) == (200, 200, 0.0)
    assert said[-1].rate == pytest.approx(10.0)


def test_many_hosts_make_few_totals_and_one_makes_none() -> None:
    clock, heard = Clock(), []
    totals = Totals(64, heard.append, clock)
    for tick in range(1000):
        clock.now = tick / 1000
        totals(Progress(f"host-{tick % 64}", tick, 1000))
    assert sum(not progress.node_id for progress in heard) <= 3
    alone: list[Progress] = []
    Totals(1, alone.append, clock)(Progress("a", 1, 2))
    assert [progress.node_id for progress in alone] == ["a"]
