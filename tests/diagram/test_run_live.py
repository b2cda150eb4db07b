"""A run that goes on: its journal as it grows, its page in a file, on loopback and in a browser."""

from __future__ import annotations

import asyncio
import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeinit import CallbackCtx, InitializationFailed, NodeInitializer
from nodeinit.clusters.simulated import SimFault
from nodeinit.diagram.live import Follower, LivePage
from nodeinit.diagram.live.server import MOST_LISTENERS, PageServer
from nodeinit.diagram.run import RunRecord, read_run
from nodeinit.errors import ConfigError, JournalError
from nodeinit.fsm.replay import is_written
from tests.diagram import run_journals as scripts
from tests.diagram.browser import browser, needs_browser
from tests.diagram.test_run_pictures import hostile_run


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a run with retries."""
    return scripts.retried(tmp_path_factory.mktemp("live") / "j.jsonl")


# -- a journal as it grows -------------------------------------------------------------------------


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.floats(0, 1), max_size=6))
def test_a_journal_is_followed_however_it_is_written(
    journal: Path, tmp_path: Path, cuts: list[float]
) -> None:
    """Written in any pieces, and read after each: whole lines count, and no line counts twice."""
    data = journal.read_bytes()
    path = tmp_path / f"{abs(hash(tuple(cuts)))}-spoilt.jsonl"
    path.unlink(missing_ok=True)
    follower = Follower(path)
    assert not follower.look() and follower.run is None
    places = [*sorted(int(cut * len(data)) for cut in cuts), len(data)]
    for begin, end in zip([0, *places], places, strict=False):
        with path.open("ab") as file:
            file.write(data[begin:end])
        follower.look()
        whole = data[:end].count(b"\n")
        run = follower.run
        assert (run is None) == (whole == 0)
        if run is not None:
            assert len(run.steps) + len(run.notes) == whole - 1
    assert not follower.look()
    assert follower.run == read_run(path)


def test_another_run_in_the_same_place_is_read_anew(journal: Path, tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(journal.read_bytes())
    follower = Follower(path)
    assert follower.look() and follower.run is not None and follower.run.name == "llama-70b-1"
    other = scripts.failed(tmp_path / "other.jsonl")
    other.replace(path)
    assert follower.look()
    assert follower.run is not None and follower.run.state == "failed"
    path.write_bytes(journal.read_bytes()[:5000].rpartition(b"\n")[0] + b"\n")
    assert follower.look()
    assert follower.run is not None and 0 < len(follower.run.steps) < 5


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spoilt.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(JournalError, match="line 1 is not the header of a journal"):
        Follower(path).look()
    path.write_text("no json\n")
    with pytest.raises(JournalError, match="line 1 is not JSON"):
        Follower(path).look()
    with pytest.raises(JournalError, match="cannot be read"):
        Follower(tmp_path).look()


PROGRAM = "from nodeinit.cli.main import main; main()"

_KILLED = """
import asyncio, sys
from tests.diagram import run_journals as scripts
from nodeinit import NodeInitializer
async def main():
    sim = scripts.cluster(bandwidth=1e6)
    async with NodeInitializer(scripts.config(), cluster=sim, journal=sys.argv[1]) as node:
        await node.wait_for("download")
        print("there", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


def test_a_run_that_was_killed_is_told_from_one_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, path], stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    try:
        assert process.stdout is not None and process.stdout.readline()
        follower = Follower(path)
        assert follower.look() and follower.run is not None
        assert is_written(path) and not follower.run.left and follower.run.until > 0
    finally:
        process.kill()
        process.wait()
    assert not is_written(path)
    run = follower.run
    assert run is not None and run.left and run.state == "download"
    assert "it was killed before its end" in run.to_html()


def test_the_lock_ends_with_the_run(journal: Path) -> None:
    assert not is_written(journal) and not is_written(journal.with_name("none"))


# -- the server ------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[PageServer]:
    made = PageServer()
    made.publish("<p>page</p>", "content", over=False)
    yield made
    made.close()


def get(server: PageServer, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    asking = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        asking.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = asking.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())
    finally:
        asking.close()


def test_only_who_asks_on_loopback_is_answered(server: PageServer) -> None:
    assert get(server, "/")[:2] == (200, "<p>page</p>")
    assert get(server, "/?x=1")[0] == 200 and get(server, "/etc/passwd")[0] == 404
    assert get(server, "/", Host=f"localhost:{server.port}")[0] == 200
    for name in ("evil.example", f"evil.example:{server.port}", "127.0.0.1", "localhost", "[::1]"):
        status, said, _ = get(server, "/content", Host=name)
        assert status == 421 and "content" not in said, name
    with socket.socket() as other, pytest.raises(OSError):
        other.settimeout(5)
        other.connect((_own_address(), server.port))


def _own_address() -> str:
    """An address of this machine that is not the one that is listened on."""
    return "127.0.0.2"


def test_who_asks_again_is_told_only_what_is_new(server: PageServer) -> None:
    status, said, headers = get(server, "/content")
    assert (status, said, headers["X-Over"]) == (200, "content", "false")
    tag = headers["ETag"]
    assert get(server, "/content", If_None_Match=tag)[:2] == (304, "")
    server.publish("p", "news <é>", over=True)
    status, said, headers = get(server, "/content", If_None_Match=tag)
    assert (status, said, headers["X-Over"]) == (200, "news <é>", "true")
    assert headers["Cache-Control"] == "no-store"


class Listener:
    """Listens to the events of a page."""

    def __init__(self, server: PageServer) -> None:
        self._asking = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self._asking.request("GET", "/events")
        self.answer = self._asking.getresponse()

    def next(self) -> Any:
        while line := self.answer.readline().decode().rstrip("\n"):
            if line.startswith("event: end"):
                return "end"
            if line.startswith("data: "):
                self.answer.readline()
                return json.loads(line.removeprefix("data: "))
        return None

    def close(self) -> None:
        self._asking.close()


def test_listeners_are_sent_what_changes_and_the_end(server: PageServer) -> None:
    one, two = Listener(server), Listener(server)
    for listener in (one, two):
        assert listener.next()["content"] == "content"
    server.publish("p", "more", over=False)
    two.close()
    assert one.next() == {"version": 2, "over": False, "content": "more"}
    server.publish("p", "all", over=True)
    assert one.next()["over"] is True
    assert one.next() == "end"
    one.close()


def test_the_end_waits_for_nobody_for_long(server: PageServer) -> None:
    silent = Listener(server)  # never reads
    server.publish("p", "x" * 5_000_000, over=False)
    server.close()
    with pytest.raises(OSError):
        get(server, "/")
    silent.close()


def test_too_many_listeners_are_told_to_ask(server: PageServer) -> None:
    listeners = [Listener(server) for _ in range(MOST_LISTENERS)]
    for listener in listeners:
        assert listener.next()
    assert get(server, "/events")[0] == 503
    assert get(server, "/content")[0] == 200
    for listener in listeners:
        listener.close()


# -- the page in a file ----------------------------------------------------------------------------


def part(run: RunRecord, steps: int) -> RunRecord:
    """The run as it was after so many steps."""
    at = run.steps[steps - 1].at
    notes = [note for note in run.notes if note.at <= at]
    return attrs.evolve(run, steps=run.steps[:steps], notes=notes, now=at)


def test_the_file_is_whole_whenever_it_is_read(journal: Path, tmp_path: Path) -> None:
    whole, path = read_run(journal), tmp_path / "page.html"
    states = iter([part(whole, 3), part(whole, 5), whole])
    ended = threading.Event()

    def look() -> RunRecord | None:
        run = next(states, whole)
        if run is whole:
            ended.set()
        return run

    page = LivePage(look, path, serve=False)
    while not ended.is_set():
        page.touch()
        text = path.read_text()
        assert text.startswith("<!doctype html>") and text.endswith("</html>\n")
    page.close()
    text = path.read_text()
    assert 'data-over="true"' in text and "The node is released." in text
    assert [left.name for left in tmp_path.iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        LivePage(lambda: None, tmp_path / "file" / "page.html", serve=False)


def test_what_goes_wrong_with_a_page_hurts_nobody(
    journal: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def look() -> RunRecord | None:
        raise RuntimeError("no such run")

    page = LivePage(look, tmp_path / "page.html")
    page.close()
    assert [r.getMessage() for r in caplog.records] == ["the page cannot be drawn: no such run"]
    assert not [t for t in threading.enumerate() if t.name in ("nodeinit-page", "nodeinit-drawing")]


# -- in a browser ----------------------------------------------------------------------------------


def bring_up(
    path: Path | None,
    faults: list[SimFault],
    look: Callable[[LivePage, threading.Event], Any],
    callback: Any = None,
) -> None:
    """A node in real time with a page that follows it; `look` is called in a thread beside it.

    The node starts when `look` sets the event: a browser is open whenever it likes.
    """

    async def main() -> None:
        sim = scripts.cluster(bandwidth=1e10, faults=faults)
        config = scripts.config(callback=callback)
        node = NodeInitializer(config, cluster=sim, name="live", policy=scripts.PATIENT)
        page = LivePage(node.record, path)
        node.subscribe(lambda _: page.touch())
        try:
            opened = threading.Event()
            looking = asyncio.ensure_future(asyncio.to_thread(look, page, opened))
            assert await asyncio.to_thread(opened.wait, 60)
            async with node:
                try:
                    await node.wait_for("ready")
                except InitializationFailed:
                    pass
                await looking
        finally:
            await asyncio.to_thread(page.close)

    asyncio.run(main())


@needs_browser
def test_a_browser_follows_a_run_to_ready(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    watched = threading.Event()

    class WaitsForTheBrowser:
        def on_before_placement(self, ctx: CallbackCtx) -> None:
            assert watched.wait(60)

    with browser() as seen:

        def look(page: LivePage, opened: threading.Event) -> None:
            seen.open(str(page.url))
            seen.until("document.querySelector('#live').textContent === 'live'")
            opened.set()
            seen.until("document.querySelector('.state')?.textContent === 'download'")
            seen.until("document.querySelector('progress')?.value > 0")
            watched.set()
            seen.until("document.querySelector('.state').textContent === 'ready'")
            assert seen.see("document.title") == "ready: live"

        bring_up(path, [], look, WaitsForTheBrowser())
        seen.until("document.querySelector('.state').textContent === 'released'")
        seen.until("document.querySelector('#live').hidden")
        served = seen.see("document.querySelector('main').innerText")
        seen.open(path.as_uri())
        assert seen.see("document.querySelector('main').innerText") == served
        assert seen.see("document.querySelector('#live').hidden")
        assert seen.see("document.querySelectorAll('.machine .taken').length") > 5
        for width in (360, 1600):
            seen.resize(width)
            assert seen.see("document.documentElement.scrollWidth") <= width
        assert seen.said == []


@needs_browser
@pytest.mark.slow
def test_a_browser_that_cannot_listen_asks_and_sees_why_a_run_failed(tmp_path: Path) -> None:
    with browser() as seen:
        seen.call("Page.addScriptToEvaluateOnNewDocument", source="delete window.EventSource")

        def look(page: LivePage, opened: threading.Event) -> None:
            seen.open(str(page.url))
            opened.set()
            seen.until("document.querySelector('.state')?.textContent === 'failed'")
            assert "reserve failed for good" in seen.see("document.querySelector('h1').innerText")

        bring_up(None, [SimFault("reserve", "permanent")], look)
        assert seen.see("document.querySelector('#live').hidden")
        assert seen.said == []


@needs_browser
@pytest.mark.slow
def test_a_browser_says_that_nobody_keeps_the_page_any_more(journal: Path) -> None:
    run = part(read_run(journal), 4)
    page = LivePage(lambda: run)
    with browser() as seen:
        seen.open(str(page.url))
        seen.until("document.querySelector('.state')?.textContent === 'download'")
        page.close()
        seen.until("document.querySelector('#live').textContent.includes('has ended')")
        assert seen.see("document.querySelector('.state').textContent") == "download"


@needs_browser
def test_nothing_hostile_runs_in_a_browser(tmp_path: Path) -> None:
    run = hostile_run()
    for name, text in {"a.html": run.to_html(), "a.svg": run.to_svg()}.items():
        (tmp_path / name).write_text(text)
    page = LivePage(lambda: run)
    with browser() as seen:
        for url in ((tmp_path / "a.html").as_uri(), (tmp_path / "a.svg").as_uri(), str(page.url)):
            seen.open(url)
            seen.until("document.documentElement.textContent.includes('pwned')")
            assert seen.see("document.title") != "pwned"
            assert seen.see("document.querySelectorAll('img').length") == 0
            assert seen.see("[...document.querySelectorAll('script')].length") <= 1
        assert seen.said == []
    page.close()


# -- the program -----------------------------------------------------------------------------------


def test_an_interrupt_of_a_watcher_leaves_nothing(journal: Path, tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "diagram", "--watch", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "NODEINIT_HOME": str(tmp_path)},
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first.startswith("page     http://127.0.0.1:"), first
    assert "waiting for" in process.stdout.readline()
    lines = journal.read_bytes().splitlines(keepends=True)
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as whoever writes a journal
        file.write(b"".join(lines[:4]))
        file.flush()
        assert "idle -> config" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in said, said
