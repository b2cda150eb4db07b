"""What Ray's head does with groups: it tries to place them, one after another, and sees things late.

Everything happens at exact moments of the loop's clock. What is due can also be caught up with by
hand (`catch_up`): a hook that blocks the loop meets a Ray that has gone on meanwhile. A try that
would end like the last one is left out, so that a group which waits for an hour costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import Callable, Sequence

from nodeinit.clusters.ray_like import RayLike
from nodeinit.clusters.sim_parts import SimGroup
from nodeinit.clusters.sim_policy import settle
from nodeinit.errors import TemporaryError
from nodeinit.frozen import FrozenMap
from nodeinit.placement.ray_policy import Verdict
from nodeinit.placement.topology import Bundle, ClusterSnapshot

PENDING, CREATED, REMOVED, RESCHEDULING = "PENDING", "CREATED", "REMOVED", "RESCHEDULING"
QUEUED, NO_RESOURCES, INFEASIBLE = "QUEUED", "NO_RESOURCES", "INFEASIBLE"

_ALMOST = 2e-6  # seconds; the loop may call that much too early


class Gcs:
    """The groups of a simulated cluster.

    `groups` are the live ones by name (or id, if they have none), shared with the cluster; `view`
    is what Ray believes to be free, `is_up` whether a host really lives.
    """

    def __init__(
        self,
        like: RayLike,
        groups: dict[str, SimGroup],
        view: Callable[[], ClusterSnapshot],
        is_up: Callable[[str], bool],
    ) -> None:
        self.like = like
        self.leaked: list[SimGroup] = []
        self.dead: set[str] = set()
        """The hosts that are known to be dead."""
        self.shaken = asyncio.Event()
        self._lives_in: asyncio.AbstractEventLoop | None = None
        self._groups, self._view, self._is_up = groups, view, is_up
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._at: float | None = None  # the moment that is being caught up with
        self._returning: list[SimGroup] = []
        self._trying: SimGroup | None = None
        self._queue: list[SimGroup] = []
        self._refused: list[SimGroup] = []
        self._hurt: list[SimGroup] = []
        self._ticking = False
        self.made = self._events = self._ties = 0

    # -- what can be asked of it -------------------------------------------------------------------

    def group(
        self,
        bundles: Sequence[Bundle],
        node_ids: Sequence[str],
        name: str,
        strategy: str,
        *,
        ours: bool = False,
    ) -> SimGroup:
        """A live group that has its hosts already."""
        self.made += 1
        made = SimGroup(f"{self.made:032x}", name, strategy, tuple(bundles), tuple(node_ids), ours)
        self._groups[name or made.id] = made
        return made

    def ask(
        self,
        bundles: Sequence[Bundle],
        strategy: str,
        name: str = "",
        selectors: Sequence[FrozenMap] = (),
        *,
        ours: bool = False,
    ) -> SimGroup:
        """A group that is to be placed; the first try begins now, unless another one is under way.

        Raises `TemporaryError` when a live group has that name.
        """
        self.catch_up()
        if name and name in self._groups:
            raise TemporaryError(f"a placement group called {name} is there already")
        made = self.group(bundles, [""] * len(bundles), name, strategy, ours=ours)
        made.state, made.reason, made.selectors = PENDING, QUEUED, tuple(selectors)
        self._queue.append(made)
        self._serve()
        return made

    def withdraw(self, group: SimGroup) -> None:
        """Remove a group at once, whatever is being done with it; one that is gone is fine."""
        self.catch_up()
        if not self._is_live(group):
            return
        del self._groups[group.name or group.id]
        for waiting in (self._queue, self._refused, self._hurt):
            with contextlib.suppress(ValueError):
                waiting.remove(group)
        group.state = REMOVED
        if self._trying is group:
            self._trying = None
            self.leaked += [group] if self.like.leaks else []
        elif any(group.node_ids) and (delay := self.like.delay(self._events)):
            self._returning.append(group)
            self._later(delay, lambda: self._returned(group))
        self._shake()

    async def give_back(self, group: SimGroup) -> None:
        """Remove a group as one should: not during a try, and until what it held is seen to be free.

        Ray does not say when a later try ends, so the next one is waited for.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                while group.state == PENDING and group.reason == QUEUED and self.like.tick:
                    await self.change()
        if group.state == PENDING and group.reason == NO_RESOURCES and self.like.tick:
            await asyncio.sleep(self.like.next_tick(self.now()) + 0.05 - self.now())
        self.withdraw(group)
        while group in self._returning:
            await self.change()

    def host_died(self, node_id: str) -> None:
        """A host died just now; that will be noticed."""
        self._later(self.like.death, lambda: self._noticed(node_id))

    def host_joined(self, node_id: str) -> None:
        """There is one more host: what fitted nowhere is looked at again."""
        self.dead.discard(node_id)
        hopeless = [g for g in self._groups.values() if g.reason == INFEASIBLE]
        for group in hopeless:
            group.reason = QUEUED
            (self._hurt if group.state == RESCHEDULING else self._queue).append(group)
        self._shake()

    async def change(self, until: float | None = None) -> None:
        """Wait until something may have changed, at most until a moment."""
        self.shaken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self.shaken.wait()

    @property
    def unseen(self) -> list[SimGroup]:
        """The groups that are no more, but whose resources count as taken."""
        return [*self._returning, *self.leaked]

    @property
    def next_at(self) -> float | None:
        """When something is due next."""
        return self._due[0][0] if self._due else None

    def catch_up(self) -> None:
        """Let everything happen that is due by now, each at its moment."""
        if not self._due or self._at is not None:
            return
        now = self.now()
        try:
            while self._due and self._due[0][0] <= now + _ALMOST:
                self._at, _, happen = heapq.heappop(self._due)
                happen()
        finally:
            self._at = None

    def now(self) -> float:
        """The moment, by the clock of the loop."""
        if self._at is not None:
            return self._at
        loop = self._loop()
        return loop.time() if loop is not None else 0.0  # before anything runs, nothing takes time

    # -- inside ------------------------------------------------------------------------------------

    def _later(self, delay: float, happen: Callable[[], None]) -> None:
        self._events += 1
        if delay <= 0:
            happen()
            return
        moment = self.now() + delay
        heapq.heappush(self._due, (moment, self._events, happen))
        loop = self._loop()
        if loop is not None:
            loop.call_at(moment, self.catch_up)

    def _loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that the cluster lives in; a hook may call from where no loop runs."""
        with contextlib.suppress(RuntimeError):
            self._lives_in = self._lives_in or asyncio.get_running_loop()
        return self._lives_in

    def _is_live(self, group: SimGroup) -> bool:
        return self._groups.get(group.name or group.id) is group

    def _shake(self) -> None:
        """Something may be possible now that was not."""
        self.shaken.set()
        if self._refused and not self._ticking:
            self._ticking = True
            self._later(self.like.next_tick(self.now()) - self.now(), self._tick)
        self._serve()

    def _tick(self) -> None:
        self._ticking = False
        self._queue += self._refused
        self._refused = []
        self._serve()

    def _serve(self) -> None:
        """Try groups until one is under way, or there are none, or nobody else's turn comes."""
        while self._trying is None and self._hurt:
            self._try(self._hurt[0])
            if self._hurt and self._trying is None and self._hurt[0].reason == NO_RESOURCES:
                return
        while self._trying is None and self._queue:
            self._try(self._queue.pop(0))

    def _try(self, group: SimGroup) -> None:
        if not self._is_live(group):  # a test took it away
            self._hurt = [other for other in self._hurt if other is not group]
            return
        group.tries += 1
        outcome = settle(group, self._view(), self._tie)
        up = all(map(self._is_up, outcome.node_ids))
        if outcome.verdict is Verdict.INFEASIBLE:
            group.reason = INFEASIBLE
            self._hurt = [other for other in self._hurt if other is not group]
        elif outcome.verdict is Verdict.NO_RESOURCES or not up:
            group.reason = NO_RESOURCES
            if group.state == PENDING:
                self._refused.append(group)
        else:
            self._hurt = [other for other in self._hurt if other is not group]
            group.node_ids, group.reason = outcome.node_ids, QUEUED
            self._trying = group
            self._later(self.like.attempt, lambda: self._placed(group))
        self.shaken.set()

    def _tie(self, _bundle: int, tied: Sequence[str]) -> str:
        if len(tied) == 1:
            return tied[0]
        self._ties += 1
        return self.like.tie(self._ties, tied)

    def _placed(self, group: SimGroup) -> None:
        if self._trying is group:
            self._trying = None
            group.state, group.reason = CREATED, "FINISHED"
            if not all(group.node_ids):  # a host was lost meanwhile
                self._hurt_one(group)
            self._shake()

    def _returned(self, group: SimGroup) -> None:
        self._returning.remove(group)
        self._shake()

    def _noticed(self, node_id: str) -> None:
        self.dead.add(node_id)
        for group in self._groups.values() if self.like.reschedules else ():
            if node_id in group.node_ids:
                group.node_ids = tuple("" if at == node_id else at for at in group.node_ids)
                if group.state == CREATED:
                    self._hurt_one(group)
        self._shake()

    def _hurt_one(self, group: SimGroup) -> None:
        group.state, group.reason = RESCHEDULING, QUEUED
        self._hurt.append(group)
