"""A thread that lives as long as the processes that it starts.

Ray asks the kernel to kill its processes when their parent dies, so that none outlives a crash. To
Linux the parent is the *thread* that started them (PR_SET_PDEATHSIG in prctl(2)): a Ray that is
started in a thread which then ends is killed at once.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self


class Keeper:
    """Runs functions one after another in its own daemon thread, until it is closed."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # Not a pool of concurrent.futures: that one ends its threads before atexit handlers run,
        # and Ray shuts down in one of these.
        threading.Thread(target=self._work, name=f"nodeinit-{name}", daemon=True).start()

    def submit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function in the thread, after those that were submitted before."""
        future: Future[Any] = Future()

        def job() -> None:
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as error:  # whoever waits gets it, the thread lives on
                future.set_exception(error)

        self._jobs.put(job)
        return future

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a function in the thread and wait for its result."""
        return self.submit(function, *args, **kwargs).result()

    def close(self) -> None:
        """End the thread; what it started and still runs dies with it."""
        self._jobs.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
