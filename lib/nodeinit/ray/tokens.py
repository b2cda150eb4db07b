"""The token that a Ray of this process is guarded by.

Ray 2.60 guards a cluster that it starts with a token, which it makes and saves in the user's home.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def provide_token() -> None:
    """Make sure that Ray will find a token or can save one. Changes nothing where that is so.

    Without a home to write to (containers often have none) the token lives in the environment of
    this process and of those that it starts, and nowhere else.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return  # the user's decision
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    try:
        folder = Path.home() / ".ray"
        # Ray writes the file with the permissions of the umask: the directory keeps others out.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (folder / "auth_token").exists() and not os.access(folder, os.W_OK):
            raise PermissionError(folder)
    except (OSError, RuntimeError):  # RuntimeError: no home at all
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def show_token() -> None:
    """Use the token that this user's own clusters on this machine have, if there is one."""
    with contextlib.suppress(ImportError):  # before Ray 2.60 there were none, unless asked for
        from ray._private.authentication import authentication_token_setup as setup

        setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
