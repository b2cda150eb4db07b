"""Secrets of a config are never in what people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError

SECRET = "xyzzy-plugh-4711"
URL = f"https://user:{SECRET}@host/model?X-Amz-Signature={SECRET}"


def secretive() -> LLMConfig:
    return LLMConfig(
        model_id="a",
        model_source=URL,
        runtime_env={"env_vars": {"HF_TOKEN": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET, "A": "b"}},
        engine_kwargs={"hf_token": SECRET, "nested": [{"api_key": SECRET}], "max_tokens": 17},
        callback="a.b:C",
        callback_kwargs={"password": SECRET, "credentials": {"user": "u", "pass": SECRET}},
        nodeinit={"store": "/models"},
    )


def test_a_repr_hides_secrets_and_nothing_else() -> None:
    config = secretive()
    for text in (repr(config), str(config), f"{config}", repr(config.model_loading_config)):
        assert SECRET not in text
    for part in (
        "'max_tokens': 17",
        "'A': 'b'",
        "'HF_TOKEN': '***'",
        "https://user:***@host/model",
    ):
        assert part in repr(config)
    assert repr(config.nodeinit) == "Settings(store='/models')"


def test_the_secrets_themselves_are_kept() -> None:
    config = secretive()
    assert config.model_source == URL
    assert LLMConfig.from_dict(config.to_dict()) == config
    assert config.to_dict()["runtime_env"]["env_vars"]["HF_TOKEN"] == SECRET


@pytest.mark.parametrize(
    "text",
    [
        f"hf_token: {SECRET}",
        f"hf_tokn: {SECRET}",
        f"pasword: {SECRET}",
        f"env_vars: {{HF_TOKEN: {SECRET}}}",
        f"runtime_env: [{{HF_TOKEN: {SECRET}}}]",
        f"runtime_env: {{env_vars: {{HF_TOKEN: [{SECRET}]}}}}",
        f"runtime_env: {{env_vars: {{HF_TOKEN: a, HF_TOKEN: {SECRET}}}}}",
        f"runtime_env: {{env_var: {{HF_TOKEN: {SECRET}}}}}",
        f"callback_config: {{callback_kwargs: {{token: {SECRET}}}}}",
        f"callback_config: {{callback_class: 'https://u:{SECRET}@host/x'}}",
        f"lora_config: {{dynamic_lora_loading_path: 'http://u:{SECRET}@host/x'}}",
        f"llm_engine: 'https://host/x?sig={SECRET}'",
        f"engine_kwargs: {{secret: !tag {SECRET}}}",
        "llm_engine: hf_" + SECRET.replace("-", "") * 3,
    ],
)
def test_a_fault_never_shows_a_secret(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"model_loading_config: {{model_id: a}}\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        LLMConfig.load(file)
    told = str(caught.value) + repr(caught.value.faults)
    assert SECRET not in told
    assert SECRET.replace("-", "") not in told
    assert "***" in told


secrets = st.from_regex(r"[a-z]{6}[0-9]{6}", fullmatch=True)
keys = st.sampled_from(["token", "HF_TOKEN", "apiKey", "password", "client_secret", "credentials"])


@given(secrets, keys, st.sampled_from(["engine_kwargs", "runtime_env", "deployment_config"]))
def test_a_secret_is_hidden_wherever_it_stands(secret: str, key: str, field: str) -> None:
    asked: dict[str, Any] = {field: {"xx": [{"yy": {key: secret}}], key: {"zz": secret}}}
    assert secret not in repr(LLMConfig(model_id="a", **asked))
    with pytest.raises(ConfigError) as caught:
        LLMConfig(model_id="a", llm_engine=asked)  # type: ignore[arg-type]
    assert secret not in str(caught.value)
