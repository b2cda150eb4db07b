"""A Hugging Face hub on loopback, real enough for the real `huggingface_hub`.

with HubServer(tmp_path) as hub:
    commit = hub.add("org/name", {"config.json": b"{}", "model.safetensors": weights})
    monkeypatch.setenv("HF_ENDPOINT", hub.url)

Large files are LFS files and lie, as they do there, behind a redirect to another host, which must
never see a token. With `xet=True` they are in a content-addressed store as well: the one that Xet's
own client carries for its tests. What networks do wrong is left to the proxy before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import attrs
from aiohttp import web

from tests.download.servers.xet import STORE_FILE

_LFS_FROM = 1000  # bytes


@attrs.frozen
class Entry:
    """One file of a commit."""

    path: str
    size: int
    sha1: str
    blob: Path
    sha256: str = ""
    xet: str = ""

    def listed(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": self.path, "size": self.size}
        entry["oid"] = self.sha1
        if self.sha256:
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        if self.xet:
            entry["xetHash"] = self.xet
        return entry


@attrs.define
class Repo:
    refs: dict[str, str] = attrs.field(factory=dict)
    commits: dict[str, dict[str, Entry]] = attrs.field(factory=dict)
    private: bool = False
    gated: bool = False


@attrs.frozen
class Asked:
    """One request: its method, its path, and the token it showed."""

    method: str
    path: str
    token: str


class HubServer:
    """See the module. `page` is how many entries a listing has at once."""

    def __init__(self, directory: Path, *, page: int = 1000) -> None:
        self.page = page
        self.tokens = {"hf_goodgoodgoodgood1"}
        self.repos: dict[str, Repo] = {}
        self.asked: list[Asked] = []
        self.signature = 1  # of addresses that are redirected to; those with another are refused
        self.overrides: dict[str, Any] = {}  # answers to give as they are, by a part of the path
        self._directory = directory
        self._cas = directory / "cas"
        (directory / "blobs").mkdir(parents=True)
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        # The content is on another "host": `localhost` is not `127.0.0.1` to an HTTP client.
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)
        self._thread.start()
        self._up.wait(10)

    def add(
        self,
        repo: str,
        files: Mapping[str, bytes],
        *,
        private: bool = False,
        gated: bool = False,
        xet: bool = False,
    ) -> str:
        """Push a commit to `main`, and name it."""
        entries = {path: self._entry(path, data, xet) for path, data in files.items()}
        listing = json.dumps([[e.path, e.sha1, e.sha256] for e in entries.values()]).encode()
        commit = hashlib.sha1(repo.encode() + listing).hexdigest()
        known = self.repos.setdefault(repo, Repo())
        known.commits[commit] = entries
        known.refs["main"] = commit
        known.private, known.gated = private, gated
        return commit

    def blob(self, repo: str, path: str) -> Path:
        """Where the bytes of a file of `main` lie."""
        known = self.repos[repo]
        return known.commits[known.refs["main"]][path].blob

    def xorbs(self) -> list[Path]:
        """The files in which the content-addressed store keeps bytes."""
        return [file for file in self._cas.rglob("default.*") if file.suffix != ".tagset"]

    def count(self, part: str = "") -> int:
        """How many requests had `part` in method and path."""
        return sum(part in f"{one.method} {one.path}" for one in self.asked)

    def _entry(self, path: str, data: bytes, xet: bool) -> Entry:
        sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        sha256 = hashlib.sha256(data).hexdigest()
        blob = self._directory / "blobs" / sha256
        blob.write_bytes(data)
        if len(data) < _LFS_FROM:
            return Entry(path, len(data), sha1, blob)
        pointer = hashlib.sha1(sha256.encode()).hexdigest()
        stored = _store(self._cas, blob) if xet else ""
        return Entry(path, len(data), pointer, blob, sha256, stored)

    # Routes

    async def _revision(self, request: web.Request) -> web.Response:
        repo, refused = self._repo(request)
        if repo is None:
            return refused
        commit = self._commit(repo, request.match_info["rev"])
        if commit is None:
            return _error(404, "RevisionNotFound")
        siblings = [{"rfilename": path} for path in repo.commits[commit]]
        gated = "auto" if repo.gated else False
        known = {"id": _id(request), "sha": commit, "gated": gated, "siblings": siblings}
        return web.json_response(known)

    async def _tree(self, request: web.Request) -> web.Response:
        repo, refused = self._repo(request)
        if repo is None:
            return refused
        commit = self._commit(repo, request.match_info["rev"])
        if commit is None:
            return _error(404, "RevisionNotFound")
        entries: list[dict[str, Any]] = [
            {"type": "directory", "path": folder, "size": 0, "oid": "0" * 40}
            for folder in sorted({p.rpartition("/")[0] for p in repo.commits[commit]} - {""})
        ]
        entries += [entry.listed() for entry in repo.commits[commit].values()]
        start = int(request.query.get("cursor", "0"))
        headers = {}
        if start + self.page < len(entries):
            following = (
                f"http://{request.host}{request.path}?recursive=true&cursor={start + self.page}"
            )
            headers["Link"] = f'<{following}>; rel="next"'
        return web.json_response(entries[start : start + self.page], headers=headers)

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        repo, refused = self._repo(request, files=True)
        if repo is None:
            return refused
        commit = self._commit(repo, request.match_info["rev"])
        if commit is None:
            return _error(404, "RevisionNotFound")
        entry = repo.commits[commit].get(request.match_info["path"])
        headers = {"X-Repo-Commit": commit}
        if entry is None:
            return _error(404, "EntryNotFound", headers)
        headers["ETag"] = f'"{entry.sha256 or entry.sha1}"'
        if not entry.sha256:
            return web.FileResponse(entry.blob, headers=headers)
        headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(entry.size)}
        if entry.xet:
            refresh = f"http://{request.host}/api/models/{_id(request)}/xet-read-token/{commit}"
            headers |= {"X-Xet-Hash": entry.xet, "X-Xet-Refresh-Route": refresh}
            headers["Link"] = f'<{refresh}>; rel="xet-auth"'
        port = request.host.rpartition(":")[2]
        headers["Location"] = f"http://localhost:{port}/cdn/{entry.sha256}?signed={self.signature}"
        return web.Response(status=302, headers=headers)

    async def _cdn(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("signed") != str(self.signature):
            return web.Response(status=403)
        sha256 = request.match_info["sha256"]
        return web.FileResponse(self._directory / "blobs" / sha256, headers={"ETag": f'"{sha256}"'})

    async def _xet_token(self, request: web.Request) -> web.Response:
        repo, refused = self._repo(request, files=True)
        if repo is None:
            return refused
        known = {"casUrl": f"local://{self._cas}", "accessToken": "t", "exp": 9_999_999_999}
        headers = {
            "X-Xet-Cas-Url": f"local://{self._cas}",
            "X-Xet-Access-Token": "t",
            "X-Xet-Token-Expiration": "9999999999",
        }
        return web.json_response(known, headers=headers)

    # What they share

    def _repo(
        self, request: web.Request, *, files: bool = False
    ) -> tuple[Repo | None, web.Response]:
        repo = self.repos.get(_id(request))
        shown = _token(request)
        if shown and shown not in self.tokens:
            return None, _error(
                401, "", {"X-Error-Message": "Invalid credentials in Authorization header"}
            )
        if repo is None or (repo.private and not shown):
            # As there: who may not know that a model exists is not told so.
            return None, _error(404 if shown else 401, "RepoNotFound")
        if repo.gated and files and not shown:
            return None, _error(401, "GatedRepo")
        return repo, web.Response()

    @staticmethod
    def _commit(repo: Repo, revision: str) -> str | None:
        return repo.refs.get(revision) or (revision if revision in repo.commits else None)

    @web.middleware
    async def _noting(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(Asked(request.method, request.path, _token(request)))
        for part, answer in self.overrides.items():
            if part in request.path:
                return web.json_response(answer)
        answered: web.StreamResponse = await handler(request)
        return answered

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(middlewares=[self._noting])
        repo = "{repo:[^/]+(?:/[^/]+)?}"
        app.router.add_get(f"/api/models/{repo}/revision/{{rev}}", self._revision)
        app.router.add_get(f"/api/models/{repo}/tree/{{rev}}", self._tree)
        app.router.add_get(f"/api/models/{repo}/xet-read-token/{{rev}}", self._xet_token)
        app.router.add_get("/cdn/{sha256}", self._cdn)
        app.router.add_get(f"/{repo}/resolve/{{rev}}/{{path:.+}}", self._resolve)
        runner = web.AppRunner(app, access_log=None)
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.SockSite(runner, self._socket).start())
        self._up.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def close(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        with contextlib.suppress(OSError):
            self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _id(request: web.Request) -> str:
    return request.match_info["repo"]


def _token(request: web.Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def _error(status: int, code: str, headers: Mapping[str, str] | None = None) -> web.Response:
    given = {**(headers or {}), **({"X-Error-Code": code} if code else {})}
    return web.json_response({"error": code or "refused"}, status=status, headers=given)


def _store(cas: Path, blob: Path) -> str:
    """Put a file into the store, in a process: its threads would outlive the test."""
    cas.mkdir(exist_ok=True)
    command = [sys.executable, "-c", STORE_FILE, f"local://{cas}", str(blob)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return quote(done.stdout.strip())
