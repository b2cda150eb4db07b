"""Real servers on loopback: one of each for a session, started when a test first asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from nodeinit.download import streams
from tests.download.proxy import FaultProxy
from tests.download.servers.azurite import azurite
from tests.download.servers.bucket import Bucket
from tests.download.servers.fake_gcs import fake_gcs
from tests.download.servers.seaweed import seaweed


@pytest.fixture(autouse=True, scope="session")
def hasty() -> Iterator[None]:
    """Who tries again does so soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BACKOFF", 0.001)
        yield


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with seaweed(tmp_path_factory.mktemp("seaweed")) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def gs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with fake_gcs(tmp_path_factory.mktemp("gcs")) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with azurite(tmp_path_factory.mktemp("azurite")) as bucket:
        yield bucket


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that leads to no cloud, whatever the host that tests run on has."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_", "STORAGE_EMULATOR_HOST")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")
    monkeypatch.setenv("AZURE_MSI_ENDPOINT", "http://127.0.0.1:9/msi")


@pytest.fixture(params=["s3", "gs", "azure"])
def bucket(
    request: pytest.FixtureRequest, no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> Bucket:
    """The bucket of each server in turn, in the environment of somebody who may read it."""
    found: Bucket = request.getfixturevalue(request.param)
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy before `bucket`, in the environment instead of it."""
    with FaultProxy(bucket.url) as proxy:
        for name, value in bucket.through(proxy.url).items():
            monkeypatch.setenv(name, value)
        yield proxy
