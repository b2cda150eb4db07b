"""Graphviz itself, where it is installed: it makes pictures of our DOT source."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

from nodeinit.errors import ConfigError, Fault

FORMATS = ("png", "pdf", "svg")
"""What it is asked to draw."""

_DEADLINE = 60.0  # seconds; a machine takes a fraction of one
_REMEDY = (
    "install Graphviz (`apt install graphviz`, `brew install graphviz`) or the wheel that has it "
    "(`pip install 'nodeinit[graphviz]'`); .svg, .html and .mmd need neither"
)


def program() -> str | None:
    """The path of Graphviz's `dot`, or of that in a wheel beside us; `None` if there is neither."""
    beside = Path(sysconfig.get_path("scripts")) / "graphviz-pure"
    found = shutil.which("dot") or shutil.which("graphviz-pure")
    return found or (str(beside) if beside.exists() else None)


def drawn(source: str, format: str) -> bytes:
    """A picture of a DOT source. Raises `ConfigError` saying what to install, or what went wrong."""
    found = program()
    if found is None:
        raise ConfigError(Fault("Graphviz", "is not installed", remedy=_REMEDY))
    command = [found, f"-T{format}"]
    try:
        done = subprocess.run(
            command, input=source.encode(), capture_output=True, timeout=_DEADLINE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(Fault("Graphviz", f"could not draw: {error}", repr(found))) from error
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
        raise ConfigError(Fault("Graphviz", f"could not draw: {said}", repr(found)))
    return done.stdout
