"""Which hosts of a cluster `--hosts` means."""

from __future__ import annotations

from nodeinit.errors import ConfigError, Fault, nearest
from nodeinit.placement.topology import ClusterSnapshot


def picked(text: str, snapshot: ClusterSnapshot) -> tuple[str, ...]:
    """The ids of the hosts that are meant by `all`, a number, or names and ids with commas.

    Raises `ConfigError` with the nearest name for what is no host, and for more than there are.
    """
    living = [host for host in snapshot.hosts if host.alive]
    if text.strip().lower() == "all":
        return tuple(host.node_id for host in living)
    if text.strip().isdecimal() and not any(host.node_id == text.strip() for host in living):
        count = int(text)
        if not 1 <= count <= len(living):
            raise _fault(text, f"the cluster has {len(living)} living hosts")
        return tuple(host.node_id for host in living[:count])
    found: dict[str, None] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        meant = [h.node_id for h in living if word == h.name or h.node_id.startswith(word)]
        if len(meant) != 1:
            names = sorted({name for host in living for name in (host.name, host.node_id[:8])})
            hint = nearest(word, names)
            remedy = f"did you mean {hint!r}?" if hint else f"there are {', '.join(names)}"
            problem = f"{word!r} names {len(meant)} hosts; give ids" if meant else remedy
            raise _fault(text, problem)
        found[meant[0]] = None
    if not found:
        raise _fault(text, "give all, how many, or names")
    return tuple(found)


def _fault(text: str, remedy: str) -> ConfigError:
    fault = Fault("--hosts", "is not a choice of hosts", repr(text), remedy)
    return ConfigError(fault, source="command line")
