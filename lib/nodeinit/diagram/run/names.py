"""What to call the hosts of a run: the same in every part of its picture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from nodeinit.diagram.run.record import RunRecord

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8,}(?![0-9a-f])")
_LONG = 28  # characters from which on an id is only shown in part


def host_names(run: RunRecord) -> Callable[[str], str]:
    """A function from a node id to a name: the host's, with its id where others share it."""
    called: dict[str, str] = {}
    for note in run.notes:
        if note.kind == "cluster":
            for node in note.data.get("nodes", ()):
                called[str(node.get("node_id", ""))] = str(node.get("name", ""))
    observed = getattr(run.ctx, "observed", None)
    for host in observed.hosts if observed is not None else ():
        called[host.node_id] = host.name
    number = Counter(called.values())

    def name(node_id: str) -> str:
        short = node_id[:8]
        found = called.get(node_id, "")
        if not found or found == node_id:
            return short
        return found if number[found] == 1 else f"{found} ({short})"

    return name


def readable(run: RunRecord) -> Callable[[str], str]:
    """A function that puts names of hosts for their ids into a text, and shortens other long ids."""
    called = host_names(run)

    def named(found: re.Match[str]) -> str:
        id = found[0]
        name = called(id)
        return name if name != id[:8] or len(id) >= _LONG else id

    return lambda text: _ID.sub(named, text)
