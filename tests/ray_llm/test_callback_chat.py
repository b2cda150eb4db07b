"""The whole way, nothing left out: a plain config with the callback, real Ray, real vLLM, a chat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nodeinit.ray import group_rows
from tests.ray_llm import chat, left
from tests.ray_llm.conftest import TOKEN, Serving, llm_config, with_callback
from tests.ray_llm.sources import Model

pytestmark = [pytest.mark.llm, pytest.mark.ray]


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    return tmp_path / "seen.jsonl"


def read(seen: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in seen.read_text().splitlines()]


def test_a_plain_config_with_the_callback_answers_and_leaves_nothing(
    serving: Serving, web: Model, seen: Path, tmp_path: Path
) -> None:
    from ray import serve
    from ray.serve.llm import build_openai_app

    store = tmp_path / "store"
    config = llm_config(
        web.url,
        runtime_env={"env_vars": {"OF_THE_USER": "1"}},
        experimental_configs={"nodeinit": {"store": str(store)}},  # nobody was here before
        callback_config=with_callback(
            "tests.ray_llm.hooks:Records",
            callback_kwargs={"path": str(seen)},
            journal=str(tmp_path / "journals"),
        ),
    )
    serve.run(build_openai_app({"llm_configs": [config]}), name="plain", route_prefix="/")

    # The group is the one that Serve reserved, and the only one.
    (row,) = group_rows.LiveRows().read()
    assert row.name.startswith("SERVE_REPLICA::plain")
    hooks = read(seen)
    assert [hook["hook"] for hook in hooks] == [
        "on_before_init",
        "on_before_download",
        "on_after_init",
    ]
    assert hooks[-1]["placed"] == row.group_id
    # The engine has what was verified, under the path where that is; it came from there once.
    theirs = serve.get_deployment_handle("LLMServer:tiny", "plain").llm_config.remote().result()
    path = Path(theirs.get_engine_config().hf_model_id)
    assert path == Path(hooks[-1]["path"]) and path.is_relative_to(store)
    weights = [asked for asked in web.asked if asked.endswith(".safetensors")]
    assert sorted(weights) == [f"/model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert chat.complete(serving.url, "tiny")["usage"]["completion_tokens"] == 4
    chunks = chat.stream(serving.url, "tiny")
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    (user,) = left.users(store)  # nobody may prune it while the engine lives
    assert "tiny" in user

    serve.delete("plain")
    nothing_is_left(serving)
    assert left.users(store) == []
    # The token is in the environment; Ray copies it into the config, and nobody can read it there.
    assert TOKEN not in str(theirs) and TOKEN not in theirs.model_dump_json()
    (journal,) = (tmp_path / "journals").iterdir()
    assert '"ready"' in journal.read_text()
    assert TOKEN not in journal.read_text()
    assert not [log for log in logs() if TOKEN in log.read_text(errors="replace")]


def test_an_engine_answers_in_a_group_that_the_node_reserved_itself(
    serving: Serving, web: Model, tmp_path: Path
) -> None:
    from ray import serve
    from ray.serve.llm import build_openai_app

    config = llm_config(
        web.url,
        callback_config={
            "callback_class": "nodeinit.ray.llm:NodeInitCallback",
            "callback_kwargs": {"own_group": True, "journal": str(tmp_path / "journals")},
        },
        experimental_configs={"nodeinit": {"store": str(tmp_path / "store")}},
    )
    serve.run(build_openai_app({"llm_configs": [config]}), name="own", route_prefix="/")

    serves, ours = sorted(group_rows.LiveRows().read(), key=lambda row: row.name)
    assert serves.name.startswith("SERVE_REPLICA::own") and ours.name.startswith("tiny-")
    assert chat.complete(serving.url, "tiny")["usage"]["completion_tokens"] == 4
    serve.delete("own")
    assert left.settles(left.groups, []) == []
    left.sweep_notes_of_the_dead()
    nothing_is_left(serving)


def logs() -> list[Path]:
    """All log files of this Ray."""
    from ray._private import worker

    found = Path(worker._global_node.get_logs_dir_path()).rglob("*")
    return [path for path in found if path.is_file()]


def test_an_application_that_is_deleted_while_it_comes_up_leaves_nothing(
    serving: Serving, web: Model, tmp_path: Path
) -> None:
    from ray import serve
    from ray.serve.llm import build_openai_app

    there = tmp_path / "there"
    config = llm_config(
        web.url,
        callback_config=with_callback(
            "tests.ray_llm.hooks:Stays", callback_kwargs={"path": str(there)}
        ),
    )
    app = build_openai_app({"llm_configs": [config]})
    serve._run(app, name="gone", route_prefix="/", _blocking=False)
    assert left.settles(there.exists, True, 100)  # it is in a hook, for a minute
    serve.delete("gone")
    nothing_is_left(serving)


def test_a_model_that_cannot_be_had_fails_the_deployment_with_the_reason(
    serving: Serving, web: Model
) -> None:
    from ray import serve
    from ray.serve.llm import build_openai_app

    web.gone = True
    config = llm_config(web.url, deployment_config={"max_constructor_retry_count": 1})
    app = build_openai_app({"llm_configs": [config]})
    with pytest.raises(RuntimeError):
        serve.run(app, name="failed", route_prefix="/")
    told = serve.status().applications["failed"].deployments["LLMServer:tiny"].message
    assert "InitializationFailed" in told and web.url.rstrip("/") in told
    serve.delete("failed")
    nothing_is_left(serving)


def nothing_is_left(serving: Serving) -> None:
    assert left.settles(left.groups, []) == []
    assert left.settles(lambda: left.users(serving.store), []) == []
    assert left.settles(left.notes, []) == []
    assert left.settles(lambda: left.newer(serving.mark, serving.before), {}) == {}
