"""The other two doors, nothing left out: our builders and `nodeinit serve`, real Ray, real vLLM."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

from nodeinit.config.applications import load_serve_file
from nodeinit.placement.labels import NODE_ID
from nodeinit.ray import RayCluster
from tests.cli.real import Program
from tests.ray_llm import chat, left
from tests.ray_llm.conftest import Serving
from tests.ray_llm.sources import Model

pytestmark = [pytest.mark.llm, pytest.mark.ray]

RAY_SERVICE = Path(__file__).parents[1] / "configs" / "rayservice.yaml"


def model(source: str, **more: Any) -> dict[str, Any]:
    """A model as a user writes it, who does not think of nodeinit."""
    return {
        "model_loading_config": {"model_id": "tiny", "model_source": source},
        "accelerator_config": {"kind": "cpu"},
        "placement_group_config": {"bundles": [{"CPU": 1}]},
        "engine_kwargs": {"enforce_eager": True, "max_model_len": 256, "max_num_seqs": 4},
        "deployment_config": {"num_replicas": 1},
        "log_engine_metrics": False,
        "experimental_configs": {"nodeinit": {"download": {"allow_http": True}}},
        **more,
    }


def weights(web: Model) -> list[str]:
    return sorted(path for path in web.asked if path.endswith(".safetensors"))


def nothing_is_left(serving: Serving) -> None:
    assert left.settles(left.groups, []) == []
    assert left.settles(lambda: left.users(serving.store), []) == []
    assert left.settles(left.notes, []) == []
    assert left.settles(lambda: left.newer(serving.mark, serving.before), {}) == {}


def test_the_builder_brings_the_model_before_serve_reserves(serving: Serving, web: Model) -> None:
    from ray import serve

    from nodeinit.ray.llm import build_openai_app

    app = build_openai_app({"llm_configs": [model(web.url)]})
    assert left.groups() == [], "nothing is reserved while bytes move"
    assert weights(web) == [
        "/model-00001-of-00002.safetensors",
        "/model-00002-of-00002.safetensors",
    ]
    serve.run(app, name="built", route_prefix="/")

    assert len(weights(web)) == 2, "the replica moved no byte"
    assert chat.complete(serving.url, "tiny")["usage"]["completion_tokens"] == 4
    assert chat.stream(serving.url, "tiny")[-1]["choices"][0]["finish_reason"] == "length"
    theirs = serve.get_deployment_handle("LLMServer:tiny", "built").llm_config.remote().result()
    assert Path(theirs.get_engine_config().hf_model_id).is_relative_to(serving.store)
    serve.delete("built")
    nothing_is_left(serving)


def test_nodeinit_serve_answers_and_leaves_nothing(
    serving: Serving, web: Model, tmp_path: Path
) -> None:
    config = tmp_path / "llm.yaml"
    store = {"store": str(serving.store), "download": {"allow_http": True}}
    entry = model(web.url, experimental_configs={"nodeinit": store})
    config.write_text(yaml.safe_dump(entry))
    address = str(ray.get_runtime_context().gcs_address)
    program = Program(tmp_path / "home")
    with program.started("serve", str(config), "--address", address, "--name", "served") as run:
        lines = []
        assert run.stdout is not None
        while not (lines and lines[-1].startswith("Ctrl-C")):
            lines.append(run.stdout.readline().rstrip("\n"))
            assert lines[-1] or run.poll() is None, "\n".join(lines)
        assert f"ready: {serving.url}" in lines
        assert any("LLMServer:tiny" in line and "the engine starts" in line for line in lines)
        assert chat.complete(serving.url, "tiny")["usage"]["completion_tokens"] == 4
        program.interrupt(run)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    nothing_is_left(serving)


def test_the_ray_service_is_built(serving: Serving, tiny: Path) -> None:
    """What stands in the example, but for the GPUs and the hub that are not here."""
    from nodeinit.ray.llm import build_openai_app

    args = load_serve_file(RAY_SERVICE).data["applications"][0]["args"]
    (entry,) = args["llm_configs"]
    del entry["accelerator_type"]
    entry["model_loading_config"]["model_source"] = str(tiny)
    entry["experimental_configs"]["nodeinit"]["store"] = str(serving.store)
    app = build_openai_app(args)
    (bound,) = app._bound_deployment.init_kwargs["llm_deployments"].values()
    deployment = bound._bound_deployment
    assert deployment.name == "LLMServer:qwen-7b"
    config = deployment.init_kwargs["llm_config"]
    assert config.callback_config.callback_class == "nodeinit.ray.llm:NodeInitCallback"
    replica = deployment._replica_config
    assert replica.placement_group_bundles == [{"CPU": 1.0, "GPU": 1.0}, {"GPU": 1.0}]
    assert replica.placement_group_bundle_label_selector is None, "it may grow"


def test_the_deployment_of_one_model_has_the_parameters_of_rays(serving: Serving) -> None:
    from ray.serve.llm import build_llm_deployment as theirs

    from nodeinit.ray.llm import build_llm_deployment as ours

    mine, upstream = (inspect.signature(one).parameters for one in (ours, theirs))
    assert [(p.name, p.kind, p.default) for p in mine.values()] == [
        (p.name, p.kind, p.default) for p in upstream.values()
    ]


def test_a_single_deployment_is_held_to_its_hosts(serving: Serving, tiny: Path) -> None:
    from ray.serve.llm import LLMConfig

    from nodeinit.errors import ConfigError
    from nodeinit.ray.llm import build_llm_deployment

    config = LLMConfig(**model(str(tiny)))
    app = build_llm_deployment(
        config, name_prefix="My:", override_serve_options={"max_ongoing_requests": 7}
    )
    deployment = app._bound_deployment
    assert (deployment.name, deployment.max_ongoing_requests) == ("My:tiny", 7)
    (selector,) = deployment._replica_config.placement_group_bundle_label_selector
    cluster = RayCluster.connect()
    others = [h.node_id for h in asyncio.run(cluster.snapshot()).alive if h.free("CPU")]
    assert len(others) == 2
    assert selector[NODE_ID].removeprefix("!") in others
    assert config.deployment_config == {"num_replicas": 1}, "the user's config stays as it is"
    with pytest.raises(ConfigError, match="is not what was planned"):
        build_llm_deployment(config, override_serve_options={"placement_group_bundles": []})
