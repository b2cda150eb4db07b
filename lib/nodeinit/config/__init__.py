"""The configuration of an LLM deployment: what `ray.serve.llm` has, checked before it is used."""

from __future__ import annotations

from nodeinit.config.model import LLMConfig
from nodeinit.config.parts import ModelLoadingConfig, Settings
from nodeinit.config.schema import json_schema

__all__ = ["LLMConfig", "ModelLoadingConfig", "Settings", "json_schema"]
