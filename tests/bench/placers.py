"""Rules that others place by, one pod at a time, on the hosts of `openb`.

A rule is a score: the host with the smallest one gets the pod, and hosts with equal scores are taken
in the order of the list, so that a run can be repeated. Every rule sees single GPUs, so none is
refused a pod that fits.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Protocol, TypeAlias

import attrs

from tests.bench.openb import WHOLE, Node, Pod

Score: TypeAlias = tuple[float, ...]
Choice: TypeAlias = tuple[Score, Sequence[int]]
"""How good a host is for a pod, and which of its GPUs the pod would get there."""

Rule: TypeAlias = Callable[[Node, Pod], Choice]
"""Judges a host that the pod fits."""


class Placer(Protocol):
    """Anything that places pods one after the other."""

    def place(self, pod: Pod) -> bool:
        """Place a pod for good; `False`: it is refused."""


class Ranked:
    """Places by a rule. Only hosts that changed are judged again, each when its score is needed."""

    def __init__(self, nodes: Sequence[Node], rule: Rule) -> None:
        self._nodes, self._rule = nodes, rule
        self._changed = list(range(len(nodes)))  # a log: the hosts, then each that got a pod
        self._version = [0] * len(nodes)
        self._seen: dict[Pod, int] = defaultdict(int)  # how much of the log a kind of pod has seen
        self._heaps: dict[Pod, list[tuple[Score, int, int, Sequence[int]]]] = defaultdict(list)

    def place(self, pod: Pod) -> bool:
        heap = self._heaps[pod]
        for i in set(self._changed[self._seen[pod] :]):
            if self._nodes[i].fits(pod):
                score, gpus = self._rule(self._nodes[i], pod)
                heapq.heappush(heap, (score, i, self._version[i], gpus))
        self._seen[pod] = len(self._changed)
        while heap and heap[0][2] != self._version[heap[0][1]]:
            heapq.heappop(heap)
        if not heap:
            return False
        _, i, _, gpus = heap[0]
        self._nodes[i].take(pod, gpus)
        self._version[i] += 1
        self._changed.append(i)
        return True


class Random:
    """Places on any host that fits, and on any of its GPUs."""

    def __init__(self, nodes: Sequence[Node], rng: random.Random) -> None:
        self._nodes, self._rng = nodes, rng

    def place(self, pod: Pod) -> bool:
        for node in self._rng.sample(self._nodes, len(self._nodes)):
            if node.fits(pod):
                fitting = [i for i, left in enumerate(node.free) if left >= pod.share]
                node.take(pod, self._rng.sample(fitting, pod.gpus))
                return True
        return False


def ray_scorer(node: Node, pod: Pod) -> Choice:
    """Ray's: the host on which the largest fractions remain, summed over what is asked for.

    Source: ray 2.60 `src/ray/raylet/scheduling/policy/scorer.cc`, `LeastResourceScorer`.
    """
    asked = ((sum(node.free), pod.demand), (node.cpu, pod.cpu), (node.memory, pod.memory))
    remaining = sum((have - need) / have for have, need in asked if need)
    return (-remaining,), node.tightest(pod)


def best_fit(node: Node, pod: Pod) -> Choice:
    """The artefact's: least CPU and GPU left, each as a part of the largest host's."""
    left = (node.cpu - pod.cpu) / 128_000 + (sum(node.free) - pod.demand) / (8 * WHOLE)
    return (left,), node.tightest(pod)


def tight(node: Node, pod: Pod) -> Choice:
    """One line: least GPU left, then least CPU."""
    return (sum(node.free) - pod.demand, node.cpu - pod.cpu), node.tightest(pod)


@attrs.frozen
class _Popular:
    """The kinds of pods that want the same of GPUs: their CPU, ascending, and how frequent they are.

    `frequency[i]` is the part that the first `i` kinds are of all pods.
    """

    gpus: int
    share: int
    cpus: tuple[int, ...]
    frequency: tuple[float, ...]

    def wasted(self, cpu: int, free: Sequence[int]) -> float:
        """What these pods could not use of a host, weighted with how frequent they are."""
        usable = [left for left in free if left >= self.share] if self.gpus else []
        if len(usable) < self.gpus:
            usable = []
        able = self.frequency[bisect_right(self.cpus, cpu)]
        return self.frequency[-1] * sum(free) - able * sum(usable)


def _popular(gpus: int, share: int, kinds: list[tuple[int, int]], pods: int) -> _Popular:
    kinds.sort()
    sums = [0, *accumulate(count for _, count in kinds)]
    return _Popular(gpus, share, tuple(cpu for cpu, _ in kinds), tuple(n / pods for n in sums))


class FragmentationGradientDescent:
    """The paper's: the host whose fragmentation grows least.

    The fragmentation of a host is what pods drawn from the workload could not use of its free GPUs,
    in the mean: all of them for a pod that does not fit, and for one that does, those with too
    little left. The most frequent kinds of pods stand for the workload, 95 % of it.

    As in the artefact, growth becomes a score of whole numbers from 0 to 100. With finer ones, chance
    decides between hosts that are as good as equal, and 1 to 3 points of allocation are lost.
    """

    def __init__(self, workload: Iterable[Pod]) -> None:
        counts = Counter(attrs.evolve(pod, memory=0) for pod in workload)
        wanted, taken = 0.95 * counts.total(), 0
        alike: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for pod, count in sorted(
            counts.items(), key=lambda kind: (-kind[1], attrs.astuple(kind[0]))
        ):
            if taken < wanted:
                alike[pod.gpus, pod.share].append((pod.cpu, count))
                taken += count
        self._popular = [_popular(*gpu, kinds, taken) for gpu, kinds in alike.items()]
        self._known: dict[tuple[int, tuple[int, ...]], float] = {}

    def __call__(self, node: Node, pod: Pod) -> Choice:
        """The score of the growth; a pod with a share gets the GPU where it grows least."""
        before = self._of(node.cpu, node.free)

        def score(gpus: Sequence[int]) -> int:
            left = list(node.free)
            for i in gpus:
                left[i] -= pod.share
            growth = self._of(node.cpu - pod.cpu, left) - before
            return -int(100 / (1 + math.exp(growth / WHOLE)))

        if not 0 < pod.share < WHOLE:
            gpus = node.tightest(pod)
            return (score(gpus),), gpus
        # Of GPUs with equally much left, the first.
        differing = {left: i for i, left in reversed([*enumerate(node.free)]) if left >= pod.share}
        least, best = min((score([i]), i) for i in differing.values())
        return (least,), [best]

    def _of(self, cpu: int, free: Sequence[int]) -> float:
        key = (cpu, tuple(sorted(free)))
        if key not in self._known:
            self._known[key] = sum(kind.wasted(*key) for kind in self._popular)
        return self._known[key]
