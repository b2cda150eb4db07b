"""Azurite, Microsoft's own emulator of Azure Blob Storage."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.download.servers.bucket import Bucket
from tests.download.servers.processes import free_ports, running

ACCOUNT = "plantedaccount"
SECRET = base64.b64encode(b"planted-azure-secret-0123456789").decode()
CACHE = Path("~/.cache/nodeinit-tests").expanduser()


@contextlib.contextmanager
def azurite(directory: Path) -> Iterator[Bucket]:
    """A server with the container `models`."""
    path = f"{os.environ.get('PATH', '')}:{CACHE / 'node_modules' / '.bin'}"
    command = shutil.which("azurite-blob", path=path)
    if command is None or shutil.which("node") is None:
        pytest.skip(f"Azurite is not installed: npm install --prefix {CACHE} azurite")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    flags = ["--blobPort", str(port), "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    store = _store(url)
    with running(
        [command, *flags, "--inMemoryPersistence"],
        directory,
        lambda: _makes_container(url),
        environment={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{SECRET}"},
    ):
        yield Bucket(
            kind="azure",
            url=url,
            ref=f"abfss://models@{ACCOUNT}.dfs.core.windows.net",
            missing=f"abfss://nowhere@{ACCOUNT}.dfs.core.windows.net",
            environment={
                "AZURE_STORAGE_ENDPOINT": f"{url}/{ACCOUNT}",
                "AZURE_STORAGE_ACCOUNT_KEY": SECRET,
            },
            wrong={"AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(b"planted-but-wrong").decode()},
            secret=SECRET,
            put=lambda key, data: store.put(key, data),
        )


def sas_token() -> str:
    """A shared access signature that lets one list and read the account's blobs for a day."""
    until = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    given = {"sp": "rl", "ss": "b", "srt": "sco", "se": until, "sv": "2022-11-02"}
    signed = "\n".join([ACCOUNT, "rl", "b", "sco", "", until, "", "", "2022-11-02", "", ""])
    mac = hmac.new(base64.b64decode(SECRET), signed.encode(), hashlib.sha256).digest()
    return urlencode({**given, "sig": base64.b64encode(mac).decode()})


def _store(url: str) -> Any:
    from obstore.store import AzureStore

    return AzureStore(
        "models",
        account_name=ACCOUNT,
        account_key=SECRET,
        endpoint=f"{url}/{ACCOUNT}",
        client_options={"allow_http": True, "timeout": "30s"},
        retry_config={"max_retries": 0},
    )


def _makes_container(url: str) -> bool:
    """Create the container; obstore makes none, so this one request is signed here."""
    when, version = formatdate(usegmt=True), "2023-11-03"
    signed = (
        "PUT" + "\n" * 12 + f"x-ms-date:{when}\nx-ms-version:{version}\n"
        f"/{ACCOUNT}/{ACCOUNT}/models\nrestype:container"
    )
    mac = hmac.new(base64.b64decode(SECRET), signed.encode(), hashlib.sha256).digest()
    headers = {
        "x-ms-date": when,
        "x-ms-version": version,
        "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(mac).decode()}",
    }
    request = urllib.request.Request(
        f"{url}/{ACCOUNT}/models?restype=container", None, headers, method="PUT"
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bool(answer.status == 201)
    except urllib.error.HTTPError as error:
        return error.code == 409
    except OSError:
        return False
