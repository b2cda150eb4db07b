"""What `nodeinit doctor` found on a cluster, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from nodeinit.amounts import seconds
from nodeinit.cli.doctoring.finding import Finding, bad, ok, warn
from nodeinit.placement.topology import Bundle, amount, names, total_of
from nodeinit.ray.books import Gap
from nodeinit.ray.checkup import Checkup, Waiting
from nodeinit.ray.leftovers import Kind, Leftover
from nodeinit.ray.posts import Posted


@attrs.frozen
class Findings:
    """A check-up, and what a sweep after it could not remove; `None` when there was none.

    `replicas` are those of Ray Serve that bring up nodes, as they said last.
    """

    checkup: Checkup
    failed: tuple[tuple[Leftover, str], ...] | None = None
    replicas: tuple[Posted, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing is left that holds or occupies anything."""
        left = self.checkup.leftovers if self.failed is None else [one for one, _ in self.failed]
        return all(leftover.kind is Kind.NOTE for leftover in left)

    def findings(self) -> Iterator[Finding]:
        """What was found, each with its remedy."""
        hosts = self.checkup.snapshot.hosts
        called = names(hosts)
        dead = [called[host.node_id] for host in hosts if not host.alive]
        listed = f", {len(dead)} dead ({', '.join(dead)})" if dead else ""
        yield ok(f"hosts: {len(hosts) - len(dead)} alive{listed}")
        free, total = self._gpus()
        yield ok(f"GPUs: {amount(free)} of {amount(total)} free")
        yield from (_waiting(waiting) for waiting in self.checkup.waiting)
        yield from (_gap(gap) for gap in self.checkup.gaps)
        yield from self._replicas()
        yield from self._left()

    def to_dict(self) -> dict[str, Any]:
        """The findings as JSON, amounts in units."""
        snapshot = self.checkup.snapshot
        called = names(snapshot.hosts)
        free, total = self._gpus()
        return {
            "clean": self.clean,
            "hosts": [
                {"node_id": h.node_id, "name": called[h.node_id], "alive": h.alive}
                for h in snapshot.hosts
            ],
            "gpus": {"total": amount(total), "free": amount(free)},
            "waiting": [
                {
                    "group_id": w.row.group_id,
                    "name": w.row.name,
                    "state": w.row.state,
                    "reason": w.row.reason,
                    "tries": w.row.tries,
                    "tries_per_second": w.rate,
                    "age": round(w.age, 1),
                    "blocks": w.blocks,
                    "asks": _units(w.row.bundles),
                }
                for w in self.checkup.waiting
            ],
            "gaps": [
                {
                    "node_id": gap.node_id,
                    "host": gap.host,
                    "resource": gap.resource,
                    "taken": amount(gap.taken),
                    "actors": list(gap.outsiders),
                    "unknown": amount(gap.unknown),
                }
                for gap in self.checkup.gaps
            ],
            "replicas": [replica.to_dict() for replica in self.replicas],
            "leftovers": [self._leftover(leftover) for leftover in self.checkup.leftovers],
        }

    def _gpus(self) -> tuple[int, int]:
        alive = self.checkup.snapshot.alive
        total = sum(int(host.total.get("GPU", 0)) for host in alive)
        return sum(host.free("GPU") for host in alive), total

    def _replicas(self) -> Iterator[Finding]:
        for replica in self.replicas:
            status = replica.status
            says = f"replica {replica.app}/{replica.deployment}/{replica.replica}: {status.explain}"
            if status.over:
                yield bad(says, "Serve replaces it; mend what it says, or delete the application")
            elif status.reason is not None and not status.ready:
                yield warn(says, "it tries again by itself; see its log for more")
            else:
                yield ok(says)

    def _left(self) -> Iterator[Finding]:
        stays = {id(leftover): why for leftover, why in self.failed or ()}
        for leftover in self.checkup.leftovers:
            what = self._what(leftover)
            if self.failed is None:
                says = f"left over: {what}: {leftover.why}"
                found = warn if leftover.kind is Kind.NOTE else bad
                yield found(says, "remove it: `nodeinit doctor --sweep`")
            elif id(leftover) in stays:
                remedy = "sweep again when the host answers; its resources are held until then"
                yield bad(f"COULD NOT remove {what}: {stays[id(leftover)]}", remedy)
            else:
                yield ok(f"removed {what}: {leftover.why}")
        if not self.checkup.leftovers:
            yield ok("nothing is left over")

    def _what(self, leftover: Leftover) -> str:
        called = names(self.checkup.snapshot.hosts)
        if leftover.trace is not None:
            host = called.get(leftover.trace.node_id, leftover.trace.node_id)
            return f"fetch {leftover.name} on {host}"
        if leftover.row is None:
            return f"the note of group {leftover.name}, which is gone"
        on = dict.fromkeys(called.get(n, n) for n in leftover.row.node_ids if n is not None)
        where = f" on {', '.join(on)}" if on else ""
        return f"group {leftover.name} with {_asks(leftover.row.bundles)}{where}"

    def _leftover(self, leftover: Leftover) -> dict[str, Any]:
        row = leftover.row
        stays = {id(one): why for one, why in self.failed or ()}
        return {
            "kind": str(leftover.kind),
            "name": leftover.name,
            "owner": str(leftover.owner),
            "why": leftover.why,
            "group_id": row.group_id if row else None,
            "holds": _units(row.bundles) if row else {},
            "node_ids": list(dict.fromkeys(n for n in row.node_ids if n)) if row else [],
            "removed": self.failed is not None and id(leftover) not in stays,
            "error": stays.get(id(leftover)),
        }


def _waiting(waiting: Waiting) -> Finding:
    row = waiting.row
    what = f"group {row.name or row.group_id} with {_asks(row.bundles)}: {row.state}"
    if waiting.blocks:
        return bad(
            f"blocking: {what}: it lost a host, and Ray tries to place it {waiting.rate:.0f} times "
            "a second before any other group (ray#65970)",
            "remove it, or free what it needs",
        )
    tries = "one try" if row.tries == 1 else f"{row.tries} tries"
    says = f"waiting: {what} for {seconds(waiting.age)}, {tries}: {row.reason}"
    return warn(says, "`nodeinit plan CONFIG` says what it lacks; free that, or add a host")


def _gap(gap: Gap) -> Finding:
    if gap.taken < 0:
        says = f"groups hold {amount(-gap.taken)} {gap.resource} more than Ray counts as taken"
        return warn(
            f"books: {gap.host}: {says}", "look again in a moment: Ray's reports lag behind"
        )
    text = f"books: {gap.host}: {amount(gap.taken)} {gap.resource} taken outside groups"
    if gap.outsiders:
        text += f", by the actors {', '.join(gap.outsiders)}"
    if gap.unknown <= 0:
        return ok(text)
    also = f"{amount(gap.unknown)} of them " if gap.outsiders else ""
    text += f"; {also}by nobody known: tasks outside groups, or leaked by Ray (ray#64693)"
    return warn(text, "if no task uses them, restart Ray on that host to have them back")


def _units(bundles: Iterable[Bundle]) -> dict[str, float]:
    bundles = tuple(bundles)
    every = sorted({name for bundle in bundles for name in bundle.resources})
    return {name: amount(total_of(bundles, name)) for name in every}


def _asks(bundles: Iterable[Bundle]) -> str:
    units = _units(bundles)
    return ", ".join(f"{value:g} {name}" for name, value in units.items()) or "nothing"
