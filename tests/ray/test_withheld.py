from __future__ import annotations

import os

import pytest

from nodeinit.frozen import freeze_map
from nodeinit.ray import withheld


def test_keys_of_sources_are_withheld_and_all_else_is_told() -> None:
    variables = {
        "AWS_SECRET_ACCESS_KEY": "planted",
        "AZURE_STORAGE_CONNECTION_STRING": "planted",
        "HF_TOKEN": "planted",
        "AWS_REGION": "here",
        "PIP_PASSWORD": "for Ray's installer",
        "OTHER": "x",
    }
    given = freeze_map({"env_vars": variables, "pip": ["numpy"]}, "runtime_env")
    told, kept = withheld.split(given)
    assert told == {
        "env_vars": {name: variables[name] for name in ("AWS_REGION", "PIP_PASSWORD", "OTHER")},
        "pip": ["numpy"],
    }
    assert set(kept.values()) == {"planted"} and len(kept) == 3
    assert withheld.split(None) == (None, {})
    assert withheld.split({"pip": []}) == ({"pip": []}, {})


def test_names_in_a_withheld_value_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_HOST", "there")
    monkeypatch.setenv("HF_TOKEN", "before")
    withheld.put({"HF_TOKEN": "${OF_THE_HOST}/x"})
    assert os.environ["HF_TOKEN"] == "there/x"
