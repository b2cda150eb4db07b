"""Hosts with network cards of their own: network namespaces around a router, each link shaped.

Needs root, `ip` and `tc`. The namespaces are called `nib-…`, and are removed at the end.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

PREFIX = "nib"
_NEWNET = 0x40000000


def _do(*words: str, check: bool = True) -> None:
    subprocess.run(words, check=check, capture_output=True)


@contextlib.contextmanager
def network(names: list[str], mbit: int) -> Iterator[dict[str, str]]:
    """A namespace for each name, with a link of so many Mbit/s both ways; answers addresses.

    Raises `OSError` or `CalledProcessError` where that is not allowed.
    """
    switch = f"{PREFIX}-switch"
    spaces = [switch, *(space(name) for name in names)]
    try:
        for one in spaces:
            _do("ip", "netns", "add", one)
            _do("ip", "-n", one, "link", "set", "lo", "up")
        # A router and not a bridge: kernels of sandboxes may have none.
        _do("ip", "netns", "exec", switch, "sysctl", "-w", "net.ipv4.ip_forward=1")
        addresses = {}
        for number, name in enumerate(names, start=1):
            port, gateway = f"port{number}", f"10.77.{number}.1"
            peer = ("peer", "name", "eth", "netns", space(name))
            _do("ip", "-n", switch, "link", "add", port, "type", "veth", *peer)
            _do("ip", "-n", switch, "addr", "add", f"{gateway}/24", "dev", port)
            _do("ip", "-n", switch, "link", "set", port, "up")
            addresses[name] = f"10.77.{number}.2"
            _do("ip", "-n", space(name), "addr", "add", f"{addresses[name]}/24", "dev", "eth")
            _do("ip", "-n", space(name), "link", "set", "eth", "up")
            _do("ip", "-n", space(name), "route", "add", "default", "via", gateway)
            shape = ("root", "tbf", "rate", f"{mbit}mbit", "burst", "256k", "latency", "100ms")
            _do("tc", "-n", switch, "qdisc", "add", "dev", port, *shape)
            _do("tc", "-n", space(name), "qdisc", "add", "dev", "eth", *shape)
        yield addresses
    finally:
        for one in spaces:
            _do("ip", "netns", "del", one, check=False)


def space(name: str) -> str:
    """What the namespace of a host is called."""
    return f"{PREFIX}-{name}"


def move_into(name: str) -> None:
    """Move this thread, and what it starts from now on, into a host's namespace."""
    with (Path("/run/netns") / space(name)).open() as opened:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(opened.fileno(), _NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
