"""Importing the config is cheap: what only a check, a file or Ray needs is imported then."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("ray", "yaml", "jsonschema", "vllm", "torch", "pyarrow", "pydantic")


def imported_after(code: str) -> set[str]:
    code += f"\nimport sys\nprint(*({HEAVY!r} & sys.modules.keys()))"
    code = code.replace(f"{HEAVY!r} &", f"set({HEAVY!r}) &")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_the_config_imports_nothing_heavy() -> None:
    assert imported_after("import nodeinit.config, nodeinit.redact") == set()


def test_making_a_config_imports_the_validator_only() -> None:
    code = "from nodeinit.config import LLMConfig; LLMConfig(model_id='a')"
    assert imported_after(code) == {"jsonschema"}
