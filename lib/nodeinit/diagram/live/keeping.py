"""A page of a run that goes on: in a file, always whole, and on loopback, as it changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from nodeinit.diagram.live.script import SCRIPT, STYLE
from nodeinit.diagram.live.server import PageServer
from nodeinit.diagram.page import Markup, joined, page, tag
from nodeinit.diagram.run.pages import STYLE as RUN_STYLE
from nodeinit.diagram.run.pages import content, title_of
from nodeinit.diagram.run.record import RunRecord
from nodeinit.diagram.writing import write_text

log = logging.getLogger("nodeinit.page")

_SOONEST, _LATEST = 0.5, 5.0  # seconds between two pages of a run that goes on
_SHARE = 4.0  # drawing may take this part of the time: 1 to so much


_NOTHING = Markup("<p>waiting for the run</p>")


def live_html(run: RunRecord, drawn: Markup, at: float) -> str:
    """The text of the whole page; `at` is when it was drawn, in Unix time."""
    return _page(title_of(run), drawn, at, over=run.over or run.left)


def waiting_html(at: float) -> str:
    """The page as long as there is no run."""
    return _page("waiting: nodeinit", _NOTHING, at, over=False)


def _page(title: str, drawn: Markup, at: float, *, over: bool) -> str:
    state = {"data_over": str(over).lower(), "data_at": f"{at * 1000:.0f}"}
    note = tag("p", "", id="live", class_="screen", hidden=True)
    body = joined(tag("main", drawn, markup=True, **state), note)
    return page(title, body, RUN_STYLE + STYLE, SCRIPT)


class LivePage:
    """Keeps a page up to date from a thread of its own, until it is closed.

    `look` gives the run as it is at a moment, or `None` as long as there is none. `touch` says that
    it may have changed; time passes by itself. With a `path` the page is a file too, which is there
    whole whenever it is looked at. What goes wrong here is logged and never hurts the run.
    """

    def __init__(
        self, look: Callable[[], RunRecord | None], path: Path | None = None, *, serve: bool = True
    ) -> None:
        self._look = look
        self._path = path
        self.server: PageServer | None = None
        self._touched = threading.Event()
        self._closing = threading.Event()
        self._failed = ""
        waiting = waiting_html(time.time())
        if path is not None:
            write_text(path, waiting)  # before anything is started: a bad path is said at once
        if serve:
            self.server = PageServer()
            self.server.publish(waiting, _NOTHING, over=False)
        self._thread = threading.Thread(target=self._keep, name="nodeinit-drawing", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str | None:
        """Where the page is served."""
        return self.server.url if self.server is not None else None

    def touch(self) -> None:
        """The run has changed. Cheap, from any thread."""
        self._touched.set()

    def close(self) -> None:
        """Draw the last state, let whoever watches have it, and stop."""
        self._closing.set()
        self._touched.set()
        self._thread.join()
        if self.server is not None:
            self.server.close()

    def _keep(self) -> None:
        over = False
        while not over:
            self._touched.clear()
            last = self._closing.is_set()
            began = time.monotonic()
            over = self._draw() or last
            took = time.monotonic() - began
            if not over and not self._closing.wait(max(_SOONEST, _SHARE * took)):
                self._touched.wait(_LATEST)

    def _draw(self) -> bool:
        """Draw the run as it is now; whether it is over, so that nothing will change any more."""
        try:
            run, now = self._look(), time.time()
            if run is None:
                self._show(_NOTHING, waiting_html(now), over=False)
                return False
            drawn, over = content(run), run.over or run.left
            self._show(drawn, live_html(run, drawn, now), over=over)
        except Exception as error:
            if str(error) != self._failed:
                self._failed = str(error)
                log.warning("the page cannot be drawn: %s", error, exc_info=error)
            return False
        return over

    def _show(self, drawn: Markup, whole: str, *, over: bool) -> None:
        if self._path is not None:
            write_text(self._path, whole)
        if self.server is not None:
            self.server.publish(whole, drawn, over=over)
