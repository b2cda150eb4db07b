"""The Ray that this process is connected to: found, connected to, or started here.

A process has one Ray at a time. The one that was opened here is shared by everybody who asks for it
and ends when the last of them has closed it; one that was there before is never ended.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

import ray
from ray._private import worker

from nodeinit.errors import ConfigError, Fault
from nodeinit.ray.keeper import Keeper
from nodeinit.ray.quiet import messages_logged, quiet
from nodeinit.ray.reach import check_reachable
from nodeinit.ray.tokens import provide_token

_changing = threading.Lock()
_sharing: _Shared | None = None


class _Shared:
    """A Ray that was opened here, and how many use it."""

    def __init__(self, opened: contextlib.ExitStack) -> None:
        self._opened = opened
        self._users = 0

    def join(self) -> Callable[[], None]:
        """Use it; answers what ends the use. The caller holds the lock."""
        self._users += 1
        left = threading.Event()

        def leave() -> None:
            global _sharing
            with _changing:
                if left.is_set():
                    return
                left.set()
                self._users -= 1
                if self._users == 0:
                    _sharing = None if _sharing is self else _sharing
                    self._opened.close()

        return leave


def attach(address: str | None = None, **options: Any) -> Callable[[], None]:
    """Make sure that this process is connected to Ray; answers what takes that back.

    What is there comes first: the Ray of this process, then `address`, then the environment
    variable `RAY_ADDRESS`; if there is none of them, or the address is "local", a Ray is started.
    `options` go to `ray.init`. Blocking, for seconds. Raises `ConfigError` when there is no Ray at
    the address.
    """
    global _sharing
    with _changing:
        if ray.is_initialized():
            return _sharing.join() if _sharing else lambda: None
        _sharing = _Shared(open_ray(address or os.environ.get("RAY_ADDRESS"), **options))
        return _sharing.join()


def open_ray(address: str | None, **options: Any) -> contextlib.ExitStack:
    """Connect to the Ray at an address, or start one for `None` and "local"; closing it ends that."""
    with contextlib.ExitStack() as opened, quiet():
        # In its own thread whatever the address: in the main one Ray replaces signal handlers.
        keeper = opened.enter_context(Keeper("ray"))
        opened.enter_context(messages_logged())
        if address is None or address == "local":
            provide_token()
            keeper.call(_init, address="local", include_dashboard=False, **options)
        else:
            there = check_reachable(address)
            keeper.call(_init, address=there, namespace=options.get("namespace"))
        opened.callback(_shutdown, _session())
        return opened.pop_all()


def _init(**options: Any) -> None:
    try:
        ray.init(log_to_driver=False, configure_logging=False, **options)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ConfigError(
            Fault("address", problem, repr(options["address"])), source="Ray"
        ) from error


def _session() -> str:
    """What tells this Ray from any other that this process may be connected to later."""
    return f"{worker._global_node.session_name}/{ray.get_runtime_context().get_job_id()}"


def _shutdown(session: str) -> None:
    # Somebody may have shut it down already, and even have started another one.
    if ray.is_initialized() and _session() == session:
        with quiet():
            ray.shutdown()
