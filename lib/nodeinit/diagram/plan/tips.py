"""What a pointer on a drawing is told: who is in a cell, with what, on which host."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from nodeinit.diagram.plan.cells import UNKNOWN, Cells, Piece, Slot, count, device
from nodeinit.diagram.plan.words import amounts
from nodeinit.placement.planned import Planned
from nodeinit.placement.topology import Host, amount, names


@attrs.frozen
class Tips:
    """Texts about the parts of one drawing."""

    planned: Planned
    cells: Cells
    called: dict[str, str]

    @classmethod
    def of(cls, planned: Planned, cells: Cells) -> Tips:
        """The texts about a plan."""
        return cls(planned, cells, names(planned.snapshot.hosts))

    def free(self, host: Host) -> str:
        """How much of a host stays free, in a few words."""
        if not host.alive:
            return "not alive"
        if not count(host):
            return f"no {device(host)}"
        total = int(host.total.get(device(host), 0))
        return f"{amount(self.cells.left(host)):g} of {amount(total):g} free"

    def host(self, host: Host) -> str:
        """A host with its labels."""
        labels = [f"{name}={value}" for name, value in sorted(host.labels.items())]
        return "\n".join([f"host {self.called[host.node_id]}", self.free(host), *labels])

    def nothing(self, host: Host) -> str:
        """A device that stays free."""
        return f"a free {device(host)}\nhost {self.called[host.node_id]}"

    def other(self, piece: Piece, host: Host) -> str:
        """What somebody else has of a device."""
        name = self.cells.group_names.get(piece.label)
        by = "others" if piece.label == UNKNOWN or name is None else f"group {name!r}"
        taken = f"{device(host)} {amount(piece.share):g} taken by {by}"
        return f"{taken}\nhost {self.called[host.node_id]}"

    def slot(self, slot: Slot, host: Host) -> str:
        """A bundle that is planned, and the worker in it."""
        _, replica, _ = self.planned.placed[slot.place]
        lines = [f"{slot.label}: bundle {slot.index} of {replica.name}"]
        if slot.rank is not None:
            lines[0] = (
                f"{slot.label}: worker of rank {slot.rank} of {replica.name}, in bundle {slot.index}"
            )
        if slot.engine:
            lines.append("here runs the engine")
        tp, pp = replica.request.tensor_parallel_size, replica.request.pipeline_parallel_size
        if slot.rank is not None and tp > 1:
            lines.append(
                f"tensor-parallel group {slot.tp_group}, {slot.rank % tp + 1} of {tp} in it"
            )
        if slot.stage is not None and pp > 1:
            lines.append(f"pipeline stage {slot.stage}, of {pp} from 0")
        return "\n".join([*lines, amounts(slot.bundle), f"host {self.called[host.node_id]}"])

    def slots(self, slots: Sequence[Slot], host: Host) -> str:
        """Several bundles that are drawn as one."""
        if len(slots) == 1:
            return self.slot(slots[0], host)
        shown = ", ".join(slot.label for slot in slots[:12])
        more = f" and {len(slots) - 12} more" if len(slots) > 12 else ""
        return f"{len(slots)} bundles: {shown}{more}\nhost {self.called[host.node_id]}"
