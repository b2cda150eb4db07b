"""An application of one's own with a small engine in the place of vLLM, on the real Ray Serve.

    import_path: tests.ray_llm.engine:build           for `nodeinit serve`, which prepares the args
    import_path: tests.ray_llm.engine:build_planned   prepares them itself, where Serve builds it

It takes the `args` of `ray.serve.llm:build_openai_app`. A replica reserves what Ray Serve LLM would
reserve, and its node comes up in its constructor, as under `NodeInitCallback`. It then answers with
what it has.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ray import serve
from ray.util import get_current_placement_group

from nodeinit.callbacks import CallbackSpec
from nodeinit.config import LLMConfig
from nodeinit.frozen import thaw
from nodeinit.node.initializer import NodeInitializer
from nodeinit.placement.serve_bundles import serve_request
from nodeinit.ray.llm.background import Background
from nodeinit.ray.llm.group import AdoptsServesGroup
from nodeinit.ray.llm.live import prepared_live
from nodeinit.ray.llm.naming import node_name


class Engine:
    """Reads the model that its node brought, and says where it is."""

    async def __init__(self, entry: dict[str, Any]) -> None:
        config = LLMConfig.from_dict(entry)
        adopts = CallbackSpec(AdoptsServesGroup(get_current_placement_group(), None))
        config = config.evolve(callbacks=(adopts, *config.callbacks))
        name = node_name(config.model_id)
        self._background = Background(lambda: NodeInitializer(config, name=name), 60.0)
        await self._background.bring_up()

    def __call__(self) -> dict[str, Any]:
        """What the node of this replica came to."""
        assert self._background.node is not None
        ctx = self._background.node.ctx
        assert ctx.model is not None and ctx.placement is not None
        return {
            "path": ctx.model.path,
            "weights": sum(len(p.read_bytes()) for p in Path(ctx.model.path).glob("*.safetensors")),
            "fetched": sum(report.fetched for report in ctx.nodes.values()),
            "hosts": ctx.placement.hosts,
            "replica": serve.get_replica_context().replica_id.unique_id,
            "pid": os.getpid(),
        }


class Front:
    """Takes the requests: `GET /MODEL` asks the engine of a model."""

    def __init__(self, engines: dict[str, Any]) -> None:
        self._engines = engines

    async def __call__(self, request: Any) -> Any:
        """What an engine says."""
        return await self._engines[request.url.path.rpartition("/")[2]].remote()


def build(args: dict[str, Any]) -> Any:
    """The application of these models."""
    engines = {}
    for entry in args["llm_configs"]:
        config = LLMConfig.from_dict(entry)
        request = serve_request(config)
        options = {
            **thaw(config.deployment_config),
            "name": f"Engine:{config.model_id}",
            "placement_group_bundles": [bundle.units() for bundle in request.bundles],
            "placement_group_strategy": request.strategy,
        }
        engines[config.model_id] = serve.deployment(Engine).options(**options).bind(entry)
    front = serve.deployment(Front).options(ray_actor_options={"num_cpus": 0})
    return front.bind(engines)


def build_planned(args: dict[str, Any]) -> Any:
    """The same, planned first, as the builders of `nodeinit.ray.llm` do it."""
    entries = args["llm_configs"]
    found = prepared_live([LLMConfig.from_dict(entry) for entry in entries])
    pairs = zip(entries, found.models, strict=True)
    return build({"llm_configs": [{**entry, **model.changes} for entry, model in pairs]})
