"""Several replicas, their updates, and the loss of a host under one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from ray import serve

from nodeinit.ray.serve import deployment, posted
from tests.ray_serve.engines import Chat, Plain, Slowly
from tests.ray_serve.serving import Serving, config

pytestmark = pytest.mark.slow


def test_a_second_replica_moves_no_byte(serving: Serving, source: Path, tmp_path: Path) -> None:
    llm = config(source, tmp_path)
    serving.deploy(deployment(Plain, llm).bind(), "llm")
    serving.phase("llm", "ready")
    assert serving.get("/llm/").body["fetched"] > 0
    serving.deploy(deployment(Plain, llm, num_replicas=2).bind(), "llm")
    serving.until(lambda: [p.status.ready for p in posted("llm")] == [True, True])
    seen = serving.until(lambda: {serving.get("/llm/").body["fetched"] for _ in range(9)} - {0})
    assert {serving.get("/llm/").body["fetched"] for _ in range(30)} == {0, *seen}
    serving.delete("llm")
    serving.nothing_left(tmp_path)


def test_a_rolling_update_answers_all_the_time(
    serving: Serving, source: Path, tmp_path: Path
) -> None:
    llm = config(source, tmp_path, Slowly, callback_kwargs={"seconds": 2})
    serving.deploy(deployment(Chat, llm, num_replicas=1).bind("one"), "llm")
    serving.phase("llm", "ready")
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            answer = serving.get("/llm/hello")
            answers.append((answer.code, answer.body["says"]))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        serving.deploy(deployment(Chat, llm, num_replicas=1).bind("two"), "llm")
        serving.until(lambda: answers and answers[-1] == (200, "two"))
    finally:
        over.set()
        asking.join()
    assert {200} == {code for code, _ in answers}


def test_a_replica_that_loses_a_host_is_replaced(
    serving: Serving, source: Path, tmp_path: Path
) -> None:
    llm = config(
        source, tmp_path, engine_kwargs={"tensor_parallel_size": 8, "pipeline_parallel_size": 2}
    )
    serving.deploy(deployment(Plain, llm, health_check_period_s=1).bind(), "llm")
    serving.phase("llm", "ready")
    (first,) = posted("llm")
    hosts = set(serving.get("/llm/").body["bundles"])
    (other,) = hosts - {first.node_id}
    assert serving.cluster.hosts is not None
    serving.cluster.hosts.kill_host(other)
    serving.until(lambda: {p.actor for p in posted("llm") if p.status.ready} - {first.actor})
    serving.until(lambda: serve.status().applications["llm"].status == "RUNNING")
    assert other not in serving.get("/llm/").body["bundles"]
