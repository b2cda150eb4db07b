"""What counts as a secret, what does not, and that redaction keeps everything else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrsistent import PMap, PSet, PVector

from nodeinit.frozen import FrozenMap, freeze, freeze_map, thaw
from nodeinit.redact import HIDDEN, is_secret, redact, redact_text


@pytest.mark.parametrize(
    "name",
    [
        *("HF_TOKEN", "hf_token", "token", "HUGGING_FACE_HUB_TOKEN", "hfToken", "session_token"),
        *("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "s3_access_key"),
        *("api_key", "apiKey", "APIKey", "OPENAI_API_KEY", "apikey", "api-key", "x-api-key"),
        *("password", "db_password", "passwd", "credentials", "client_secret", "private_key"),
        *("AZURE_STORAGE_CONNECTION_STRING", "account_key", "auth", "Authorization"),
        *("access_tokens", "cookie"),
        *("X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "sig", "GITHUB_PAT"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)
    assert redact({name: "value"}) == {name: HIDDEN}


@pytest.mark.parametrize(
    "name",
    [
        *("max_tokens", "max_num_batched_tokens", "tokenizer", "tokenizer_mode", "tokens"),
        *("eos_token", "pad_token", "bos_token_id", "stop_token_ids", "skip_tokenizer_init"),
        *("trust_remote_code", "key", "keys", "keyword", "author", "pathology", "monkey"),
        *("time_to_first_token", "TOKENIZERS_PARALLELISM", "add_special_tokens", "sigma", "", "_"),
        *("NODEINIT_STORE", "seed", "sha256", "path", "patience", "accelerator_type"),
    ],
)
def test_ordinary_names(name: str) -> None:
    assert not is_secret(name)
    assert redact({name: "value"}) == {name: "value"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://user:pw@host/x", "https://user:***@host/x"),
        ("https://tok3n@github.com/x.git", "https://***@github.com/x.git"),
        ("redis://:pw@host:6379/0", "redis://:***@host:6379/0"),
        ("s3://KEY:SECRET@bucket/x", "s3://KEY:***@bucket/x"),
        ("https://h/x?sv=1&sig=a%2Fb&se=2", "https://h/x?sv=1&sig=***&se=2"),
        ("https://h/x?X-Amz-Credential=A&X-Amz-Signature=b#f", None),
        ("https://h/x?key=abc", "https://h/x?key=***"),
        (
            "see https://u:pw@h/a and https://v:pw@h/b",
            "see https://u:***@h/a and https://v:***@h/b",
        ),
        ("HF_TOKEN=abc run --api-key=def", "HF_TOKEN=*** run --api-key=***"),
        ("{'password': 'abc', 'n': 1}", "{'password': ***, 'n': 1}"),
        ('{"api_key": "a b"}', '{"api_key": ***}'),
        ("Authorization: Bearer abc", "Authorization: Bearer ***"),
        ("sent Bearer abcdef123456 twice", "sent Bearer *** twice"),
        ("it was hf_abcdefghijklmnopqrst", "it was ***"),
        ("AKIAABCDEFGHIJKLMNOP is an id", "*** is an id"),
        ("ghp_abcdefghijklmnopqrstuvwxyz", "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def", "***"),
    ],
)
def test_secrets_within_text(text: str, expected: str | None) -> None:
    clean = redact_text(text)
    if expected is None:
        expected = "https://h/x?X-Amz-Credential=***&X-Amz-Signature=***#f"
    assert clean == expected
    assert redact_text(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "s3://anonymous@bucket/model",
        "abfss://container@account.dfs.core.windows.net/model",
        "org/model",
        "https://huggingface.co/org/model?revision=main",
        "max_tokens=5, tokenizer=org/x",
        "a basic deployment of bearer plants",
        "C = A @ B: see https://host/path",
        "host:8000",
        "",
    ],
)
def test_ordinary_text_is_returned_as_it_is(text: str) -> None:
    assert redact_text(text) is text


def test_containers_keep_their_kind() -> None:
    value: dict[str, Any] = {
        "list": [{"token": "a"}],
        "tuple": ({"token": "a"}, 1),
        "set": {"https://u:a@h", "b"},
        "frozenset": frozenset({"b"}),
        "number": 1.5,
        "token": {"inner": "a"},
    }
    assert redact(value) == {
        "list": [{"token": HIDDEN}],
        "tuple": ({"token": HIDDEN}, 1),
        "set": {"https://u:***@h", "b"},
        "frozenset": frozenset({"b"}),
        "number": 1.5,
        "token": HIDDEN,
    }
    frozen: FrozenMap = redact(freeze_map({"list": [{"token": "a"}], "set": {"b"}}))
    assert isinstance(frozen, PMap)
    assert isinstance(frozen["list"], PVector)
    assert isinstance(frozen["list"][0], PMap)
    assert isinstance(frozen["set"], PSet)
    assert frozen["list"][0]["token"] == HIDDEN


def test_that_a_secret_is_not_set_stays_readable() -> None:
    value = {"token": None, "use_auth": True, "password": False, "secret": 5, "api_key": ""}
    assert redact(value) == {**value, "secret": HIDDEN, "api_key": HIDDEN}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


@given(plain)
def test_redaction_is_stable_and_the_same_for_frozen_values(value: Any) -> None:
    once = redact(value)
    assert redact(once) == once
    assert thaw(redact(freeze(value))) == once


@given(st.dictionaries(st.text("abcxyz", max_size=5), st.text("abc/.-_ 123", max_size=12)))
def test_values_without_secrets_are_unchanged(value: dict[str, str]) -> None:
    assert redact(value) == value
