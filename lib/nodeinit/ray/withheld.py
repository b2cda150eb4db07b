"""Keys of a runtime environment that Ray is not told.

Ray writes `env_vars` into the command line of the process that it starts, which every user of the
host can read, and shows them in its lists of actors. The keys that sources of models need go to
the process as an argument of its actor instead. Others stay: Ray's own installers may need them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from nodeinit.frozen import thaw
from nodeinit.redact import is_secret

_OF_SOURCES = ("AWS_", "AZURE_", "GOOGLE_", "HF_", "HUGGING_FACE_")


def split(runtime_env: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """What Ray is told, and the variables that it is not."""
    if runtime_env is None:
        return None, {}
    told: dict[str, Any] = thaw(runtime_env)
    variables = told.get("env_vars")
    if not isinstance(variables, dict):
        return told, {}
    kept = {
        name: value
        for name, value in variables.items()
        if isinstance(name, str) and name.startswith(_OF_SOURCES) and is_secret(name)
    }
    told["env_vars"] = {name: value for name, value in variables.items() if name not in kept}
    return told, kept


def put(variables: Mapping[str, str]) -> None:
    """Set withheld variables in this process, as Ray would have: `${NAME}` is filled in."""
    os.environ.update({name: os.path.expandvars(value) for name, value in variables.items()})
