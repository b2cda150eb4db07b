"""What Ray would do to its own users, tried on our callback: each row of the table in tests/README.

On a real Ray of several hosts with GPUs that are not there. Where vLLM is installed, the config is
Ray's own; the calls are those of the start of its engine.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import ray

from nodeinit.ray import RayCluster, group_rows
from tests.ray_llm import left, sources
from tests.ray_llm.conftest import TOKEN
from tests.ray_llm.trying import HOOKS, fails, for_gpus, running, served, start, tp

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("hosts", "nothing_left"),
]


# -- what upstream is given ------------------------------------------------------------------------


def test_d20_adopts_serves_group_and_hands_over_what_it_verified(
    hosts: list[str], tiny: Path, store: Path, tmp_path: Path
) -> None:
    first, second = hosts
    given = for_gpus(
        tiny,
        store,
        callback=f"{HOOKS}:Tunes",
        kwargs={"callback_kwargs": {"max_num_seqs": 7}, "journal": str(tmp_path / "journal")},
        engine_kwargs={"tensor_parallel_size": 2, "pipeline_parallel_size": 2},
        runtime_env={"env_vars": {"OF_THE_USER": "1"}},
    )
    bundles = [{"GPU": 1, "CPU": 1}, {"GPU": 1}, {"GPU": 1}, {"GPU": 1}]
    with served(bundles, [first, first, second, second]) as group, running(group) as actor:
        got = start(actor, given)
        assert got["group"] == group.id.hex()
        assert Path(got["path"]).is_relative_to(store) and got["mirror"] is None
        assert got["kwargs"]["max_num_seqs"] == 7
        assert left.groups().count("SERVE_REPLICA::a") == 1 and len(left.users(store)) == 1
        # Both hosts have it, by the same path: each of them marks that it is used.
        (entry,) = left.catalogue(store)
        assert len(entry.users) == 2
        # The token is where the engine's processes look, and nowhere else.
        assert got["variables"] == ["HF_TOKEN", "OF_THE_USER"]
        assert TOKEN not in got["config"]
        (journal,) = (tmp_path / "journal").iterdir()
        assert TOKEN not in journal.read_text()
        assert ray.get(actor.pickled.remote()) == "None"  # the config goes on without what is alive


def test_a_streaming_format_does_not_take_the_bucket_again(tiny: Path, store: Path) -> None:
    with sources.serving(tiny) as web, served([{"GPU": 1, "CPU": 1}]) as group:
        given = for_gpus(web.url, store, engine_kwargs={"load_format": "runai_streamer"})
        with running(group) as actor:
            got = start(actor, given)
    assert Path(got["path"]).is_relative_to(store) and got["mirror"] is None


def test_an_argument_that_the_engine_does_not_have_is_refused(tiny: Path, store: Path) -> None:
    wrong = for_gpus(
        tiny,
        store,
        callback=f"{HOOKS}:Tunes",
        kwargs={"callback_kwargs": {"tensor_parallel_size": 2}},
    )
    with served([{"GPU": 1, "CPU": 1}]) as group, running(group) as actor:
        fails(actor, wrong, r"tensor_parallel_size is 1 in the plan that was followed, not 2")


# -- placement ---------------------------------------------------------------------------------------


def test_p6_a_group_that_breaks_a_rule_is_refused_and_stays(
    hosts: list[str], tiny: Path, store: Path
) -> None:
    first, second = hosts
    split = [first, first, second, second]
    with served([{"GPU": 1}] * 4, split) as group, running(group) as actor:
        fails(actor, for_gpus(tiny, store, **tp(4)), "tp_groups_whole")
        assert group_rows.read(group.id.hex()).state == "CREATED"  # type: ignore[union-attr]
    assert not store.exists()  # not a byte was moved


def test_p5_a_callback_that_wants_gpus_twice_is_refused(tiny: Path, store: Path) -> None:
    given = for_gpus(tiny, store, callback=f"{HOOKS}:AsksTwice")
    with served([{"GPU": 1, "CPU": 1}]) as group, running(group) as actor:
        fails(actor, given, "asks for another placement group.* would hold both.*own_group")


def test_own_group_is_reserved_after_the_download_and_handed_over(
    hosts: list[str], tiny: Path, store: Path
) -> None:
    given = for_gpus(
        tiny,
        store,
        kwargs={"own_group": True},
        accelerator_config={"kind": "gpu"},
        placement_group_config={"bundles": [{"CPU": 1}]},
        **tp(2),
    )
    with served([{"CPU": 1}], hosts[1:]) as group:
        with running(group) as actor:
            got = start(actor, given)
            row = group_rows.read(got["group"])
            assert row is not None and row.state == "CREATED"
            assert row.node_ids == (hosts[1], hosts[1])  # with the engine, which is the replica's
            assert got["group"] != group.id.hex()
        # It ends with the replica, whoever ends that; its successor clears away the note of it.
        assert left.settles(left.groups, ["SERVE_REPLICA::a"]) == ["SERVE_REPLICA::a"]
        (note,) = left.notes()
        with running(group) as actor:
            start(actor, given)
            assert note not in left.notes()
    left.sweep_notes_of_the_dead()


def test_p5_own_group_beside_reserved_gpus_is_refused(tiny: Path, store: Path) -> None:
    given = for_gpus(tiny, store, kwargs={"own_group": True})
    with served([{"GPU": 1, "CPU": 1}]) as group, running(group) as actor:
        fails(actor, given, "Serve has reserved GPU for this replica already.*twice")


def test_p1_looking_at_the_callback_reserves_nothing(
    hosts: list[str], tiny: Path, store: Path
) -> None:
    with running(hosts[0]) as actor:
        assert ray.get(actor.only_looks.remote(for_gpus(tiny, store))) == "NodeInitCallback"
        assert left.settles(left.groups, []) == []


def test_looking_costs_no_gpu_though_ray_made_a_group_for_it(
    hosts: list[str], tiny: Path, store: Path
) -> None:
    # A group that is removed at once leaks one time in sixteen (`nothing_left` counts the GPUs).
    with running(hosts[0]) as actor:
        for _ in range(20):
            ray.get(actor.only_looks.remote(for_gpus(tiny, store, **tp(2))))


def test_p2_p7_without_a_group_an_impossible_request_is_explained_at_once(
    hosts: list[str], tiny: Path, store: Path
) -> None:
    with running(hosts[0]) as actor:
        why = fails(actor, for_gpus(tiny, store, **tp(16)), "needs 16 GPUs on one host")
        assert "journal" in why
        assert left.settles(left.groups, []) == []
    assert not store.exists()


def test_p3_without_a_group_what_others_hold_is_named(
    hosts: list[str], tiny: Path, store: Path
) -> None:
    all_of_it = next(n["Resources"]["GPU"] for n in ray.nodes() if n["NodeID"] == hosts[0])
    with served([{"GPU": all_of_it}], hosts[:1]), running(hosts[0]) as actor:
        fails(actor, for_gpus(tiny, store), "needs 1 GPU.*SERVE_REPLICA::a")


@pytest.mark.slow
def test_p9_a_host_that_is_lost_ends_the_start_with_a_reason(
    cluster: RayCluster, hosts: list[str], tiny: Path, store: Path
) -> None:
    if cluster.hosts is None:
        pytest.skip("this Ray is that of other tests, whose hosts stay")
    (third,) = cluster.hosts.add_hosts(1, gpus=1)
    given = for_gpus(
        tiny,
        store,
        nodeinit={"deadlines": {"config": 3}},
        engine_kwargs={"pipeline_parallel_size": 2},
    )
    with served([{"GPU": 1}] * 2, [hosts[0], third]) as group, running(group) as actor:
        ray.get(group.ready())
        cluster.hosts.kill_host(third)
        assert left.settles(lambda: group_rows.read(group.id.hex()).state, "RESCHEDULING")  # type: ignore[union-attr]
        fails(actor, given, "config: ")


# -- download ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raises", [True, False])
def test_c4_d3_a_download_that_fails_has_no_other_source(
    tiny: Path, store: Path, raises: bool
) -> None:
    """Also where the policy is to log and go on: that is for hooks of the user."""
    with sources.serving(tiny) as web, served([{"GPU": 1, "CPU": 1}]) as group:
        web.gone = True
        given = for_gpus(web.url, store, callback_config={"raise_error_on_callback": raises})
        with running(group) as actor:
            fails(actor, given, "InitializationFailed.*404")
            assert ray.get(actor.engine_state.remote()) == (web.url, None)


@pytest.mark.slow
def test_c5_d16_d17_a_start_that_times_out_leaves_nothing_on_any_host(
    tiny: Path, store: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    given = for_gpus(
        tiny, store, callback=f"{HOOKS}:Stays", kwargs={"callback_kwargs": {"path": str(there)}}
    )
    with served([{"GPU": 1, "CPU": 1}]) as group, running(group) as actor:
        starting = actor.start_within.remote(given, 4.0)
        assert left.settles(there.exists, True)
        assert ray.get(actor.ticks.remote(1.0)) > 30  # a hook that sleeps holds nobody up
        assert ray.get(starting) == "timed out"
        assert "cancelled" in ray.get(actor.explain.remote())


# -- deadlines -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_node_ends_before_the_engines_own_deadline(
    tiny: Path, store: Path, tmp_path: Path
) -> None:
    given = for_gpus(
        tiny,
        store,
        callback=f"{HOOKS}:Stays",
        kwargs={"callback_kwargs": {"path": str(tmp_path / "there")}},
    )
    env = {"RAYLLM_ENGINE_START_TIMEOUT_S": "5"}
    with served([{"GPU": 1, "CPU": 1}]) as group, running(group, **env) as actor:
        fails(actor, given, r"not ready within the 4\.5 s .*The node is in config")


@pytest.mark.slow
def test_p8_an_engine_that_cannot_start_in_its_group_ends_with_a_reason(
    tiny: Path, store: Path
) -> None:

    @ray.remote(num_gpus=1)
    class Sits:
        def there(self) -> bool:
            return True

    env = {"NODEINIT_ENGINE_START_PATIENCE": "2"}
    with served([{"GPU": 1, "CPU": 1}]) as group, running(group, **env) as actor:
        strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group)
        sitting = Sits.options(scheduling_strategy=strategy).remote()
        assert ray.get(sitting.there.remote())
        began = time.monotonic()
        fails(actor, for_gpus(tiny, store), "the engine cannot start: a task with .*num_gpus=0.001")
        assert time.monotonic() - began < 60
        ray.kill(sitting)
