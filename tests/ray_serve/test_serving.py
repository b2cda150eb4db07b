"""A user's engine class on Serve, from its deployment to its deletion."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray import serve

from nodeinit.ray.llm import board
from nodeinit.ray.serve import Mode, NotReady, deployment, posted
from tests.ray_serve.engines import Chat, Plain, Slowly
from tests.ray_serve.serving import Serving, config


def test_no_traffic_until_it_is_ready_and_nothing_after_it_is_gone(
    serving: Serving, source: Path, tmp_path: Path
) -> None:
    app = deployment(Chat, config(source, tmp_path, Slowly, callback_kwargs={"seconds": 2})).bind(
        "hi"
    )
    serving.deploy(app, "llm")
    early = serving.phase("llm", "config", "download", "placement")
    assert early.code == 503 and int(early.headers["Retry-After"]) >= 1
    assert early.body["ready"] is False and early.body["since"].endswith("Z")
    (view,) = early.body["deployments"]
    assert {"STARTING": 1} == view["states"]  # so Serve routes nothing to it
    assert serving.get("/startupz").code == 503
    ready = serving.phase("llm", "ready")
    hello = serving.get("/llm/hello")
    assert (200, "hi") == (hello.code, hello.body["says"])
    assert hello.body["path"].startswith(str(tmp_path))
    assert (200, 200) == (ready.code, serving.get("/startupz").code)
    (replica,) = posted("llm")
    board.watch("llm")
    board.post("llm/Chat/gone", replica.status)  # as a replica of ray.serve.llm does
    assert (replica,) == posted("llm")  # but there is no such replica
    board.post(f"llm/Chat/{replica.replica}", replica.status)
    assert [replica.actor] * 2 == [one.actor for one in posted("llm")]
    board.clear("llm")
    own = serving.get("/llm/startupz")
    assert (200, "ready", None) == (own.code, own.body["phase"], own.body["reason"])
    serving.delete("llm")
    serving.nothing_left(tmp_path)
    assert serving.startupz("llm").code == 404


@pytest.mark.slow
def test_early_it_answers_for_itself_with_503_and_when_to_come_again(
    serving: Serving, source: Path, tmp_path: Path
) -> None:
    waits = config(source, tmp_path, Slowly, callback_kwargs={"seconds": 3})
    serving.deploy(deployment(Plain, waits, mode=Mode.EARLY).bind(), "llm")
    serving.until(lambda: serve.status().applications["llm"].status == "RUNNING")
    own = serving.get("/llm/startupz")
    assert (503, "config") == (own.code, own.body["phase"])
    asked = serving.get("/llm/generate")
    assert asked.code == 503 and int(asked.headers["Retry-After"]) >= 1
    assert "not ready yet: The node is in config" in asked.body["error"]["message"]
    handle = serve.get_app_handle("llm")
    with pytest.raises(Exception, match="not ready yet: The node is in config") as refused:
        handle.remote("by handle").result(timeout_s=20)
    assert isinstance(refused.value, NotReady)
    assert "engine" == serving.phase("llm", "engine").body["phase"]
    serving.phase("llm", "ready")
    assert {"asked": "/llm/generate", "loaded": True, "adopted": True}.items() <= (
        serving.get("/llm/generate").body.items()
    )
    assert handle.remote("by handle").result(timeout_s=20)["asked"] == "by handle"


@pytest.mark.slow
def test_serve_reserves_what_the_config_asks_for_and_the_node_adopts_it(
    serving: Serving, source: Path, tmp_path: Path
) -> None:
    wide = config(
        source,
        tmp_path,
        engine_kwargs={"tensor_parallel_size": 4, "pipeline_parallel_size": 3},
    )
    serving.deploy(deployment(Plain, wide, ray_actor_options={"num_cpus": 2}).bind(), "llm")
    serving.phase("llm", "ready")
    answer = serving.get("/llm/").body
    assert answer["adopted"] and 12 == len(answer["bundles"])
    left = serving.left()
    assert 1 == len(left["groups"]) and left["free"] == 24 - 12
    assert not [key for key in left["notes"] if key.startswith("group/")]  # it is none of ours
