"""However and whenever a replica ends, nothing is left of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import serve
from ray._private import state

from nodeinit.ray import workers
from nodeinit.ray.serve import deployment, posted, with_node
from tests.download.servers.web import files_on_the_web
from tests.ray_serve.engines import BreaksItself, Hangs, Plain, Refuses, Slowly
from tests.ray_serve.serving import Serving, config

pytestmark = pytest.mark.slow

Ending = Callable[[Serving], None]


def deleted(serving: Serving) -> None:
    serving.delete("llm")


def replica() -> Any:
    (one,) = posted("llm")
    return ray.get_actor(one.actor, namespace="serve")


def killed(serving: Serving) -> None:
    """The actor dies as of a crash; Serve starts another one, which is deleted in turn."""
    first = {one.actor for one in posted("llm")}
    ray.kill(replica(), no_restart=True)
    serving.until(lambda: {one.actor for one in posted("llm")} - first)
    serving.delete("llm")


def signalled(number: int) -> Ending:
    """A signal to the process of the replica, as from a pod that is shut down."""

    def ending(serving: Serving) -> None:
        first = {one.actor for one in posted("llm")}
        pid = pid_of_replica()
        os.kill(pid, number)
        serving.until(lambda: {one.actor for one in posted("llm")} - first)
        serving.delete("llm")

    return ending


def pid_of_replica() -> int:
    row = state.actors(replica()._actor_id.hex())
    return int(row["Pid"])


ENDINGS = {
    "deleted": deleted,
    "killed": killed,
    "SIGTERM": signalled(signal.SIGTERM),
    "SIGKILL": signalled(signal.SIGKILL),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_while_bytes_move(serving: Serving, source: Path, tmp_path: Path, ending: str) -> None:
    with files_on_the_web(source.parent) as web:
        slow = {"allow_http": True, "bandwidth": 20_000, "strategy": "direct"}
        llm = config(
            f"{web}/tiny/",
            tmp_path,
            nodeinit={"download": slow},
            engine_kwargs={"tensor_parallel_size": 8, "pipeline_parallel_size": 2},
        )
        serving.deploy(deployment(Plain, llm).bind(), "llm")
        moving = serving.until(
            lambda: [p for p in posted("llm") if p.status.progress and p.status.progress.done]
        )
        assert "download" == moving[0].status.phase and workers.traces()
        assert 0 < moving[0].status.progress.fraction < 1
        ENDINGS[ending](serving)
        serving.nothing_left(tmp_path)


@pytest.mark.parametrize("callback", [Slowly, Hangs])
def test_deleted_while_a_hook_hangs(
    serving: Serving, source: Path, tmp_path: Path, callback: type
) -> None:
    kwargs = {"callback_kwargs": {"seconds": 1e6}} if callback is Slowly else {}
    serving.deploy(deployment(Plain, config(source, tmp_path, callback, **kwargs)).bind(), "llm")
    serving.phase("llm", "config" if callback is Slowly else "download")
    serving.delete("llm")
    serving.nothing_left(tmp_path)


def test_a_node_that_cannot_be_says_why_in_serves_own_status(
    serving: Serving, source: Path, tmp_path: Path
) -> None:
    serving.deploy(deployment(Plain, config(source, tmp_path, Refuses)).bind(), "llm")
    serving.until(lambda: serve.status().applications["llm"].status == "DEPLOY_FAILED")
    seen = serve.status().applications["llm"]
    assert "the licence of this model does not allow it" in seen.deployments["Plain"].message
    probe = serving.startupz("llm")
    assert (503, "serve") == (probe.code, probe.body["reason"]["code"])
    assert "the licence of this model" in probe.body["reason"]["message"]
    serving.delete("llm")
    serving.nothing_left(tmp_path)


def test_an_engine_that_cannot_load_says_why_and_no_secret(
    serving: Serving, source: Path, tmp_path: Path
) -> None:
    serving.deploy(deployment(BreaksItself, config(source, tmp_path), mode="early").bind(), "llm")
    probe = serving.phase("llm", "failed")
    assert ("engine", "engine") == (probe.body["reason"]["code"], probe.body["reason"]["phase"])
    assert "no kernel for this GPU" in probe.body["reason"]["message"]
    assert "hf_abc" not in str(probe.body)
    first = {one.actor for one in posted("llm")}
    serving.until(lambda: {one.actor for one in posted("llm")} - first)  # its health is bad
    serving.delete("llm")
    serving.nothing_left(tmp_path)


def test_a_group_of_a_replicas_own_does_not_outlive_it_in_its_successors_way(
    serving: Serving, source: Path, tmp_path: Path
) -> None:
    """Serve reserved nothing here, and Ray keeps groups of dead actors: all GPUs would be gone."""
    llm = config(
        source, tmp_path, engine_kwargs={"tensor_parallel_size": 8, "pipeline_parallel_size": 3}
    )
    engine = serve.deployment(health_check_period_s=1)(with_node(llm)(Plain))
    serving.deploy(engine.bind(), "llm")
    serving.phase("llm", "ready")
    (first,) = posted("llm")
    assert not serving.get("/llm/").body["adopted"] and serving.left()["free"] == 0
    ray.kill(replica(), no_restart=True)
    serving.until(lambda: {one.actor for one in posted("llm") if one.status.ready} - {first.actor})
    assert 1 == len(serving.left()["groups"])
    serving.delete("llm")
    serving.nothing_left(tmp_path)
