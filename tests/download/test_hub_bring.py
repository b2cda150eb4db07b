"""The hub's own library at work in a process of its own: faults, ends, and what is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.manifest import Manifest
from nodeinit.download.watch import Stopped, Watch
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.faults import Fault
from tests.download.hubs import MODEL, REPO, TOKEN, World
from tests.download.hubs import world_fixture as world_fixture
from tests.download.proxy import FaultProxy, hang_up, refuse, reset, stall

SLOW = 150_000  # bytes per second: the usual model takes two seconds
QUICK = DownloadSettings(stall=1.5)


def into(
    world: World,
    name: str = "brought",
    *,
    manifest: Manifest | None = None,
    should_stop: Callable[[], bool] | None = None,
    on_progress: Callable[[int, int, str, str], None] | None = None,
) -> Path:
    """Bring all files to a directory, and answer which."""
    directory = world.root / name
    directory.mkdir(exist_ok=True)
    made = manifest or world.manifest()
    watch = Watch(on_progress, should_stop)
    watch.begin("fetch", made.size)
    world.source.bring(made.source, made.files, directory, watch)
    return directory


def tree(directory: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in directory.rglob("*")
        if file.is_file()
    }


def children_of(pid: int) -> list[int]:
    """The processes of ours below a process, that are not dead."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(stat[1]) == pid and stat[0] != "Z":
                found += (
                    [int(entry.name)] if b"hub_child" in (entry / "cmdline").read_bytes() else []
                )
    return found


def until(condition: Callable[[], object], patience: float = 20.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(name="proxy")
def proxy_fixture(world: World) -> Iterator[FaultProxy]:
    with FaultProxy(world.hub.url) as proxy:
        yield proxy


@pytest.fixture(name="far")
def far_fixture(world: World, proxy: FaultProxy) -> World:
    """The same hub behind the proxy, with the usual model."""
    world.hub.add(REPO, MODEL)
    return world.with_env(HF_ENDPOINT=proxy.url)


@pytest.mark.parametrize("xet", [False, True])
def test_files_come_whole_and_nothing_else_stays(world: World, xet: bool) -> None:
    world.hub.add(REPO, MODEL, xet=xet)
    seen: list[tuple[int, int]] = []
    brought = into(world, on_progress=lambda done, total, *_: seen.append((done, total)))
    assert tree(brought) == MODEL
    assert world.hub.count("xet-read-token") == (1 if xet else 0)
    assert world.hub.count("/cdn/") == (0 if xet else 1)
    total = sum(map(len, MODEL.values()))
    assert seen == sorted(seen)
    assert seen[-1] == (total, total)


def test_only_the_files_of_a_mode_are_brought(world: World) -> None:
    odd = {"a[1].json": b"{}", "a1.json": b"[]", "*.json": b"1"}
    world.hub.add(REPO, {**MODEL, **odd})
    made = world.manifest()
    wanted = tuple(file for file in made.files if file.path in ("a[1].json", "*.json"))
    brought = into(world, manifest=attrs.evolve(made, files=wanted))
    assert tree(brought) == {"a[1].json": b"{}", "*.json": b"1"}


def test_what_is_there_already_is_not_brought_again(world: World) -> None:
    world.hub.add(REPO, MODEL)
    (world.root / "brought").mkdir()
    (world.root / "brought" / "model.safetensors").write_bytes(MODEL["model.safetensors"])
    assert tree(into(world)) == MODEL
    assert world.hub.count("GET /cdn/") == 0


def test_the_token_is_shown_to_the_hub_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.hub.add(REPO, MODEL, private=True)
    with caplog.at_level("DEBUG"), FaultProxy(world.hub.url, bandwidth=SLOW) as proxy:
        there = world.with_env(HF_ENDPOINT=proxy.url, HF_TOKEN=TOKEN)
        thread = threading.Thread(target=into, args=(there,))
        thread.start()
        until(lambda: children_of(os.getpid()))
        [child] = children_of(os.getpid())
        assert TOKEN.encode() not in Path(f"/proc/{child}/cmdline").read_bytes()
        thread.join()
    assert tree(world.root / "brought") == MODEL
    assert {one.token for one in world.hub.asked if "/cdn/" in one.path} == {""}
    assert {one.token for one in world.hub.asked if "/cdn/" not in one.path} == {TOKEN}
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "faults",
    [
        [
            refuse(500, times=1, path="/resolve/"),
            refuse(503, times=1, path="/cdn/"),
            reset(after=100_000, times=1, path="/cdn/"),
        ],
        [
            refuse(429, times=1, path="/tree/", retry_after=0),
            refuse(500, times=1, path="/tree/"),
            refuse(429, times=1, path="/resolve/", retry_after=0),
            hang_up(times=1, path="/cdn/"),
        ],
    ],
    ids=["files", "listing"],
)
def test_what_passes_is_waited_out(far: World, proxy: FaultProxy, faults: list[Fault]) -> None:
    made = far.manifest()
    proxy.faults += faults
    assert tree(into(far, manifest=made)) == MODEL
    assert all(fault.struck for fault in faults)


@pytest.mark.parametrize("route", ["/tree/", "/cdn/"])
def test_a_long_wait_is_left_to_the_driver(far: World, proxy: FaultProxy, route: str) -> None:
    made = far.manifest()
    proxy.add(refuse(429, times=None, path=route, retry_after=120))
    with pytest.raises(TemporaryError, match=r"^rate_limited: ") as caught:
        into(far, manifest=made)
    assert caught.value.delay == 120


@pytest.mark.slow
def test_a_hub_that_stays_broken_is_given_up(far: World, proxy: FaultProxy) -> None:
    made = far.manifest()
    proxy.add(refuse(500, times=None, path="config.json", method=".*"))
    far = attrs.evolve(far, settings=QUICK)
    with pytest.raises(TemporaryError, match=r"^(unavailable: \S+ answered 500|stalled: )"):
        into(far, manifest=made)
    assert children_of(os.getpid()) == []


def test_refusals_are_permanent(world: World) -> None:
    commit = world.hub.add(REPO, MODEL, gated=True)
    with pytest.raises(PermanentError, match=r"^gated: ") as caught:
        into(world, manifest=world.manifest(f"{REPO}@{commit}"))
    assert "accept it at" in str(caught.value)
    world.hub.repos[REPO].private = True
    made = world.with_env(HF_TOKEN=TOKEN).manifest()
    with pytest.raises(PermanentError, match=r"^not_found: "):
        into(world, manifest=made)


def test_offline_nothing_is_started(world: World) -> None:
    world.hub.add(REPO, MODEL)
    made = world.manifest()
    asked = world.hub.count()
    with pytest.raises(PermanentError, match="HF_HUB_OFFLINE forbids it"):
        into(world.with_env(HF_HUB_OFFLINE="1"), manifest=made)
    assert world.hub.count() == asked


def test_a_stop_kills_the_process_and_all_that_is_half(far: World, proxy: FaultProxy) -> None:
    made = far.manifest()
    proxy.bandwidth = SLOW
    seen: list[int] = []

    def should_stop() -> bool:
        seen.extend(children_of(os.getpid()))
        return bool(seen) and proxy.sent > 50_000

    with pytest.raises(Stopped):
        into(far, manifest=made, should_stop=should_stop)
    assert seen
    assert not any(is_alive(pid) for pid in seen)
    left = tree(far.root / "brought")
    assert "model.safetensors" not in left
    assert not any("cache" in name or "incomplete" in name for name in left)


def test_a_process_that_dies_is_temporary_and_a_rerun_completes(
    far: World, proxy: FaultProxy
) -> None:
    made = far.manifest()
    proxy.bandwidth = SLOW

    def kill() -> bool:
        if proxy.sent > 50_000:
            for pid in children_of(os.getpid()):
                os.kill(pid, signal.SIGKILL)
        return False

    with pytest.raises(TemporaryError, match=r"was killed by signal 9: is this host out of memory"):
        into(far, manifest=made, should_stop=kill)
    proxy.bandwidth = None
    assert tree(into(far, manifest=made)) == MODEL


_PARENT = """
import sys
from pathlib import Path
from nodeinit.download.sources.hub import HubSource
from nodeinit.download.watch import Watch
ref, directory, index = sys.argv[1:]
source = HubSource()
made = source.manifest(ref, ref, index=Path(index))
watch = Watch()
watch.begin("fetch", made.size)
source.bring(made.source, made.files, Path(directory), watch)
"""


def test_a_parent_that_is_killed_takes_the_process_along(far: World, proxy: FaultProxy) -> None:
    # It hears nothing, so it has nothing to say, and cannot notice that nobody listens.
    proxy.add(stall(after=100_000, times=None, path="/cdn/"))
    (far.root / "brought").mkdir()
    command = [sys.executable, "-c", _PARENT, REPO]
    command += [str(far.root / "brought"), str(far.root / "index")]
    parent = subprocess.Popen(command, env={**os.environ, **far.env})
    try:
        until(lambda: proxy.sent >= 100_000 and children_of(parent.pid))
        time.sleep(0.5)  # for the last of its words
        [child] = children_of(parent.pid)
    finally:
        parent.kill()
        parent.wait()
    until(lambda: not is_alive(child), patience=4)  # the library's own patience is 10
    proxy.faults.clear()
    assert tree(into(far)) == MODEL


def test_a_transfer_that_stalls_is_tried_once_more(far: World, proxy: FaultProxy) -> None:
    made = far.manifest()
    proxy.add(stall(after=50_000, times=1, path="/cdn/"))
    assert tree(into(attrs.evolve(far, settings=QUICK), manifest=made)) == MODEL


def test_a_slow_line_is_no_stall(far: World, proxy: FaultProxy) -> None:
    made = far.manifest()
    proxy.bandwidth = 100_000
    far = attrs.evolve(far, settings=DownloadSettings(stall=2.0))
    assert tree(into(far, manifest=made)) == MODEL
    assert far.hub.count("GET /cdn/") == 1


def test_a_stall_of_xet_is_answered_without_xet(world: World) -> None:
    world.hub.add(REPO, MODEL, xet=True)
    with FaultProxy(world.hub.url) as proxy:
        there = attrs.evolve(world.with_env(HF_ENDPOINT=proxy.url), settings=QUICK)
        proxy.add(stall(after=0, times=None, path="xet-read-token"))
        assert tree(into(there)) == MODEL
    assert world.hub.count("/cdn/") == 1


@pytest.mark.slow
def test_a_stall_that_lasts_is_temporary(far: World, proxy: FaultProxy) -> None:
    made = far.manifest()
    proxy.add(stall(after=50_000, times=None, path="/cdn/"))
    with pytest.raises(TemporaryError, match=r"^stalled: no byte of org/model@"):
        into(attrs.evolve(far, settings=QUICK), manifest=made)
    assert children_of(os.getpid()) == []
