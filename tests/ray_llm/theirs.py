"""The config that Ray gives the callback: its own where vLLM is there, else one that acts alike.

Ray's `LLMConfig` cannot be imported without pyarrow, nor its engine's without vLLM. Ours has the
fields and the methods that are used before the engine starts, and gets its placement group as
Ray's does.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import pydantic
from ray.util import get_current_placement_group, placement_group

REAL = importlib.util.find_spec("vllm") is not None


class EngineConfig:
    """What the engine is made of; `hf_model_id` and `mirror_config` say where its model is."""

    def __init__(self, config: Config) -> None:
        loading = config.model_loading_config
        source = loading.get("model_source") or loading["model_id"]
        remote = not isinstance(source, str) or source.startswith("s3://")
        self.hf_model_id = loading["model_id"] if remote else source
        self.mirror_config = source if remote else None
        self.engine_kwargs = dict(config.engine_kwargs)
        self.frontend_kwargs: dict[str, Any] = {}
        self.runtime_env = config.runtime_env

    def get_or_create_pg(self, bundles: list[dict[str, float]]) -> Any:
        return get_current_placement_group() or placement_group(bundles)

    def get_runtime_env_with_local_env_vars(self) -> dict[str, Any]:
        found = self.runtime_env or {}
        variables = found.setdefault("env_vars", {})
        if "HF_TOKEN" in os.environ:
            variables["HF_TOKEN"] = os.environ["HF_TOKEN"]
        return found


class Config(pydantic.BaseModel):
    model_loading_config: dict[str, Any]
    llm_engine: str = "vLLM"
    engine_kwargs: dict[str, Any] = {}
    accelerator_type: str | None = None
    accelerator_config: dict[str, Any] | None = None
    placement_group_config: dict[str, Any] | None = None
    deployment_config: dict[str, Any] = {}
    runtime_env: dict[str, Any] | None = None
    experimental_configs: dict[str, Any] = {}
    callback_config: dict[str, Any]

    _engine_config: EngineConfig | None = pydantic.PrivateAttr(None)
    _callback: Any = pydantic.PrivateAttr(None)

    def get_engine_config(self) -> EngineConfig:
        if self._engine_config is None:
            self._engine_config = EngineConfig(self)
        return self._engine_config

    def get_or_create_callback(self) -> Any:
        from nodeinit.ray.llm import NodeInitCallback

        if self._callback is None:
            engine = self.get_engine_config()
            size = engine.engine_kwargs.get("tensor_parallel_size", 1)
            group = engine.get_or_create_pg([{"GPU": 1}] * size)
            environment = engine.get_runtime_env_with_local_env_vars()
            self._callback = NodeInitCallback(
                raise_error_on_callback=self.callback_config.get("raise_error_on_callback", True),
                llm_config=self,
                ctx_kwargs={
                    "worker_node_download_model": "MODEL_AND_TOKENIZER",
                    "placement_group": group,
                    "runtime_env": environment,
                },
                **self.callback_config.get("callback_kwargs", {}),
            )
        return self._callback


def config(source: Any, **changes: Any) -> Any:
    """A config for GPUs with our callback in it, of Ray's own class where that can be had."""
    values: dict[str, Any] = {
        "model_loading_config": {"model_id": "tiny", "model_source": source},
        "callback_config": {"callback_class": "nodeinit.ray.llm:NodeInitCallback"},
    }
    values |= changes
    if not REAL:
        return Config(**values)
    from ray.serve.llm import LLMConfig

    return LLMConfig(**values)
