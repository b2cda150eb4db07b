"""Opens buckets with `obstore`: endpoints and credentials come from the environment alone.

| | endpoint | credentials |
|---|---|---|
| S3 | `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`; the role of a pod, a task or a machine; the profile `AWS_PROFILE` of `~/.aws/credentials` |
| GCS | `STORAGE_EMULATOR_HOST` | `GOOGLE_APPLICATION_CREDENTIALS`, `GOOGLE_SERVICE_ACCOUNT`; `gcloud`'s own; a machine's |
| Azure | `AZURE_STORAGE_ENDPOINT` | `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_TOKEN`, `AZURE_CLIENT_ID` with its companions; `AZURE_STORAGE_CONNECTION_STRING`; a managed identity |

`AWS_REGION`, `AWS_S3_ADDRESSING_STYLE=virtual` and what else `obstore` reads apply too.
"""  # noqa: E501

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.sources.aws_profile import profile_keys, profile_region
from nodeinit.download.sources.places import Place
from nodeinit.download.sources.plain_http import check_scheme, is_plain
from nodeinit.errors import PermanentError

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "azure": "AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_CLIENT_ID",
}
"""Which variables give credentials, for messages."""

_CONNECT = "10s"
_WHOLE = "6h"  # of one request with its body; that no byte comes ends it much sooner
# What the environment said when a store was made is part of what store it is.
_OURS = ("AWS_", "GOOGLE_", "AZURE_", "STORAGE_EMULATOR_HOST", "HOME")


# What is handed on to obstore by name: `environ` need not be the environment of this process.
_HANDED_ON = {
    "s3": (
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SKIP_SIGNATURE", "AWS_REQUEST_PAYER"),
        *("AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        *("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_METADATA_ENDPOINT"),
    ),
    "gs": (
        *("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT"),
        *("GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_SKIP_SIGNATURE"),
    ),
    "azure": (
        *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN"),
        *("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST"),
        *("AZURE_FEDERATED_TOKEN_FILE", "AZURE_USE_AZURE_CLI", "AZURE_SKIP_SIGNATURE"),
        *("AZURE_MSI_ENDPOINT", "AZURE_IDENTITY_ENDPOINT"),
    ),
}


def open_store(
    place: Place, settings: DownloadSettings, environ: Mapping[str, str] | None = None
) -> S3Store | GCSStore | AzureStore:
    """The bucket of a place, with the connections that earlier calls opened to it.

    `environ` stands for this process's environment, if given. Raises `PermanentError` for an
    environment that cannot be used, and lets errors of `obstore` through.
    """
    names = os.environ if environ is None else environ
    given = {name: value for name, value in names.items() if name.startswith(_OURS)}
    if place.kind == "s3":  # read each time: a file of credentials is renewed by others
        given |= profile_region(given)
        given |= {} if place.anonymous else profile_keys(given)
    what = tuple(sorted(given.items()))
    return _open(place.kind, place.bucket, place.account, place.anonymous, settings, what)


def client_options(settings: DownloadSettings, endpoint: str) -> Any:
    """How patient a client is. `endpoint` may be plain HTTP: that was checked."""
    return {
        "allow_http": is_plain(endpoint),
        "connect_timeout": _CONNECT,
        "read_timeout": f"{round(settings.stall * 1000)}ms",
        "timeout": _WHOLE,
        "user_agent": "nodeinit",
    }


def name_of(store: Any) -> str:
    """A bucket of a server; of a store's config only what says where it is."""
    places = [value for key, value in store.config.items() if "endpoint" in key or "url" in key]
    return " ".join([repr(store), *places])


# The caller tries again, and waits as long as the server asks; obstore would not.
NO_RETRIES: Any = {"max_retries": 0}


@functools.lru_cache(maxsize=32)
def _open(
    kind: str,
    bucket: str,
    account: str,
    anonymous: bool,
    settings: DownloadSettings,
    given: tuple[tuple[str, str], ...],
) -> S3Store | GCSStore | AzureStore:
    environment = dict(given)
    match kind:
        case "s3":
            return _s3(bucket, anonymous, settings, environment)
        case "gs":
            return _gcs(bucket, anonymous, settings, environment)
    return _azure(bucket, account, settings, environment)


def _handed_on(kind: str, given: dict[str, str]) -> dict[str, Any]:
    return {name.lower(): given[name] for name in _HANDED_ON[kind] if given.get(name)}


def _s3(bucket: str, anonymous: bool, settings: DownloadSettings, given: dict[str, str]) -> S3Store:
    from obstore.store import S3Store

    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    name = next((name for name in names if given.get(name)), names[0])
    endpoint = given.get(name, "").rstrip("/")
    check_scheme(endpoint, name, settings)
    config: Any = _handed_on("s3", given)
    if anonymous:
        config["skip_signature"] = True
    if given.get("AWS_S3_ADDRESSING_STYLE") == "virtual":
        config["virtual_hosted_style_request"] = True
        if endpoint:
            scheme, host = endpoint.split("://", 1)
            endpoint = f"{scheme}://{bucket}.{host}"
    if endpoint:
        config["aws_endpoint_url_s3"] = endpoint
    return S3Store(
        bucket,
        config=config,
        client_options=client_options(settings, endpoint),
        retry_config=NO_RETRIES,
    )


def _gcs(
    bucket: str, anonymous: bool, settings: DownloadSettings, given: dict[str, str]
) -> GCSStore:
    from obstore.store import GCSStore

    emulator = given.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
    if emulator and "://" not in emulator:
        emulator = f"http://{emulator}"
    check_scheme(emulator, "STORAGE_EMULATOR_HOST", settings)
    config: Any = _handed_on("gs", given)
    if emulator:
        config["base_url"] = emulator
    if emulator or anonymous:
        config["skip_signature"] = True
    return GCSStore(
        bucket,
        config=config,
        client_options=client_options(settings, emulator),
        retry_config=NO_RETRIES,
    )


def _azure(
    container: str, account: str, settings: DownloadSettings, given: dict[str, str]
) -> AzureStore:
    from obstore.store import AzureStore

    parts = dict(
        part.split("=", 1)
        for part in given.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";")
        if "=" in part
    )
    if parts.get("AccountName", account) != account:
        raise PermanentError(
            f"auth: AZURE_STORAGE_CONNECTION_STRING is of the account {parts['AccountName']!r}, "
            f"and the model is in {account!r}"
        )
    names = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
    name = next((name for name in names if given.get(name)), "AZURE_STORAGE_CONNECTION_STRING")
    endpoint = (given.get(name) if name in names else parts.get("BlobEndpoint")) or ""
    check_scheme(endpoint, name, settings)
    config: Any = _handed_on("azure", given) | {"account_name": account}
    if endpoint:
        config["endpoint"] = endpoint.rstrip("/")
    if "AccountKey" in parts:
        config["account_key"] = parts["AccountKey"]
    if "SharedAccessSignature" in parts:
        config["sas_key"] = parts["SharedAccessSignature"]
    return AzureStore(
        container,
        config=config,
        client_options=client_options(settings, endpoint),
        retry_config=NO_RETRIES,
    )
