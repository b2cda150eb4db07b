"""Where the program keeps what is its own: the demo's model, journals, the default store."""

from __future__ import annotations

import os
import re
import uuid
from datetime import datetime
from pathlib import Path

HOME_VARIABLE = "NODEINIT_HOME"


def home() -> Path:
    """The directory of the program: `$NODEINIT_HOME`, else `~/.cache/nodeinit`."""
    return Path(os.environ.get(HOME_VARIABLE) or "~/.cache/nodeinit").expanduser().absolute()


def run_name(model_id: str) -> str:
    """A name for one run, unique on its cluster, that sorts by time: it names the journal too."""
    slug = re.sub(r"[^a-zA-Z0-9]+", "-", model_id).strip("-").lower()[:40] or "node"
    return f"{slug}-{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"


def journal_path(name: str) -> Path:
    """Where the journal of a run goes unless its user says otherwise."""
    return home() / "journals" / f"{name}.jsonl"
