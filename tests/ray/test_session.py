"""Starting, sharing and ending a Ray of our own, each time in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Script = Callable[..., "subprocess.Popen[str]"]


def of_session(session: int) -> dict[int, str]:
    """The living processes of a session, by id: a program and all that it started."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            name, rest = (entry / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        except (OSError, IndexError):
            continue
        state, _, _, its_session = rest.split()[:4]
        if int(its_session) == session and state != "Z":
            found[int(entry.name)] = name
    return found


def left(session: int, *names: str) -> dict[int, str]:
    """What is left of a session (with one of these names) when it has had time to end."""
    for _ in range(400):
        living = of_session(session)
        remaining = {pid: name for pid, name in living.items() if not names or name in names}
        if not remaining:
            break
        time.sleep(0.05)
    return remaining


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    """Runs a script in a new home and a session of its own."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "home").mkdir()

    def start(code: str, **env: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**kept, "HOME": str(tmp_path / "home"), **env},
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        for pid in of_session(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert err == ""
    assert left(process.pid) == {}
    return out


EMBEDDED = """
import asyncio, functools, os, signal
from nodeinit.fsm.executor import ThreadExecutor
from nodeinit.ray import RayCluster

async def main():
    # In threads that end, as an event loop does it: Ray must outlive the one it was started in.
    connect = functools.partial(RayCluster.connect, num_cpus=3)
    first, second = await asyncio.gather(
        ThreadExecutor().call(connect), ThreadExecutor().call(connect)
    )
    await asyncio.sleep(0.5)
    host, = (await first.snapshot()).hosts
    assert host.alive and host.total["CPU"] == 30_000, host
    assert "RAY_AUTH_TOKEN" not in os.environ
    # Ctrl-C on a terminal reaches the whole group: only the program itself may act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.killpg(os.getpgrp(), signal.SIGINT)
    await asyncio.sleep(1)
    await second.close()
    assert len((await first.snapshot()).alive) == 1
    await first.close()
    await first.close()
    import ray
    assert not ray.is_initialized()
    print("fine")

asyncio.run(main())
"""


def test_an_embedded_ray_is_shared_quiet_and_ends_with_its_last_user(
    script: Script, tmp_path: Path
) -> None:
    assert finish(script(EMBEDDED)) == "fine\n"
    token = tmp_path / "home" / ".ray" / "auth_token"
    assert token.exists()
    assert token.parent.stat().st_mode & 0o077 == 0, "the token is nobody else's"


KILLED = """
import os, sys
from nodeinit.ray import RayCluster
assert "RAY_AUTH_MODE" not in os.environ
cluster = RayCluster.simulated(hosts=2, gpus_per_host=1)
assert os.environ["RAY_AUTH_MODE"] == "token"
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_a_ray_of_ours_needs_no_home_and_does_not_outlive_its_program(script: Script) -> None:
    process = script(KILLED, HOME="/dev/null/home")
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    assert sorted(of_session(process.pid).values()).count("raylet") == 3
    process.send_signal(signal.SIGKILL)
    # The helpers of the raylets look for their head for another minute, and then end too.
    assert left(process.pid, "python", "raylet", "gcs_server") == {}


OWN = """
import asyncio, ray, time
from nodeinit.ray import RayCluster
from nodeinit.errors import ConfigError
ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR")
address = ray.get_runtime_context().gcs_address
cluster = RayCluster.connect("nowhere:1")  # a Ray that is there comes first
asyncio.run(cluster.close())
assert ray.is_initialized()
try:
    RayCluster.simulated()
except ConfigError as error:
    print(error)
ray.shutdown()
cluster = RayCluster.simulated(hosts=2, gpus_per_host=1)
assert len(asyncio.run(cluster.snapshot()).alive) == 3
# Ray has a lot to say about a host that dies, on the stdout of whoever is connected.
cluster.hosts.kill_host(cluster.hosts.node_ids[0])
time.sleep(3)
assert len(asyncio.run(cluster.snapshot()).alive) == 2
asyncio.run(cluster.close())
assert not ray.is_initialized()
"""


@pytest.mark.slow
def test_a_ray_that_was_there_before_is_used_and_never_ended(script: Script) -> None:
    (line,) = finish(script(OWN)).splitlines()
    assert "connected to a Ray already" in line


SERVED = """
import sys, ray
from nodeinit.ray import RayCluster
cluster = RayCluster.connect(num_cpus=1)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""

CONNECTING = """
import asyncio
from nodeinit.ray import RayCluster
from nodeinit.errors import ConfigError
try:
    cluster = RayCluster.connect()
    print(len(asyncio.run(cluster.snapshot()).alive))
    asyncio.run(cluster.close())
except ConfigError as error:
    print(error)
"""


@pytest.mark.slow
def test_the_ray_of_the_environment_is_connected_to_if_its_token_is_shown(script: Script) -> None:
    served = script(SERVED)
    assert served.stdout is not None and served.stdin is not None
    address = served.stdout.readline().strip()
    assert finish(script(CONNECTING, RAY_ADDRESS=address, RAY_AUTH_MODE="token")) == "1\n"
    refused = finish(script(CONNECTING, RAY_ADDRESS=address))
    assert f"address = '{address}'" in refused
    assert "wants a token" in refused and "RAY_AUTH_MODE=token" in refused
    served.stdin.close()  # it ends without having closed anything
    assert left(served.pid) == {}


# Ray takes the loopback address for the machine's own, so these listen on every address.


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    with socket.create_server(("", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def web() -> Iterator[str]:
    """A server, but of another kind."""
    with socket.create_server(("", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["silent", "closed", "web"])
def test_an_address_without_ray_is_refused_by_name(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself needs two minutes to say so, and then ends the process."""
    from nodeinit.errors import ConfigError
    from nodeinit.ray import reach
    from nodeinit.ray.reach import check_reachable

    monkeypatch.setattr(reach, "_TIMEOUT", 0.5)
    address = request.getfixturevalue(kind)
    with pytest.raises(ConfigError) as caught:
        check_reachable(address)
    assert repr(address) in str(caught.value)
    assert "head" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ray://head:10001", "Ray Client"),
        ("head", "Invalid address format: head"),
        ("no-such-host.invalid:6379", "no Ray answers there"),
    ],
)
def test_what_is_no_address_is_refused_by_name(address: str, says: str) -> None:
    from nodeinit.errors import ConfigError
    from nodeinit.ray.reach import check_reachable

    with pytest.raises(ConfigError, match=says) as caught:
        check_reachable(address)
    assert repr(address) in str(caught.value)


def test_importing_the_package_does_not_import_ray(script: Script) -> None:
    code = "import sys, nodeinit, nodeinit.ray; print('ray' in sys.modules)"
    assert finish(script(code)) == "False\n"
