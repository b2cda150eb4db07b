"""Which keys to models and clusters are there. That they are is all that is ever said of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from nodeinit.cli.doctoring.finding import Finding, ok, warn
from nodeinit.redact import redact_text

_HUB = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_STORES = (
    ("S3", ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")),
    ("Google Cloud Storage", ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT")),
    ("Azure", ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_CLIENT_ID", "AZURE_STORAGE_SAS_TOKEN")),
)
_TRUE = {"1", "on", "yes", "true"}


def access(environ: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Which keys this process would use, by where they come from."""
    env = os.environ if environ is None else environ
    yield _hub(env)
    if env.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
        remedy = "unset HF_HUB_OFFLINE to fetch from the Hugging Face Hub"
        yield warn("HF_HUB_OFFLINE is set: nothing is fetched from the Hub", remedy)
    if endpoint := env.get("HF_ENDPOINT"):
        yield ok(f"Hugging Face Hub: asked at {redact_text(endpoint)} (HF_ENDPOINT)")
    for name, variables in _STORES:
        if found := [variable for variable in variables if env.get(variable)]:
            yield ok(f"{name}: keys come from {', '.join(found)}")
    if env.get("RAY_AUTH_MODE"):
        yield ok(f"Ray: RAY_AUTH_MODE={env['RAY_AUTH_MODE']}")


def _hub(env: Mapping[str, str]) -> Finding:
    if found := next((name for name in _HUB if env.get(name)), None):
        return ok(f"Hugging Face Hub: a token is there ({found})")
    home = Path(env.get("HF_HOME") or Path(env.get("HOME", "~"), ".cache", "huggingface"))
    path = Path(env.get("HF_TOKEN_PATH") or home / "token").expanduser()
    try:
        if path.read_text().strip():
            return ok(f"Hugging Face Hub: a token is there ({path})")
    except OSError:
        pass
    return ok("Hugging Face Hub: no token, so models that are gated or private cannot be fetched")
