"""Keys from `~/.aws/credentials` and a region from `~/.aws/config`, which `obstore` does not read.

The user's own variables come first, then the role of a pod or a task, as for every AWS client.
"""

from __future__ import annotations

import configparser
from pathlib import Path

from nodeinit.errors import PermanentError

_OTHERS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def profile_keys(given: dict[str, str]) -> dict[str, str]:
    """The variables that the user's profile stands for; none where others give the keys.

    Raises `PermanentError` for a profile that was asked for by name and cannot be had.
    """
    if any(given.get(name) for name in _OTHERS):
        return {}
    name = given.get("AWS_PROFILE")
    file = _file(given, "AWS_SHARED_CREDENTIALS_FILE", "credentials")
    section = _section(file, name or "default")
    keys = {key: section[key.lower()] for key in _KEYS if section.get(key.lower())}
    if {*_KEYS[:2]} <= set(keys):
        return keys
    if not name:
        return {}
    raise PermanentError(
        f"auth: the AWS profile {name!r} (AWS_PROFILE) has no pair of keys in {file}; for a profile "
        "of another kind put its keys into the environment: "
        f"eval $(aws configure export-credentials --profile {name} --format env)"
    )


def profile_region(given: dict[str, str]) -> dict[str, str]:
    """The region that the user's profile names; none where a variable gives one."""
    if given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION"):
        return {}
    name = given.get("AWS_PROFILE") or "default"
    file = _file(given, "AWS_CONFIG_FILE", "config")
    region = _section(file, name if name == "default" else f"profile {name}").get("region")
    return {"AWS_REGION": region} if region else {}


def _file(given: dict[str, str], variable: str, name: str) -> Path:
    home = Path(given.get("HOME", "/nonexistent"))
    return Path(given.get(variable) or home / ".aws" / name).expanduser()


def _section(file: Path, name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
    except (OSError, configparser.Error, UnicodeDecodeError):
        # Not the error's own text: it quotes lines of the file.
        raise PermanentError(f"auth: {file} cannot be read as a file of AWS profiles") from None
    return dict(parser[name]) if parser.has_section(name) else {}
