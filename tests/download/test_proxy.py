"""The fault proxy, before a real server and with a client of the standard library."""

from __future__ import annotations

import functools
import http.client
import http.server
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.download.proxy import FaultProxy, flip, hang_up, refuse, reset, stall, truncate

DATA = bytes(range(256)) * 1024


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Connections that break are what is tested."""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[FaultProxy]:
    (tmp_path / "a.bin").write_bytes(DATA)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with FaultProxy(f"http://127.0.0.1:{server.server_address[1]}") as proxy:
            yield proxy
        server.shutdown()


def get(proxy: FaultProxy, timeout: float = 10) -> bytes:
    with urllib.request.urlopen(f"{proxy.url}/a.bin", timeout=timeout) as answer:
        return bytes(answer.read())


def test_without_a_fault_bytes_pass_and_are_counted(proxy: FaultProxy) -> None:
    assert get(proxy) == DATA
    seen = [(one.method, one.target, one.headers.get("user-agent")) for one in proxy.seen]
    # Whoever had this port before may be looked for here: then it says who that is.
    assert [one[:2] for one in seen] == [("GET", "/a.bin")], seen
    assert proxy.sent == len(DATA)
    assert (proxy.count("GET", "a.bin"), proxy.count("HEAD")) == (1, 0)


def test_one_connection_serves_several_requests(proxy: FaultProxy) -> None:
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=10)
    for _ in range(2):
        connection.request("HEAD", "/a.bin")
        assert connection.getresponse().read() == b""
        connection.request("GET", "/a.bin")
        assert connection.getresponse().read() == DATA
    connection.close()


def test_a_refusal_is_counted_and_may_say_when_to_come_back(proxy: FaultProxy) -> None:
    proxy.add(refuse(429, times=2, retry_after=7))
    for _ in range(2):
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(proxy)
        assert (refused.value.code, refused.value.headers["Retry-After"]) == (429, "7")
    assert get(proxy) == DATA


def test_a_fault_strikes_only_what_it_names(proxy: FaultProxy) -> None:
    proxy.add(refuse(500, path="other", times=None), refuse(500, method="HEAD", times=None))
    assert get(proxy) == DATA


def test_a_connection_is_reset_after_some_bytes_or_before_any(proxy: FaultProxy) -> None:
    proxy.add(reset(after=1000), hang_up())
    with pytest.raises(ConnectionResetError):
        get(proxy)
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected, urllib.error.URLError)):
        get(proxy)
    assert get(proxy) == DATA


def test_a_body_ends_before_its_length(proxy: FaultProxy) -> None:
    proxy.add(truncate(after=1000))
    with pytest.raises(http.client.IncompleteRead) as short:
        get(proxy)
    assert short.value.partial == DATA[:1000]


def test_a_body_stalls(proxy: FaultProxy) -> None:
    proxy.add(stall(after=1000))
    with pytest.raises(TimeoutError):
        get(proxy, timeout=0.3)


def test_one_bit_of_one_byte_is_wrong(proxy: FaultProxy) -> None:
    proxy.add(flip(byte=100_000))
    got = get(proxy)
    assert [i for i, (a, b) in enumerate(zip(got, DATA, strict=True)) if a != b] == [100_000]
    assert get(proxy) == DATA


def test_bandwidth_is_shared_and_latency_is_waited(proxy: FaultProxy) -> None:
    proxy.bandwidth, proxy.latency = len(DATA) * 2, 0.2
    clock = threading.Event()
    timer = threading.Timer(0.6, clock.set)
    timer.start()
    assert get(proxy) == DATA
    assert clock.is_set()  # never sooner, however fast the machine
