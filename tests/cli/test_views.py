"""What a run shows while it is under way: on a terminal, and in plain lines."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nodeinit import LLMConfig, NodeInitializer, Policy, SimCluster
from nodeinit.amounts import seconds, size
from nodeinit.cli.bars import MOST, HostBars
from nodeinit.cli.lines import held_name
from nodeinit.cli.lines_view import LinesView
from nodeinit.cli.live_view import LiveView
from nodeinit.cli.names import HostNames
from nodeinit.cli.spine import spine
from nodeinit.clusters.base import Progress
from nodeinit.clusters.simulated import SimFault, sim_host
from nodeinit.fsm.events import Held
from nodeinit.fsm.executor import InlineExecutor
from nodeinit.fsm.policy import Backoff, PhasePolicy
from nodeinit.placement.topology import ClusterSnapshot
from nodeinit.testing.virtual_time import run_virtual

CONFIG = LLMConfig(
    model_id="m", model_source="/m", placement_group_config={"bundle_per_worker": {"CPU": 1}}
)
PATIENT = Policy(default=PhasePolicy(attempts=3, backoff=Backoff(2, 1, 2, 0)))


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def spines(faults: Sequence[SimFault], *, stop: bool = False) -> dict[str, str]:
    """The spine at each state that a run comes through, without its spinner."""
    seen: dict[str, str] = {}

    async def go() -> None:
        cluster = SimCluster([sim_host("a", CPU=4)], faults=faults)
        node = NodeInitializer(CONFIG, cluster=cluster, policy=PATIENT, executor=InlineExecutor())

        async def look(_: object) -> None:
            line = spine(node, asyncio.get_running_loop().time()).plain
            seen.setdefault(node.state, line)

        node.subscribe(look)
        async with node:
            if stop:
                await asyncio.sleep(1)
                await node.cancel()
            else:
                try:
                    await node.wait_for("ready")
                except Exception:
                    return

    run_virtual(go())
    return seen


def test_the_spine_of_a_run_that_succeeds() -> None:
    seen = spines([])
    assert seen["config"].endswith("config 0.0 s  ○ download  ○ placement  ○ ready")
    assert seen["download"].endswith("download 0.0 s  ○ placement  ○ ready")
    assert seen["download"].startswith("✓ config 20 ms")
    assert seen["placement"].startswith("✓ config 20 ms  ✓ download 7.0 s  ")
    assert seen["ready"].startswith("✓ config 20 ms  ✓ download 7.0 s  ✓ placement ")
    assert seen["ready"].endswith("  ✓ ready")


def test_the_spine_waits_before_it_tries_again() -> None:
    seen = spines([SimFault("fetch", "temporary")])
    assert seen["backoff"].startswith("✓ config 20 ms  ◌ download again in 2.0 s  ○ placement")


@pytest.mark.parametrize("stop", [False, True])
def test_the_spine_shows_where_it_broke(stop: bool) -> None:
    seen = spines([SimFault("fetch", "hang" if stop else "permanent")], stop=stop)
    assert seen["releasing"].startswith("✓ config 20 ms  ✗ download ")
    assert "○ placement  ○ ready" in seen["releasing"]
    assert seen["releasing"].endswith(" releasing")
    end = "cancelled" if stop else "failed"
    assert seen[end].endswith(f"○ ready  {end}")


def test_the_live_view_draws_bars_setbacks_and_the_end() -> None:
    console = terminal()
    view = LiveView(console)

    async def go() -> None:
        faults = [SimFault("fetch", "temporary", 0), SimFault("reserve", "permanent")]
        cluster = SimCluster([sim_host("a", CPU=4)], faults=faults, bandwidth=1e6)
        node = NodeInitializer(CONFIG, cluster=cluster, policy=PATIENT, executor=InlineExecutor())
        with view.watching(node, cluster.now()):
            async with node:
                await asyncio.sleep(1)
                console.print(view)  # waiting to try again
                await asyncio.sleep(6)
                console.print(view)  # in the middle of the second try
                await asyncio.sleep(20)

    run_virtual(go())
    text = written(console)
    assert "0.0 s  download: fetch failed for the moment" in text
    assert "try 1 of 3 failed" in text
    assert "◌ download again in 1.0 s" in text
    assert "host-a (a) fetch" in text
    assert "4.0/7.0 MB" in text
    assert "try 2 of 3" in text
    assert "last setback: download: fetch failed for the moment" in text


def test_bars_of_more_hosts_than_fit() -> None:
    console = terminal()
    hosts = [sim_host(f"h{i:02}", CPU=1) for i in range(MOST + 4)]
    bars = HostBars(console, HostNames(ClusterSnapshot(tuple(hosts))))
    for i, host in enumerate(hosts):
        bars.update(Progress(host.node_id, 100 if i < 5 else 50, 100))
    console.print(bars)
    text = written(console)
    assert f"and 4 more hosts; 5 of {MOST + 4} are done" in text
    assert text.index("host-h05") < text.index("host-h00")  # those that are not done come first
    bars.clear()
    console.print("|", bars)
    assert "host" not in written(console)[len(text) :]


def test_a_bar_begins_anew_with_another_stage_or_try() -> None:
    bars = HostBars(terminal(), HostNames(ClusterSnapshot(())))
    for report in (
        Progress("a", 80, 100),
        Progress("a", 10, 100),
        Progress("a", 20, 200, stage="verify"),
    ):
        bars.update(report)
        (task,) = bars._progress.tasks
        assert (task.completed, task.total) == (report.done, report.total)
        assert task.fields["stage"] == report.stage


@given(st.lists(st.integers(0, 1000), max_size=60).map(sorted), st.integers(1, 1000))
def test_at_most_ten_lines_for_a_download_in_rising_tenths(done: list[int], total: int) -> None:
    console = terminal()
    view = LinesView(console)
    for amount in done:
        view.progress(Progress("a", min(amount, total), total))
    percents = [int(line.split("%")[0].split()[-1]) for line in written(console).splitlines()]
    assert percents == sorted(set(percents))
    assert set(percents) <= set(range(10, 101, 10))
    reached = 10 * min(max(done, default=0), total) // total * 10
    assert percents[-1:] == ([reached] if reached else [])


def test_all_hosts_together_have_lines_and_a_bar_of_their_own() -> None:
    console = terminal()
    view = LinesView(console)
    total = Progress("", 40_000_000, 80_000_000, stage="total", rate=2e6, left=20.0)
    for number in range(MOST + 1):
        view.progress(Progress(f"h{number}", 0, 0, stage="start", note="swarm: as it is far away"))
    view.progress(Progress("h0", 50, 100))
    view.progress(total)
    bars = HostBars(console, HostNames(ClusterSnapshot(())))
    bars.update(total)
    console.print(bars)
    said = [line.strip() for line in written(console).splitlines()]
    together = "40.0 MB of 80.0 MB, 2.0 MB/s, 20.0 s left"
    assert said == [
        "swarm: as it is far away",
        f"all hosts 50 % ({together})",
        f"all hosts: {together}",
    ]


def test_a_download_of_nothing_has_no_tenths() -> None:
    console = terminal()
    LinesView(console).progress(Progress("a", 0, 0))
    assert written(console) == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 ms"),
        (0.0123, "12.3 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3661, "1 h 1 min"),
    ],
)
def test_times(value: float, said: str) -> None:
    assert seconds(value) == said


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: size(712), "712 bytes"),
        (lambda: size(1_234_567_890), "1.2 GB"),
        (lambda: held_name(Held("group", "llm-1", "placement", 1)), "group llm-1"),
        (
            lambda: held_name(Held("fetch", "n-fetch-1-" + "ab" * 28, "download", 1)),
            "fetch n-fetch-1-abababab",
        ),
    ],
)
def test_amounts_and_names(call: Callable[[], str], said: str) -> None:
    assert call() == said


def test_hosts_that_share_a_name_are_called_by_their_id() -> None:
    twins = [attrs.evolve(sim_host(node_id, CPU=1), name="10.0.0.1") for node_id in ("a", "b")]
    names = HostNames(ClusterSnapshot((*twins, sim_host("c", CPU=1))))
    assert [names[node_id] for node_id in "abc"] == ["a", "b", "host-c (c)"]
    assert names["came-later"] == "came-lat"
