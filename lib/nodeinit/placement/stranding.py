"""GPUs that nobody can use because the CPU or memory of their host has run out.

A host that is tight in CPU but has GPUs free is worth little to whoever comes next, who needs both.
So of two hosts a request takes the one on which it strands less: a free GPU counts as served while
three quarters of its share of the host's own CPU and memory are free for it. Nothing need be known
of who comes next. On public traces this leaves more GPUs usable than any rule that only looks at
GPUs does (`tests/bench/test_trace.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from nodeinit.placement.hosts import Host

Stock: TypeAlias = tuple[int, ...]
"""The free GPUs of a host, all its GPUs, and all it has of each scarce resource; fixed point."""

SCARCE = ("CPU", "memory")
"""What whoever uses a GPU needs besides."""


def stock_of(host: Host, scarce: Iterable[str]) -> Stock:
    """What a host has, for requests that take something scarce; `()` for all others."""
    totals = tuple(int(host.total.get(name, 0)) for name in scarce)
    gpus = int(host.total.get("GPU", 0))
    return (max(0, host.free("GPU")), gpus, *totals) if totals and gpus else ()


def stranding(
    stock: Stock, gpus: int, taken: int, free: Iterable[int], needs: Iterable[int]
) -> int:
    """How much more GPU is stranded on a host by taking something of it; fixed point.

    `gpus` are free and `taken` of them are asked for; `free` and `needs` are the amounts of the
    scarce resources.
    """
    if not stock:
        return 0
    free = tuple(free)
    left = (have - need for have, need in zip(free, needs, strict=True))
    return max(0, _stranded(stock, gpus - taken, left) - _stranded(stock, gpus, free))


def _stranded(stock: Stock, gpu: int, free: Iterable[int]) -> int:
    _, gpus, *totals = stock
    served = [
        4 * have * gpus // (3 * total) for have, total in zip(free, totals, strict=True) if total
    ]
    return max(0, gpu - min(served, default=gpu))
