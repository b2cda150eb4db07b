"""Files on web servers: their indexes, their ranges, and what is refused."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from aiohttp import web

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.sources import source_for
from nodeinit.download.sources.web import delay_of
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.faults import Fault
from tests.download.proxy import FaultProxy, hang_up, refuse, reset
from tests.download.servers.web import files_on_the_web, serving
from tests.download.trees import write_tree

FILES = {
    "config.json": b'{"a": 1}',
    "model.safetensors": bytes(range(256)) * 4000,
    "sub/we ird+%20~é#?.txt": b"text",
    "empty.txt": b"",
}
SUMS = {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}
SHA256SUMS = "".join(f"{digest}  ./{path}\n" for path, digest in SUMS.items()).encode()
ROWS = [{"path": path, "size": len(FILES[path]), "sha256": digest} for path, digest in SUMS.items()]


@pytest.fixture(autouse=True)
def no_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_tree(tmp_path / "m2", {"other.txt": b"no part of it"})
    return write_tree(tmp_path / "m", FILES)


@pytest.fixture
def url(directory: Path) -> Iterator[str]:
    with files_on_the_web(directory.parent) as url:
        yield f"{url}/m"


@pytest.fixture
def bare(directory: Path) -> Iterator[str]:
    """The same without index pages."""
    with files_on_the_web(directory.parent, index=False) as url:
        yield f"{url}/m"


def manifest(ref: str) -> Manifest:
    return source_for(ref).manifest(ref, "org/model")


def body(ref: str, file: ManifestFile, offset: int = 0, length: int | None = None) -> bytes:
    with source_for(ref).open(ref, file, offset, length) as reader:
        return b"".join(iter(lambda: reader.read(100_000), b""))


def test_an_index_page_is_followed_into_its_directories(url: str) -> None:
    made = manifest(url)
    assert {f.path: f.size for f in made.files} == {p: len(data) for p, data in FILES.items()}
    assert made.source == url + "/"
    assert all(file.version.startswith('"') for file in made.files)
    assert manifest(url + "/") == made
    for file in made.files:
        assert body(made.source, file) == FILES[file.path]


@pytest.mark.parametrize("name", ["SHA256SUMS", "manifest.json"])
def test_checksums_in_a_directory_are_taken(
    directory: Path, url: str, bare: str, name: str
) -> None:
    text = SHA256SUMS if name == "SHA256SUMS" else json.dumps({"files": ROWS}).encode()
    (directory / name).write_bytes(text)
    for ref, also in ((url, [name]), (bare, []), (f"{bare}/", []), (f"{bare}/{name}", [])):
        made = manifest(ref)
        assert {f.path: f.sha256 for f in made.files if f.path != name} == SUMS
        assert sorted(f.path for f in made.files) == sorted([*FILES, *also])
        file = next(file for file in made.files if file.path == "config.json")
        assert body(made.source, file, 2, 3) == FILES["config.json"][2:5]


def test_the_index_may_be_called_anything(directory: Path, bare: str) -> None:
    (directory / "v1.json").write_text(json.dumps(ROWS))
    (directory / "v1.txt").write_bytes(SHA256SUMS)
    for name in ("v1.json", "v1.txt"):
        assert {f.path: f.sha256 for f in manifest(f"{bare}/{name}").files} == SUMS


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"path": "../x", "size": 1, "sha256": "0" * 64}], "^unsafe_path: '../x'"),
        ([{"path": "/x", "size": 1, "sha256": "0" * 64}], "^unsafe_path: '/x'"),
        ([{"path": "gone", "size": 1, "sha256": "0" * 64}], "^not_found: .*'gone'"),
        ([{"path": "config.json", "size": 9, "sha256": "0" * 64}], "^corrupted: .*9 bytes.*has 8"),
        ([{"path": "config.json", "size": -1, "sha256": "0" * 64}], "^unsupported: an entry"),
        ([{"path": "config.json", "size": 8, "sha256": "abc"}], "^unsupported: an entry"),
        ([ROWS[0], {**ROWS[0], "sha256": "0" * 64}], "^unsupported: .*two entries"),
        ([ROWS[0], {"path": "Config.json", "sha256": "0" * 64}], "differ by case alone"),
        ({"version": 1}, "^unsupported: .*not a list of files"),
    ],
)
def test_a_list_that_is_wrong_is_refused(
    directory: Path, bare: str, rows: object, message: str
) -> None:
    (directory / "list.json").write_text(json.dumps(rows))
    with pytest.raises(PermanentError, match=message):
        manifest(f"{bare}/list.json")


def test_d4_without_an_index_it_is_not_found(bare: str, url: str, directory: Path) -> None:
    with pytest.raises(PermanentError, match=r"^(not_found|auth): cannot read the index"):
        manifest(bare)
    (directory / "empty").mkdir()
    with pytest.raises(PermanentError, match=r"^not_found: .*/m/empty/ has no index of files"):
        manifest(f"{url}/empty/")
    with pytest.raises(PermanentError, match=r"^not_found: cannot read the index"):
        manifest(f"{url}/nowhere")


def test_a_file_that_was_overwritten_is_not_read(directory: Path, url: str) -> None:
    made = manifest(url)
    (directory / "config.json").write_bytes(b'{"a": 2}')
    os.utime(directory / "config.json", (1, 1))
    with pytest.raises(PermanentError, match=r"^changed: cannot read 'config.json' in http"):
        body(made.source, made.files[0], 1, 2)
    assert manifest(url).revision != made.revision


def test_offline_what_is_remembered_is_the_answer(
    directory: Path, bare: str, tmp_path: Path
) -> None:
    (directory / "list.json").write_text(json.dumps(ROWS))
    with FaultProxy(bare.removesuffix("/m")) as proxy:
        ref = f"{proxy.url}/m/list.json"
        source = source_for(ref)
        made = source.manifest(ref, "m", index=tmp_path / "index")
        proxy.forget()
        assert source.manifest(ref, "m", index=tmp_path / "index", offline=True) == made
        with pytest.raises(PermanentError, match=r"^unavailable: "):
            source.manifest(ref, "m", offline=True)
        assert proxy.seen == []


class NoRanges(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture
def no_ranges(directory: Path) -> Iterator[str]:
    """The server of the standard library: index pages, no ETags and no ranges."""
    handler = functools.partial(NoRanges, directory=str(directory.parent))
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/m"
        server.shutdown()


def test_a_server_without_ranges_gives_whole_files_and_nothing_else(no_ranges: str) -> None:
    made = manifest(no_ranges)
    assert {f.path: f.size for f in made.files} == {p: len(data) for p, data in FILES.items()}
    big = next(file for file in made.files if file.path == "model.safetensors")
    assert body(made.source, big) == FILES["model.safetensors"]
    with pytest.raises(PermanentError, match=r"^unsupported: .*does not serve ranges"):
        body(made.source, big, 5, 10)


def test_without_etags_the_time_of_the_last_change_is_the_version(
    directory: Path, no_ranges: str
) -> None:
    made = manifest(no_ranges)
    assert {file.version[:15] for file in made.files} == {"last-modified: "}
    (directory / "config.json").write_bytes(b'{"a": 2}')
    os.utime(directory / "config.json", (2e9, 2e9))
    with pytest.raises(PermanentError, match=r"^changed: "):
        body(made.source, made.files[0])


@pytest.mark.parametrize(
    ("fault", "kind", "word"),
    [
        (refuse(403, times=None), PermanentError, "auth"),
        (refuse(404, times=None), PermanentError, "not_found"),
        (refuse(429, retry_after=7, times=None), TemporaryError, "rate_limited"),
        (refuse(503, retry_after=7, times=None), TemporaryError, "unavailable"),
        (refuse(500, times=None), TemporaryError, "unavailable"),
        (hang_up(times=None), TemporaryError, "unavailable"),
        (reset(after=4, times=None), TemporaryError, "unavailable"),
    ],
    ids=lambda value: f"{value.kind}{value.status}" if hasattr(value, "kind") else None,
)
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_each_failure_has_its_word(
    url: str, fault: Fault, kind: type[Exception], word: str, method: str
) -> None:
    root = url.removesuffix("/m")
    with FaultProxy(root) as proxy:
        ref = f"{proxy.url}/m"
        made = manifest(ref)
        if method == "HEAD" and fault.kind == "reset":
            pytest.skip("an answer to HEAD has no body to break off in")
        proxy.add(attrs.evolve(fault, method=method, path="config"))
        with pytest.raises(kind, match=rf"^{word}: cannot .*'config.json'") as failed:
            if method == "HEAD":
                manifest(ref)
            else:
                body(made.source, made.files[0])
        if "Retry-After" in fault.headers:
            assert failed.value.delay == 7


def test_a_path_in_an_index_page_cannot_lead_out() -> None:
    pages = {
        "slash": '<a href="..%2f..%2fetc%2fpasswd">x</a>',
        "dots": '<a href="sub/%2e%2e/%2e%2e/x">x</a>',
        "case": '<a href="a">x</a><a href="A">x</a>',
        "nul": '<a href="a%00b">x</a>',
        "elsewhere": '<a href="http://127.0.0.1:1/x">x</a><a href="/x">x</a><a href="../x">x</a>',
        "endless": '<a href="deeper/">x</a>',
    }

    async def page(request: web.Request) -> web.Response:
        name = request.path.strip("/").split("/")[0]
        if name not in pages or request.path.endswith((".json", "SUMS")):
            raise web.HTTPNotFound
        return web.Response(text=pages[name], content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    with serving(app) as url:
        for name in ("slash", "dots", "case", "nul"):
            with pytest.raises(PermanentError, match=r"^unsafe_path: "):
                manifest(f"{url}/{name}/")
        with pytest.raises(PermanentError, match=r"^not_found: .*no index of files"):
            manifest(f"{url}/elsewhere/")
        with pytest.raises(PermanentError, match="goes on without an end"):
            manifest(f"{url}/endless/")


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("http://example.invalid/m", "^unsupported: .*plain http to example.invalid.*allow_http"),
        ("https://user:planted@example.invalid/m", "^auth: https://example.invalid: a password"),
        ("https://example.invalid/m?sig=planted", "^auth: https://example.invalid: .*query"),
        ("https://example.invalid/a/../b", "^unsafe_path: "),
        ("https:///m", "^unsupported: "),
        ("https://[::1/m", "^unsupported: "),
    ],
)
def test_urls_that_are_refused_before_a_socket_is_opened(ref: str, message: str) -> None:
    with pytest.raises(PermanentError, match=message) as refused:
        manifest(ref)
    assert "planted" not in str(refused.value)


def test_plain_http_to_another_host_needs_the_users_word() -> None:
    ref = "http://nodeinit-test.invalid/m"
    settings = DownloadSettings(allow_http=True)
    with pytest.raises(TemporaryError, match=r"^unavailable: "):
        source_for(ref, settings).manifest(ref, "m")


def test_a_redirect_is_followed_but_not_to_where_one_may_not_go(directory: Path) -> None:
    async def moved(request: web.Request) -> web.Response:
        target = request.path.replace("/old/", "/m/")
        raise web.HTTPFound("http://example.invalid/x" if "evil" in request.path else target)

    app = web.Application()
    app.router.add_get("/evil", moved)
    app.router.add_get("/old/{path:.*}", moved)
    app.router.add_static("/m", directory)
    (directory / "list.json").write_text(json.dumps(ROWS))
    with serving(app) as url:
        made = manifest(f"{url}/old/list.json")
        assert made.source == f"{url}/m/"
        assert body(f"{url}/old/", made.files[0]) == FILES["config.json"]
        with pytest.raises(PermanentError, match=r"^unsupported: the redirect .* plain http"):
            manifest(f"{url}/evil")


def test_a_login_is_taken_from_netrc_and_kept_from_strangers(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []

    @web.middleware
    async def guard(request: web.Request, handler: object) -> web.StreamResponse:
        seen.append((request.path, request.headers.get("Authorization", "")))
        if request.path == "/away":
            raise web.HTTPFound(f"http://localhost:{request.url.port}/m/list.json")
        if "Authorization" not in request.headers and request.host.startswith("127."):
            raise web.HTTPUnauthorized
        return await handler(request)  # type: ignore[operator, no-any-return]

    async def guarded_away(_: web.Request) -> web.Response:
        return web.Response()

    (directory / "list.json").write_text(json.dumps(ROWS))
    app = web.Application(middlewares=[guard])
    app.router.add_static("/m", directory)
    app.router.add_get("/away", guarded_away)
    with serving(app) as url:
        with pytest.raises(PermanentError, match=r"^auth: .*HTTP 401.*NETRC"):
            manifest(f"{url}/m/list.json")
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password planted\n")
        monkeypatch.setenv("NETRC", str(netrc))
        made = manifest(f"{url}/m/list.json")
        assert body(made.source, made.files[0]) == FILES["config.json"]
        seen.clear()
        manifest(f"{url}/away")
        assert seen[0][1] and {login for path, login in seen if path != "/away"} == {""}
        seen.clear()
        with pytest.raises(PermanentError, match=r"^changed"):  # the list is no weights
            body(url, attrs.evolve(made.files[0], path="away"))
        assert [bool(login) for _, login in seen] == [True, False]


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("999999999", 3600.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("", None),
    ],
)
def test_retry_after_is_read(text: str, delay: float | None) -> None:
    assert delay_of(text) == delay
