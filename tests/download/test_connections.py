"""How bytes get here: through proxies, over TLS, over connections that are kept."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.sources import connections, source_for
from nodeinit.download.sources.addresses import address
from nodeinit.download.sources.places import place_of
from nodeinit.download.sources.stores import open_store
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.proxy import FaultProxy, hang_up
from tests.download.servers.azurite import sas_token
from tests.download.servers.bucket import Bucket
from tests.download.servers.tunnel import Tunnels, certificate, tunnels
from tests.download.servers.web import files_on_the_web, serving
from tests.download.trees import write_tree

DATA = bytes(range(256)) * 1000
FILE = ManifestFile("w.bin", len(DATA))


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy but the test's, and no connection of the test before."""
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    for name in ("http", "https", "all", "no"):
        for spelled in (f"{name}_proxy", f"{name}_proxy".upper()):
            monkeypatch.delenv(spelled, raising=False)
    monkeypatch.setattr(connections, "_idle", {})
    connections._context.cache_clear()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[str]:
    with files_on_the_web(write_tree(tmp_path / "m", {"w.bin": DATA})) as url:
        yield url


@pytest.fixture
def safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same over TLS, with a certificate that is trusted."""
    context, file = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    app = web.Application()
    app.router.add_static("/", write_tree(tmp_path / "m", {"w.bin": DATA}))
    with serving(app, context) as url:
        yield url


def read(ref: str, offset: int = 0, length: int | None = None) -> bytes:
    buffer, found = memoryview(bytearray(100_000)), b""
    with source_for(ref).open(ref, FILE, offset, length) as reader:
        while count := reader.readinto(buffer):  # type: ignore[attr-defined]
            found += buffer[:count]
    return found


def test_over_tls_whom_the_user_trusts(safe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(safe) == DATA
    assert read(safe, 70_000, 90_000) == DATA[70_000:160_000]
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setattr(connections, "_idle", {})
    with pytest.raises(PermanentError, match=r"^unsupported: .*not trusted; set SSL_CERT_FILE"):
        read(safe)


def test_over_tls_through_a_proxy_that_wants_a_login(
    safe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tunnels() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:pla%40nted@127.0.0.1:{proxy.port}")
        assert read(safe) == read(safe) == DATA
        assert len(proxy.heads) == 1  # the tunnel is kept
        login = base64.b64encode(b"me:pla@nted").decode()
        assert f"Proxy-Authorization: Basic {login}" in proxy.heads[0]
        assert_its_refusal_is_explained(proxy, safe, monkeypatch)


def assert_its_refusal_is_explained(
    proxy: Tunnels, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_idle", {})
    proxy.refuses = True
    with pytest.raises(TemporaryError, match=r"^unavailable: .*the proxy refuses") as refused:
        read(url)
    assert "pla" not in str(refused.value)


@pytest.mark.parametrize(
    ("no_proxy", "is_used"),
    [
        ("", True),
        ("example.org, .internal", True),
        ("10.0.0.0/8", True),
        ("27.0.0.1", True),
        ("127.0.0.1:1", True),
        ("localhost,127.0.0.1", False),
        ("127.0.0.0/8", False),
        ("*", False),
    ],
)
def test_plain_http_through_a_proxy_unless_it_says_no(
    plain: str, monkeypatch: pytest.MonkeyPatch, no_proxy: str, is_used: bool
) -> None:
    with FaultProxy(plain) as proxy:
        monkeypatch.setenv("all_proxy", proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        assert read(plain) == DATA
        assert [one.target for one in proxy.seen] == ([f"{plain}/w.bin"] if is_used else [])


def test_a_proxy_of_another_kind_is_refused(plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(PermanentError, match=r"^unsupported: the proxy for http .*http://HOST"):
        read(plain)


def test_a_connection_that_was_closed_while_it_was_kept_is_no_failure(plain: str) -> None:
    with FaultProxy(plain) as proxy:
        read(proxy.url)
        proxy.add(hang_up())
        assert read(proxy.url) == DATA
        proxy.add(hang_up(times=2))
        with pytest.raises(TemporaryError, match=r"^unavailable: .*broke off"):
            read(proxy.url)


def test_connections_are_used_again_when_all_was_read(plain: str) -> None:
    read(plain)
    [kept] = [one for idle in connections._idle.values() for one in idle]
    read(plain, 5, 10)
    assert [one[1] for idle in connections._idle.values() for one in idle] == [kept[1]]
    with source_for(plain).open(plain, FILE) as reader:
        reader.read(10)
    assert [one for idle in connections._idle.values() for one in idle] == []


def opened(ref: str) -> Any:
    return open_store(place_of(ref), DownloadSettings())


def test_whoever_may_read_without_a_key_reads_by_the_plain_address(no_credentials: None) -> None:
    def plain_address(ref: str) -> str | None:
        place = place_of(ref)
        return address(place, opened(ref), place.key("a b%.bin"))

    s3 = "https://s3.us-east-1.amazonaws.com/bucket/m/a%20b%25.bin"
    assert plain_address("s3://anonymous@bucket/m") == s3
    google = "https://storage.googleapis.com/bucket/m/a%20b%25.bin"
    assert plain_address("gs://anonymous@bucket/m") == google


def test_who_cannot_sign_here_has_no_address(
    no_credentials: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    user = tmp_path / "user.json"
    secrets = {"client_id": "i", "client_secret": "s", "refresh_token": "t"}
    user.write_text(json.dumps({"type": "authorized_user", **secrets}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(user))
    ref = "gs://bucket/m"
    assert address(place_of(ref), opened(ref), "m/w.bin") is None
    ref = "abfss://container@account.dfs.core.windows.net/m"
    monkeypatch.setenv("AZURE_STORAGE_TOKEN", "planted")
    assert address(place_of(ref), opened(ref), "m/w.bin") is None


def test_a_service_account_of_google_signs(
    no_credentials: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {"type": "service_account", "private_key": key.decode(), "private_key_id": "1"}
    names = {"client_email": "me@example.org", "client_id": "1", "project_id": "p"}
    file = tmp_path / "account.json"
    file.write_text(json.dumps({**account, **names}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    ref = "gs://bucket/m"
    url = address(place_of(ref), opened(ref), "m/w.bin") or ""
    assert url.startswith("https://storage.googleapis.com/bucket/m/w.bin?X-Goog-")


def test_a_clock_that_is_wrong_is_named(
    s3: Bucket, no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server says only that it denies access."""

    async def deny(request: web.Request) -> web.Response:
        date = {"Date": "Fri, 27 Nov 2020 10:00:00 GMT"} if "early" in request.path else {}
        return web.Response(status=403, text="<Code>AccessDenied</Code>", headers=date)

    app = web.Application()
    app.router.add_get("/{key:.*}", deny)
    with serving(app) as url:
        for name, value in {**s3.environment, "AWS_ENDPOINT_URL_S3": url}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(PermanentError, match=r"^auth: .*clock .* minutes.*set the clock"):
            read("s3://bucket/early")
        with pytest.raises(PermanentError, match=r"^auth: .*forbids it .*AccessDenied"):
            read("s3://bucket/now")


def test_the_host_is_asked_for_as_it_was_signed(plain: str) -> None:
    """A port that is the scheme's own may be in the name."""
    with FaultProxy(plain) as proxy:
        name = proxy.url.replace("127.0.0.1", "LocalHost")
        read(name)
        assert proxy.seen[0].headers["host"] == name.removeprefix("http://")


def test_a_signature_ends_soon(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    url = address(place_of(s3.ref), opened(s3.ref), "m/w.bin") or ""
    assert "X-Amz-Expires=900&" in url
    assert f"X-Amz-Date={datetime.now(UTC) - timedelta(seconds=2):%Y%m%dT%H}" in url


def test_a_shared_access_signature_is_an_address_itself(
    azure: Bucket, no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = azure.write("by-signature", {"w.bin": DATA})
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", azure.environment["AZURE_STORAGE_ENDPOINT"])
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", sas_token())
    assert "sig=" in (address(place_of(ref), opened(ref), "by-signature/w.bin") or "")
    assert read(ref, 7, 100) == DATA[7:107]
