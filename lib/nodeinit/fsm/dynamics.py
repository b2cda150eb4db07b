"""Laws of any machine, whatever its activities and hooks do: judged in every situation it can be in.

What `nodeinit.fsm.checks` finds is wrong with the table as it stands. What is found here shows only
when the table is run: guards that turn everything down, counters that nobody keeps, a cancel that
leads elsewhere, a way that goes round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import attrs

from nodeinit.fsm.definition import Definition, Edge
from nodeinit.fsm.events import FINALS, Event, Frame
from nodeinit.fsm.policy import PhasePolicy, Policy
from nodeinit.fsm.situations import BOUND, Exploration, Key, Situation, explore

FEW = Policy(default=PhasePolicy(attempts=2), replans=2)
"""Small numbers show what larger ones would: with each try more there are only more of the same."""


@attrs.frozen
class Broken:
    """A law that a machine breaks: where, what is wrong, what to do, and a shortest way there."""

    law: str
    machine: str
    state: str
    problem: str
    remedy: str
    event: str = ""
    way: tuple[str, ...] = ()

    def __str__(self) -> str:
        way = f" (after {', '.join(self.way)})" if self.way else ""
        return f"[{self.law}] {self.machine}: {self.problem}{way}; {self.remedy}"


@attrs.frozen
class Dynamics:
    """What came of it: how many situations and edges there are, and the laws that are broken.

    `complete` says that every situation was looked at, so what is not broken here holds always
    (for the counters of the policy; a guard that looks at the context may answer either way).
    """

    machine: str
    situations: int
    edges: tuple[int, int]
    complete: bool
    broken: tuple[Broken, ...] = ()

    def __str__(self) -> str:
        whole = "all" if self.complete else "the first"
        taken = f"{self.edges[0]}/{self.edges[1]} edges"
        return f"{whole} {self.situations} situations, {taken}"


def judge(definition: Definition, policy: Policy = FEW, *, bound: int = BOUND) -> Dynamics:
    """Every law in every situation, with and without healing; each law once for a state and event."""
    found = [
        explore(definition, attrs.evolve(policy, heal=heal), bound=bound) for heal in (True, False)
    ]
    singles = found[0].singles
    taken = found[0].taken | found[1].taken
    complete = all(each.complete for each in found)
    broken: dict[tuple[str, str, str], Broken] = {}
    for each in found:
        for law in _LAWS:
            for one in law(each):
                broken.setdefault((one.law, one.state, one.event), one)
    last: list[Broken] = []
    if complete:
        seen = {s.state for each in found for s in each.situations.values()}
        last = [*_unreached(definition, seen), *_dead(definition, singles, taken)]
    return Dynamics(
        machine=definition.name,
        situations=sum(len(each.situations) for each in found),
        edges=(len(taken), len(singles)),
        complete=complete,
        broken=(*broken.values(), *last),
    )


# -- the laws --------------------------------------------------------------------------------------


def _finals_absorb(found: Exploration) -> Iterator[Broken]:
    """Nothing happens any more in a final state."""
    for key, here in _in(found, lambda state: state in FINALS):
        for move in here.moves:
            if move.target is not None:
                problem = f"{here.state} is final, but `{move}` leads out of it"
                remedy = "remove that edge"
                yield _broken(found, "final", key, problem, remedy, move.event)


def _bounded(found: Exploration) -> Iterator[Broken]:
    """Nothing is tried again and again without an end."""
    for key, here in found.situations.items():
        if here.overdrawn:
            assert here.came is not None
            remedy = "guard the edge with attempts_left or replans_left"
            yield _broken(found, "bounded", key, here.overdrawn, remedy, here.came[1].event)
    circle = _circle(found)
    if circle:
        states = " -> ".join(found.situations[key].state for key in (*circle, circle[0]))
        problem = f"it can go round for ever: {states}"
        remedy = "count the rounds: lead back through backoff and retry, or with replans_left"
        yield _broken(found, "bounded", circle[0], problem, remedy)


def _cancelled(found: Exploration) -> Iterator[Broken]:
    """A cancel leads out of every state before the end, and to a cancelled node."""
    ends_so = Frame.CANCELLED in found.definition.states
    leaving = {*FINALS, str(Frame.RELEASING), found.definition.goal}
    for key, here in _in(found, lambda state: state not in leaving):
        for move in here.moves:
            if move.event is not Event.CANCEL:
                continue
            there = found.situations.get(move.target) if move.target is not None else None
            remedy = f"lead `cancel` from {here.state} to releasing, without a guard"
            if there is None or there.state != Frame.RELEASING:
                what = f"leads to {there.state}" if there else "is refused"
                problem = f"in {here.state} `{move}` {what}"
                yield _broken(found, "cancel", key, problem, remedy, move.event)
                continue
            ends = {e.state for e in _after(found, there, Event.UNDONE)} - {Frame.CANCELLED}
            if ends and ends_so:
                problem = f"a cancel in {here.state} ends in {', '.join(sorted(ends))}"
                remedy = "let releasing lead to `cancelled` with ends_in(cancelled)"
                yield _broken(found, "cancel", key, problem, remedy, move.event)


def _answered(found: Exploration) -> Iterator[Broken]:
    """What the engine itself brings about is never refused: there the machine would hang."""
    phases = {phase.state for phase in found.definition.phases}
    work = (Event.DONE, Event.ERRORED, Event.ELAPSED)
    wanted: dict[str, tuple[Event, ...]] = {
        **dict.fromkeys(phases, work),
        str(Frame.BACKOFF): (Event.RETRY,),
        str(Frame.RELEASING): (Event.UNDONE,),
        found.definition.initial: (Event.START,),
        found.definition.goal: (Event.LOST,) if found.definition.watch is not None else (),
    }
    for key, here in found.situations.items():
        for move in here.moves:
            if move.target is None and move.event in wanted.get(here.state, ()):
                problem = f"in {here.state} `{move}` is refused, and nothing else will come"
                remedy = f"let the last edge from {here.state} on `{move.event}` have no guard"
                yield _broken(found, "trap", key, problem, remedy, move.event)


def _live(found: Exploration) -> Iterator[Broken]:
    """When nothing goes wrong any more, every situation leads to the goal or to an end."""
    good: set[Key] = set()
    for key in found.situations:
        way: list[Key] = []
        at: Key | None = key
        while at is not None and at not in good and at not in way:
            here = found.situations[at]
            if here.state in FINALS or here.state == found.definition.goal or here.overdrawn:
                break
            way.append(at)
            kind = next((move for move in here.moves if move.kind and move.target), None)
            at = kind.target if kind else None
        if at is not None and at not in way:
            good.update(way)
            continue
        state = found.situations[way[-1] if at is None else at].state
        how = "stays there" if at is None else "comes back there again and again"
        problem = f"with nothing going wrong it gets to {state} and {how}"
        remedy = f"lead from {state} towards {found.definition.goal} or releasing"
        yield _broken(found, "live", key, problem, remedy)


_LAWS: Sequence[Callable[[Exploration], Iterator[Broken]]] = (
    _finals_absorb,
    _bounded,
    _cancelled,
    _answered,
    _live,
)


def _unreached(definition: Definition, seen: set[str]) -> Iterator[Broken]:
    for state in definition.states:
        if state not in seen:
            problem = f"{state} is never reached: guards turn down every way to it"
            remedy = "loosen the guards of the edges into it, or remove it"
            yield Broken("reached", definition.name, state, problem, remedy)


def _dead(
    definition: Definition, singles: tuple[Edge, ...], taken: frozenset[int]
) -> Iterator[Broken]:
    for n, edge in enumerate(singles):
        if n not in taken:
            [source], [event] = edge.sources, edge.events
            guards = " and ".join(guard.name for guard in edge.guards)
            why = f"{guards} never hold there" if guards else "those before it take every event"
            problem = f"{source} --{event}--> {edge.target} is never taken: {why}"
            remedy = "remove the edge or mend its guards"
            yield Broken("dead", definition.name, source, problem, remedy, event)


# -- looking about ---------------------------------------------------------------------------------


def _in(found: Exploration, wanted: Callable[[str], bool]) -> Iterator[tuple[Key, Situation]]:
    return ((key, here) for key, here in found.situations.items() if wanted(here.state))


def _after(found: Exploration, here: Situation, event: Event) -> list[Situation]:
    targets = [move.target for move in here.moves if move.event is event]
    return [found.situations[target] for target in targets if target is not None]


def _broken(
    found: Exploration, law: str, key: Key, problem: str, remedy: str, event: str = ""
) -> Broken:
    state = found.situations[key].state
    return Broken(law, found.definition.name, state, problem, remedy, str(event), found.way(key))


def _circle(found: Exploration) -> list[Key]:
    """The situations of a shortest circle that is met first; none where every way has an end."""
    if not _has_circle(found):
        return []
    return next(filter(None, (_back_to(found, key) for key in found.situations)))


def _has_circle(found: Exploration) -> bool:
    """Whether something is left when whatever only leads to ends is taken away, again and again."""
    left = {key: set(_targets(found, key)) for key in found.situations}
    before: dict[Key, list[Key]] = {key: [] for key in left}
    for key, targets in left.items():
        for target in targets:
            before[target].append(key)
    ending = [key for key, targets in left.items() if not targets]
    while ending:
        end = ending.pop()
        del left[end]
        for key in before[end]:
            left[key].discard(end)
            if not left[key]:
                ending.append(key)
    return bool(left)


def _back_to(found: Exploration, start: Key) -> list[Key]:
    """The shortest way from a situation to itself; empty where there is none."""
    came: dict[Key, Key] = {}
    waiting = deque([start])
    while waiting:
        key = waiting.popleft()
        for target in _targets(found, key):
            if target == start:
                way = [key]
                while way[-1] != start:
                    way.append(came[way[-1]])
                return way[::-1]
            if target not in came:
                came[target] = key
                waiting.append(target)
    return []


def _targets(found: Exploration, key: Key) -> Iterator[Key]:
    here = found.situations[key]
    if here.state in FINALS:
        return iter(())
    return iter([move.target for move in here.moves if move.target is not None])
