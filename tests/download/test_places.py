"""References to buckets, and what the environment says about them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nodeinit import LLMConfig
from nodeinit.config.parts import DownloadSettings
from nodeinit.download.reading import read_manifest
from nodeinit.download.sources import source_for
from nodeinit.download.sources.objects import ObjectSource
from nodeinit.download.sources.places import place_of
from nodeinit.download.sources.stores import open_store
from nodeinit.errors import PermanentError, TemporaryError
from tests.download.servers.bucket import Bucket
from tests.download.servers.seaweed import PUBLIC, public

AZURE = "m@plantedaccount.dfs.core.windows.net"


@pytest.mark.parametrize(
    ("ref", "kind", "bucket", "prefix", "anonymous"),
    [
        ("s3://b/x/y", "s3", "b", "x/y", False),
        ("s3://b/x/", "s3", "b", "x", False),
        ("s3://b", "s3", "b", "", False),
        ("S3://b/X", "s3", "b", "X", False),
        ("pyarrow-s3://b/x", "s3", "b", "x", False),
        ("s3://anonymous@b/x", "s3", "b", "x", True),
        ("pyarrow-s3://anonymous@b/x", "s3", "b", "x", True),
        ("gs://b.example.com/x", "gs", "b.example.com", "x", False),
        ("gs://anonymous@b/x", "gs", "b", "x", True),
        (f"abfss://{AZURE}/x", "azure", "m", "x", False),
        ("azure://m@acc0.blob.core.windows.net/x y", "azure", "m", "x y", False),
    ],
)
def test_a_reference_names_a_bucket_and_a_prefix(
    ref: str, kind: str, bucket: str, prefix: str, anonymous: bool
) -> None:
    place = place_of(ref)
    assert (place.kind, place.bucket, place.prefix) == (kind, bucket, prefix)
    assert place.anonymous is anonymous
    assert place_of(place.ref) == place
    assert isinstance(source_for(ref), ObjectSource)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("s3://", "not_found"),
        ("s3:///x", "not_found"),
        ("s3://planted:planted@b/x", "auth: .*do not belong in a reference"),
        ("s3://planted@b/x", "auth"),
        ("s3://b/x?sig=planted", "unsupported"),
        ("s3://b/x#planted", "unsupported"),
        ("s3://b/../x", "unsafe_path"),
        ("s3://b/a//x", "unsafe_path"),
        ("abfss://container/x", "not_found: .*CONTAINER@ACCOUNT"),
        ("abfss://m@acc.example.com/x", "not_found: .*CONTAINER@ACCOUNT"),
        ("azure://m:planted@acc0.blob.core.windows.net/x", "not_found"),
    ],
)
def test_other_references_are_refused_without_quoting_a_secret(ref: str, message: str) -> None:
    with pytest.raises(PermanentError, match=rf"^{message}") as refused:
        source_for(ref).manifest(ref, "m")
    assert "planted" not in str(refused.value)


def config_of(ref: str, monkeypatch: pytest.MonkeyPatch, **environ: str) -> dict[str, Any]:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return dict(open_store(place_of(ref), DownloadSettings()).config)


def test_an_endpoint_in_the_open_is_refused(
    no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ref, name in (
        ("s3://b/x", "AWS_ENDPOINT_URL"),
        ("s3://b/x", "AWS_ENDPOINT_URL_S3"),
        ("gs://b/x", "STORAGE_EMULATOR_HOST"),
        (f"abfss://{AZURE}/x", "AZURE_STORAGE_ENDPOINT"),
    ):
        monkeypatch.setenv(name, "http://nodeinit-test.invalid")
        with pytest.raises(
            PermanentError, match=rf"^unsupported: {name} is plain http to nodeinit"
        ):
            source_for(ref).manifest(ref, "m")
        with pytest.raises((TemporaryError, PermanentError), match=r"^(unavailable|auth): "):
            source_for(ref, DownloadSettings(allow_http=True)).manifest(ref, "m")


def test_the_endpoint_of_the_service_comes_before_the_general_one(
    no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"AWS_ENDPOINT_URL": "https://a.invalid", "AWS_ENDPOINT_URL_S3": "https://b.invalid"}
    assert "https://b.invalid" in config_of("s3://b/x", monkeypatch, **both).values()


def test_the_bucket_is_in_the_name_of_the_server_where_that_is_asked_for(
    no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(
        "s3://b/x",
        monkeypatch,
        AWS_ENDPOINT_URL="https://host.invalid:1",
        AWS_S3_ADDRESSING_STYLE="virtual",
    )
    assert config["virtual_hosted_style_request"] == "true"
    assert "https://b.host.invalid:1" in config.values()


def test_keys_come_from_a_profile(
    no_credentials: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "[default]\naws_access_key_id = one\naws_secret_access_key = two\n"
        "[other]\naws_access_key_id = three\naws_secret_access_key = four\n"
        "aws_session_token = five\n[sso]\nsso_session = planted\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    assert config_of("s3://b/x", monkeypatch)["access_key_id"] == "one"
    file.write_text(file.read_text().replace("one", "renewed"))
    assert config_of("s3://b/x", monkeypatch)["access_key_id"] == "renewed"
    config = config_of("s3://b/x", monkeypatch, AWS_PROFILE="other")
    assert (config["access_key_id"], config["session_token"]) == ("three", "five")
    config = config_of("s3://b/x", monkeypatch, AWS_ACCESS_KEY_ID="mine", AWS_SECRET_ACCESS_KEY="x")
    assert config["access_key_id"] == "mine"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    for name in ("sso", "missing"):
        with pytest.raises(
            PermanentError, match=rf"^auth: the AWS profile '{name}' .*export"
        ) as no:
            config_of("s3://b/x", monkeypatch, AWS_PROFILE=name)
        assert "planted" not in str(no.value)
    file.write_text("planted secret")
    with pytest.raises(PermanentError, match=r"^auth: .*cannot be read") as no:
        config_of("s3://b/x", monkeypatch)
    assert "planted" not in str(no.value)


def test_the_region_comes_from_a_profile_too(
    no_credentials: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "config"
    file.write_text("[default]\nregion = eu-one\n[profile other]\nregion = eu-two\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    assert config_of("s3://anonymous@b/x", monkeypatch)["region"] == "eu-one"
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert config_of("s3://anonymous@b/x", monkeypatch)["region"] == "eu-two"
    assert config_of("s3://anonymous@b/x", monkeypatch, AWS_REGION="mine")["region"] == "mine"


def test_the_client_of_buckets_is_imported_only_when_one_is_opened() -> None:
    code = (
        "import sys, nodeinit\n"
        "from nodeinit.download.sources import source_for\n"
        "source_for('s3://b/x'), source_for('https://h/x')\n"
        "assert 'obstore' not in sys.modules, 'too soon'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_connection_string_is_that_of_its_account(
    no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "AccountName={};AccountKey=cGxhbnRlZA==;BlobEndpoint=http://127.0.0.1:9/x;"
    ref = f"abfss://{AZURE}/x"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text.format("plantedaccount"))
    config = config_of(ref, monkeypatch)
    assert config["account_key"] == "cGxhbnRlZA=="
    assert config["endpoint"] == "http://127.0.0.1:9/x"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text.format("another"))
    with pytest.raises(PermanentError, match=r"^auth: .*of the account 'another'"):
        config_of(ref, monkeypatch)


@pytest.mark.parametrize(
    ("ref", "name", "value"),
    [
        ("gs://b/x", "GOOGLE_APPLICATION_CREDENTIALS", "/no/such/planted.json"),
        (f"abfss://{AZURE}/x", "AZURE_STORAGE_ACCOUNT_KEY", "planted %%% no base64"),
    ],
)
def test_credentials_that_cannot_be_used_are_named_and_not_quoted(
    no_credentials: None, monkeypatch: pytest.MonkeyPatch, ref: str, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(PermanentError, match=rf"^auth: cannot open the bucket .*{name}") as no:
        source_for(ref).manifest(ref, "m")
    assert value not in str(no.value)


def test_a_public_bucket_is_read_by_anybody_and_by_somebody_with_other_keys(
    s3: Bucket, no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    public(s3).put("m/config.json", b"{}")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
    ref = f"s3://anonymous@{PUBLIC}/m"
    for key in ("", "AKIAOTHER"):
        if key:
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
        made = source_for(ref).manifest(ref, "m")
        assert made.source == ref
        with source_for(ref).open(made.source, made.files[0]) as reader:
            assert reader.read(10) == b"{}"
    with pytest.raises(PermanentError, match=r"^auth: "):
        source_for("s3://anonymous@models/m").manifest("s3://anonymous@models/m", "m")


@pytest.mark.parametrize("kind", ["s3", "gs", "azure"])
def test_what_hosts_will_have_in_their_environment_is_used_where_the_manifest_is_made(
    request: pytest.FixtureRequest, kind: str, no_credentials: None
) -> None:
    bucket: Bucket = request.getfixturevalue(kind)
    ref = bucket.write("of-hosts", {"config.json": b"{}"})
    config = LLMConfig(
        model_id="m", model_source=ref, runtime_env={"env_vars": dict(bucket.environment)}
    )
    assert [file.path for file in read_manifest(config).files] == ["config.json"]
    assert not set(bucket.environment) & set(os.environ)
