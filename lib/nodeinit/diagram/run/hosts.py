"""What each host was at, and when: from what was held on it and what was noted of it."""

from __future__ import annotations

from nodeinit.diagram.run.record import RunRecord
from nodeinit.diagram.run.spans import Span
from nodeinit.diagram.run.works import Work
from nodeinit.fsm.events import Event, Frame
from nodeinit.fsm.journal import Note
from nodeinit.fsm.snapshot import Step


def by_host(run: RunRecord) -> dict[str, list[Span]]:
    """What each host of the run was at, by node id, in the order in which hosts came into it."""
    return _Hosts(run).read()


def known_hosts(run: RunRecord) -> frozenset[str]:
    """The ids of all hosts that the run tells of."""
    found: set[str] = set()
    for note in run.notes:
        if note.kind == "cluster":
            found.update(str(node.get("node_id")) for node in note.data.get("nodes", ()))
        elif note.kind == "progress":
            found.add(str(note.data.get("node_id")))
    last = None
    for step in run.steps:
        plan = getattr(step.after.ctx, "plan", None)
        if plan is not last and plan is not None:
            last = plan
            found.update(plan.hosts)
    return frozenset(found - {""})


class _Hosts:
    """Reads steps and notes side by side, by their times."""

    def __init__(self, run: RunRecord) -> None:
        self.run = run
        self.spans: dict[str, list[Span]] = {}
        self.works: dict[tuple[str, str], tuple[tuple[str, ...], Work]] = {}
        self.alone: dict[str, Work] = {}  # what is held on one host only, by its node id
        self.loose: dict[str, Work] = {}  # progress of hosts of which nothing is held
        self.known = known_hosts(run)

    def read(self) -> dict[str, list[Span]]:
        notes = [n for n in self.run.notes if n.kind == "progress" and n.data.get("node_id")]
        place = 0
        for step in self.run.steps:
            while place < len(notes) and notes[place].at <= step.at:
                self._note(notes[place])
                place += 1
            self._step(step)
        for note in notes[place:]:
            self._note(note)
        for key in list(self.works):
            self._end(key, self.run.until, failed=False, open=True)
        for node_id in list(self.loose):
            self._end_loose(node_id, self.run.until, open=True)
        for spans in self.spans.values():
            spans.sort(key=lambda span: span.begin)
        return self.spans

    def _step(self, step: Step) -> None:
        held = step.occurred.held
        if step.accepted and held is not None:
            if step.occurred.event is Event.ACQUIRING:
                hosts = self._hosts_of(step, held.name)
                work = Work(held.kind, held.name, step.at)
                self.works[held.key] = hosts, work
                if len(hosts) == 1 and held.name.endswith(f"-{hosts[0]}"):
                    self.alone[hosts[0]] = work
                for node_id in hosts:
                    self.spans.setdefault(node_id, [])
            elif step.occurred.event is Event.ACQUIRED and held.key in self.works:
                hosts, work = self.works[held.key]
                work.confirmed = step.at
                # Ray may have chosen other hosts than planned: what is read back counts.
            elif held.key in self.works:
                # An activity that gives back itself what it holds is done with it.
                itself = step.occurred.event is Event.DROPPED
                itself = itself and step.before.state in (held.phase, self.run.machine.goal)
                self._end(held.key, step.at, failed=not itself and not self._was_ready(step))
        if step.before.state != step.after.state:
            for node_id in list(self.loose):
                self._end_loose(node_id, step.at)
            self._placed(step)

    def _was_ready(self, step: Step) -> bool:
        now = step.after
        return str(now.outcome) == Frame.RELEASED

    def _placed(self, step: Step) -> None:
        """The group is on the hosts that were read back, whatever was planned."""
        placement = getattr(step.after.ctx, "placement", None)
        if placement is None or placement is getattr(step.before.ctx, "placement", None):
            return
        for key, (_, work) in list(self.works.items()):
            if work.name == placement.name:
                self.works[key] = tuple(placement.hosts), work
                for node_id in placement.hosts:
                    self.spans.setdefault(node_id, [])

    def _hosts_of(self, step: Step, name: str) -> tuple[str, ...]:
        """The host that something is held on, whose id ends its name, or all hosts of the plan."""
        end = name.rpartition("-")[2]
        if end in self.known:
            return (end,)
        plan = getattr(step.after.ctx, "plan", None)
        hosts: tuple[str, ...] = () if plan is None else plan.hosts
        return tuple(node_id for node_id in hosts if name.endswith(f"-{node_id}")) or hosts

    def _note(self, note: Note) -> None:
        node_id = str(note.data["node_id"])
        if node_id in self.alone:
            self.alone[node_id].notes.append(note)
            return
        work = self.loose.setdefault(node_id, Work("fetch", "", note.at))
        work.notes.append(note)
        self.spans.setdefault(node_id, [])

    def _end(self, key: tuple[str, str], at: float, *, failed: bool, open: bool = False) -> None:
        hosts, work = self.works.pop(key)
        if len(hosts) == 1 and self.alone.get(hosts[0]) is work:
            del self.alone[hosts[0]]
        for node_id in hosts:
            span = (work.alone if work.notes or len(hosts) == 1 else work.shared)(
                at, failed=failed, open=open
            )
            self.spans.setdefault(node_id, []).append(span)

    def _end_loose(self, node_id: str, at: float, *, open: bool = False) -> None:
        work = self.loose.pop(node_id)
        last = work.notes[-1]
        self.spans[node_id].append(work.alone(at if open else last.at, failed=False, open=open))
