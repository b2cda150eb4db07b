"""What `ray.serve.llm` is given by a node that is ready, and nothing else.

Source: ray 2.60 `ray/llm/_internal/serve/engines/vllm/vllm_engine.py` (`VLLMEngine.start`,
`_prepare_engine_config`) and `vllm_models.py` (`VLLMEngineConfig`), which 2.51 has alike.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup

from nodeinit.context import CallbackCtx, NodeModelDownloadable
from nodeinit.errors import PermanentError, nearest
from nodeinit.frozen import thaw

_PLANNED = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
_SERVES = ("model", "served_model_name", "distributed_executor_backend")


def hand_over(ctx: CallbackCtx, engine_config: Any, their_ctx: Any) -> None:
    """Give the results in `ctx` to an engine: its config and the context of Ray's callbacks.

    Raises `PermanentError` for keyword arguments that the engine does not have.
    """
    assert ctx.model is not None and ctx.placement is not None
    _add_kwargs(thaw(ctx.extra_init_kwargs), engine_config)
    if not brings_nothing(ctx):
        engine_config.hf_model_id = ctx.model.path
        # With a format that streams, Ray would take the bucket again and not what was verified.
        engine_config.mirror_config = None
    their_ctx.run_init_node = False
    their_ctx.custom_data.update(thaw(ctx.custom_data))
    if not ctx.placement.adopted:
        their_ctx.placement_group = PlacementGroup(
            ray.PlacementGroupID(bytes.fromhex(ctx.placement.group_id))
        )
    if ctx.runtime_env is not None:
        their_ctx.runtime_env = thaw(ctx.runtime_env)


def brings_nothing(ctx: CallbackCtx) -> bool:
    """Whether a hook said that the engine gets its model by itself, on every host."""
    modes = {ctx.local_node_download_model, ctx.worker_node_download_model}
    return modes == {NodeModelDownloadable.NONE}


def _add_kwargs(extra: dict[str, Any], engine_config: Any) -> None:
    """Put keyword arguments where Ray puts those of a config: with the engine's, or the frontend's."""
    if not extra:
        return
    models = sys.modules[type(engine_config).__module__]
    frontend = _fields(getattr(models, "FrontendArgs", None))
    known = _fields(getattr(models, "AsyncEngineArgs", None)) | frontend
    for name, value in extra.items():
        if name in _PLANNED and value != engine_config.engine_kwargs.get(name, 1):
            raise PermanentError(
                f"extra_init_kwargs: {name} is {engine_config.engine_kwargs.get(name, 1)} in the "
                f"plan that was followed, not {value!r}; set it in engine_kwargs of the config"
            )
        if name in _SERVES:
            raise PermanentError(f"extra_init_kwargs: {name} is set by Ray; leave it out")
        if known and name not in known:
            hint = nearest(name, known)
            meant = f"; did you mean {hint!r}?" if hint else ""
            raise PermanentError(f"extra_init_kwargs: vLLM has no argument {name!r}{meant}")
    for name, value in extra.items():
        there = engine_config.frontend_kwargs if name in frontend else engine_config.engine_kwargs
        there[name] = value


def _fields(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)} if kind is not None else set()
