"""Planted secrets are looked for everywhere that people and programs could find them."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote

import attrs
import pytest

from nodeinit import LLMConfig
from nodeinit.context import CallbackCtx
from nodeinit.download.fetch import bring
from nodeinit.download.reading import read_manifest
from nodeinit.download.sources import source_for
from nodeinit.download.sources.objects import ObjectSource
from nodeinit.download.sources.places import place_of
from nodeinit.download.sources.stores import open_store
from nodeinit.download.store import published_path
from nodeinit.errors import NodeInitError
from tests.download.proxy import FaultProxy, hang_up, refuse, reset
from tests.download.servers.azurite import sas_token
from tests.download.servers.bucket import Bucket
from tests.download.trees import ALL, MODEL

SIGNED = ("X-Amz-Signature=", "X-Goog-Signature=", "&sig=")
"""What an address has in it that is as good as a key, for as long as it is valid."""


@attrs.define
class Looked:
    """Texts that were found, and the secrets that must not be in them."""

    secrets: list[str]
    texts: list[str] = attrs.field(factory=list)

    def error(self, call: Callable[[], object]) -> None:
        """Make an error, and keep all that can be said about it."""
        with pytest.raises(NodeInitError) as raised:
            call()
        error = raised.value
        self.texts += [str(error), repr(error), repr(vars(error)), repr(error.args)]
        self.texts.append("".join(traceback.format_exception(error)))

    def files(self, directory: Path) -> None:
        """Keep what is in all files of a directory."""
        self.texts += [
            path.read_bytes().decode("latin-1") for path in directory.rglob("*") if path.is_file()
        ]

    def processes(self) -> None:
        """Keep the command lines of all processes of this host."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                self.texts.append(path.read_bytes().decode("latin-1"))
            except OSError:
                continue

    def assert_clean(self) -> None:
        for secret in self.secrets:
            for spelled in {secret, quote(secret, safe=""), secret[:-2]}:
                assert [text for text in self.texts if spelled in text] == []
        for part in SIGNED:
            assert [text for text in self.texts if part in text] == []


@pytest.fixture
def looked(
    bucket: Bucket, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[Looked]:
    if not bucket.secret:
        pytest.skip("this server knows no secrets")
    caplog.set_level(logging.DEBUG)
    looked = Looked([bucket.secret, *bucket.wrong.values()])
    yield looked
    out = capfd.readouterr()
    looked.texts += [caplog.text, out.out, out.err]
    assert len(looked.texts) > 3
    looked.assert_clean()


def test_in_what_a_download_says_and_leaves(bucket: Bucket, looked: Looked, tmp_path: Path) -> None:
    ref = bucket.write("secret", MODEL)
    config = LLMConfig(
        model_id="m", model_source=ref, runtime_env={"env_vars": dict(bucket.environment)}
    )
    made = read_manifest(config)
    bring(made, ALL, published_path(tmp_path, made), name="t")
    looked.files(tmp_path)
    looked.processes()
    source = ObjectSource(environ=dict(bucket.environment))
    with source.open(ref, made.files[0]) as reader:
        said = [reader, source, made, config, CallbackCtx(llm_config=config), place_of(ref)]
        looked.texts += [repr(one) for one in said] + [str(one) for one in said]
    looked.texts.append(repr(open_store(place_of(ref), config.nodeinit.download)))


def test_in_errors(
    bucket: Bucket, proxy: FaultProxy, looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = bucket.write("secret", MODEL)
    made = source_for(ref).manifest(ref, "m")
    big = next(file for file in made.files if file.path == "model.safetensors")

    def listed() -> object:
        return source_for(ref).manifest(ref, "m")

    def read() -> object:
        with source_for(ref).open(ref, big) as reader:
            return b"".join(iter(lambda: reader.read(1000), b""))

    echo = f"<Error><Code>AccessDenied</Code><Message>{bucket.secret}</Message></Error>".encode()
    for status in (400, 401, 403, 404, 412, 416, 429, 500, 503):
        proxy.faults = [refuse(status, retry_after=1, times=None)]
        proxy.faults[0].body = echo  # a server that says back what it was told
        looked.error(listed)
        looked.error(read)
    for fault in (hang_up(times=None), reset(after=10, times=None)):
        proxy.faults = [fault]
        looked.error(read)
    proxy.faults = []
    for name, value in bucket.wrong.items():
        monkeypatch.setenv(name, value)
    looked.error(listed)
    looked.error(read)


def test_in_errors_of_an_environment_that_is_wrong(
    bucket: Bucket, looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that was put into the wrong variable."""
    for name in bucket.environment:
        if "ENDPOINT" in name:
            monkeypatch.setenv(name, bucket.secret)
            looked.error(lambda: source_for(bucket.ref).manifest(bucket.ref, "m"))
    mistaken = bucket.ref.replace("://", f"://user:{bucket.secret}@", 1)
    looked.error(lambda: source_for(mistaken).manifest(mistaken, "m"))


def test_a_shared_access_signature_opens_the_container_and_is_shown_nowhere(
    azure: Bucket,
    no_credentials: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is in the URL of every request."""
    caplog.set_level(logging.DEBUG)
    token = sas_token()
    signature = parse_qs(token)["sig"][0]
    looked = Looked([signature, quote(signature, safe="")])
    ref = azure.write("sas", MODEL)
    with FaultProxy(azure.url) as proxy:
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", token)
        endpoint = azure.environment["AZURE_STORAGE_ENDPOINT"].replace(azure.url, proxy.url)
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", endpoint)
        made = source_for(ref).manifest(ref, "m")
        assert len(made.files) == len(MODEL)
        assert "sig=" in proxy.seen[0].target
        for fault in (refuse(403, times=None), refuse(500, times=None), hang_up(times=None)):
            proxy.faults = [fault]
            looked.error(lambda: source_for(ref).manifest(ref, "m"))
            looked.error(lambda: source_for(ref).open(ref, made.files[0]))
        proxy.faults = [refuse(429, retry_after=1, times=None)]
        looked.error(lambda: source_for(ref).manifest(ref, "m"))
    looked.texts += [caplog.text, repr(made)]
    looked.assert_clean()
