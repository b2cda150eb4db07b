"""What a node under Ray Serve is called, and where it writes its journal."""

from __future__ import annotations

import re
import tempfile
import uuid
from pathlib import Path

from ray._private import worker


def node_name(model_id: str) -> str:
    """A name that a person finds again in Serve: of the model and the replica, unique."""
    return f"{kin(model_id)}{_replica() or uuid.uuid4().hex[:8]}"


def kin(model_id: str) -> str:
    """What the names of all nodes of a model begin with."""
    slug = re.sub(r"[^a-zA-Z0-9]+", "-", model_id).strip("-").lower()[:40] or "node"
    return f"{slug}-"


def _replica() -> str | None:
    from ray import serve
    from ray.serve.exceptions import RayServeException

    try:
        context = serve.get_replica_context()
    except RayServeException:
        return None
    return str(context.replica_id.unique_id)


def journal_in_session() -> Path:
    """The directory for journals among the logs of Ray's session, which its dashboard shows."""
    node = worker._global_node
    logs = node.get_logs_dir_path() if node is not None else tempfile.gettempdir()
    return Path(logs) / "nodeinit"
