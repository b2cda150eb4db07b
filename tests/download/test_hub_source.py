"""A hub as a source: what a name means, what a commit holds, and what is asked for it."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from nodeinit import LLMConfig
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.reading import read_manifest
from nodeinit.download.sources import source_for
from nodeinit.download.sources.hub import HubSource
from nodeinit.download.sources.hub_errors import delay_of
from nodeinit.download.sources.hub_names import HubRef
from nodeinit.download.sources.hub_weights import redundant
from nodeinit.download.sources.local import LocalSource
from nodeinit.errors import NodeInitError, PermanentError, TemporaryError
from tests.download.hubs import MODEL, REPO, TOKEN, World
from tests.download.hubs import world_fixture as world_fixture
from tests.download.proxy import FaultProxy, hang_up, refuse


def read(world: World, file: ManifestFile, offset: int = 0, length: int | None = None) -> bytes:
    data = b""
    with world.source.open(world.manifest().source, file, offset, length) as reader:
        while piece := reader.read(70_001):
            data += piece
    return data


def refused(world: World, ref: str = REPO, **options: bool) -> str:
    with pytest.raises(PermanentError) as caught:
        world.manifest(ref, **options)
    assert TOKEN not in str(caught.value)
    return str(caught.value)


# Names


@pytest.mark.parametrize(
    ("ref", "meant"),
    [
        ("gpt2", HubRef("gpt2")),
        ("org/name", HubRef("org/name")),
        ("org/name@v1.0", HubRef("org/name", "v1.0")),
        ("org/name@refs/pr/3", HubRef("org/name", "refs/pr/3")),
        ("hf://org/name", HubRef("org/name")),
        ("hf://models/org/name@main", HubRef("org/name", "main")),
        ("HF://org/name@x?endpoint=http://h:1", HubRef("org/name", "x", "http://h:1")),
    ],
)
def test_names(ref: str, meant: HubRef) -> None:
    assert HubRef.parse(ref) == meant


@pytest.mark.parametrize(
    "ref",
    [
        *("", "a/b/c", "a b", "-a", "org/", "org/..", "org--x/y", "org/name.git", "a\0b"),
        *("org/name@", "org/name@a b", "org/name@../x", "hf://datasets/org/name", "hf://a/b/c"),
    ],
)
def test_what_is_no_name_is_refused(ref: str) -> None:
    with pytest.raises(PermanentError):
        HubRef.parse(ref)


def test_d15_a_directory_here_goes_before_a_model_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(source_for("org/model"), HubSource)
    (tmp_path / "org" / "model").mkdir(parents=True)
    assert isinstance(source_for("org/model"), LocalSource)
    assert isinstance(source_for("hf://org/model"), HubSource)


# Manifests


def test_a_manifest_pins_the_commit_and_has_every_digest(world: World) -> None:
    commit = world.hub.add(REPO, MODEL)
    manifest = world.manifest()
    assert manifest.source == f"hf://org/model@{commit}?endpoint={world.hub.url}"
    assert {file.path: file.size for file in manifest.files} == {
        path: len(data) for path, data in MODEL.items()
    }
    assert {file.path for file in manifest.files if file.sha256} == {"model.safetensors"}
    assert all(file.sha256 or file.digest.startswith("git-sha1:") for file in manifest.files)
    world.hub.add(REPO, {**MODEL, "config.json": b"{1}"})
    assert world.manifest(manifest.source) == manifest
    assert world.manifest(f"{REPO}@{commit}") == manifest
    assert world.manifest() != manifest


def test_the_usual_hub_is_not_named_in_a_manifest() -> None:
    here = HubRef.parse("org/name").at({})
    assert here.pinned("0" * 40) == f"hf://org/name@{'0' * 40}"
    with_password = HubRef.parse("org/name").at({"HF_ENDPOINT": "https://me:secret@mirror"})
    assert "secret" not in with_password.pinned("0" * 40)


def test_long_listings_come_in_pages(world: World) -> None:
    world.hub.page = 3
    files = {f"part-{number}.txt": b"x" for number in range(10)}
    world.hub.add(REPO, files)
    assert [file.path for file in world.manifest().files] == sorted(files)
    assert world.hub.count("/tree/") == 4


def test_a_warm_start_costs_one_request_and_none_when_pinned(world: World) -> None:
    commit = world.hub.add(REPO, MODEL)
    first = world.manifest()
    assert world.hub.count() == 2
    assert world.manifest() == first
    assert world.hub.count() == 3
    assert world.manifest(f"{REPO}@{commit}") == first
    assert world.hub.count() == 3


@pytest.mark.parametrize("by_environment", [False, True])
def test_offline_opens_no_socket_and_uses_what_is_remembered(
    world: World, by_environment: bool
) -> None:
    commit = world.hub.add(REPO, MODEL)
    known = world.manifest()
    asked = world.hub.count()
    there = world.with_env(HF_HUB_OFFLINE="1") if by_environment else world
    options = {} if by_environment else {"offline": True}
    assert there.manifest(REPO, **options) == known
    assert there.manifest(f"{REPO}@{commit}", **options) == known
    why = "HF_HUB_OFFLINE is set" if by_environment else "download.offline is true"
    for unknown in (f"{REPO}@other", "org/unseen", f"{REPO}@{'0' * 40}"):
        assert f"cannot be looked up: {why}" in refused(there, unknown, **options)
    assert world.hub.count() == asked


def test_a_damaged_index_is_asked_for_again(world: World) -> None:
    world.hub.add(REPO, MODEL)
    known = world.manifest()
    for file in (world.root / "index").iterdir():
        file.write_text('{"format": 1, "files": [["../x", 1, "", ""]], "commit": 7}')
    assert world.manifest() == known
    assert world.hub.count("/tree/") == 2


def test_other_weights_than_safetensors_are_left_out(world: World) -> None:
    doubles = {
        "pytorch_model.bin": b"x",
        "original/consolidated.00.pth": b"x",
        ".gitattributes": b"x",
    }
    world.hub.add(REPO, {**MODEL, **doubles, "1_Dense/pytorch_model.bin": b"kept"})
    assert {file.path for file in world.manifest().files} == {*MODEL, "1_Dense/pytorch_model.bin"}
    assert redundant(["adapter_model.safetensors", "pytorch_model.bin"]) == frozenset()
    assert redundant(["model.gguf", "config.json"]) == frozenset()


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "file", "path": "../x", "size": 1, "oid": "0" * 40},
        {"type": "file", "path": "x", "size": -1, "oid": "0" * 40},
        {"type": "file", "path": "x", "size": "1", "oid": "0" * 40},
        {"type": "file", "path": "x", "size": 1, "oid": "nonsense"},
        {"type": "file", "path": "x", "size": 1, "lfs": {"oid": "f" * 63, "size": 1}},
        {"type": "file", "path": 7, "size": 1, "oid": "0" * 40},
        "not an entry",
    ],
)
def test_a_listing_is_not_believed(world: World, entry: object) -> None:
    world.hub.add(REPO, MODEL)
    world.hub.overrides["/tree/"] = [entry]
    text = refused(world)
    assert text.startswith(("unsupported:", "unsafe_path:"))


def test_a_server_that_is_no_hub_is_recognised(world: World) -> None:
    world.hub.add(REPO, MODEL)
    world.hub.overrides["/revision/"] = ["hello"]
    assert "check that it is a Hugging Face hub" in refused(world)


def test_engine_kwargs_revision_pins_the_model(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = world.hub.add(REPO, {"config.json": b"{1}"})
    world.hub.add(REPO, MODEL)
    monkeypatch.chdir(world.root)
    settings = {"store": str(world.store)}

    def made(model_id: str, **more: object) -> LLMConfig:
        env = {"env_vars": world.env}
        return LLMConfig(model_id=model_id, nodeinit=settings, runtime_env=env, **more)  # type: ignore[arg-type]

    pinned = read_manifest(made(REPO, engine_kwargs={"revision": old}))
    assert f"@{old}" in pinned.source
    assert len(read_manifest(made(REPO)).files) == len(MODEL)
    with pytest.raises(PermanentError, match="two revisions"):
        read_manifest(made(f"{REPO}@main", engine_kwargs={"revision": old}))


# Reading


def test_parts_of_files_are_read_and_no_token_leaves_the_hub(world: World) -> None:
    world.hub.add(REPO, MODEL, private=True)
    world = world.with_env(HF_TOKEN=TOKEN)
    files = {file.path: file for file in world.manifest().files}
    weights = MODEL["model.safetensors"]
    for offset, length in ((0, None), (0, 10), (100_000, 5), (len(weights) - 3, None), (9, 0)):
        end = None if length is None else offset + length
        assert read(world, files["model.safetensors"], offset, length) == weights[offset:end]
    assert read(world, files["model.safetensors"], len(weights)) == b""
    assert read(world, files["sub/a b#c.txt"], 4) == MODEL["sub/a b#c.txt"][4:]
    shown = {(one.path.startswith("/cdn/"), one.token) for one in world.hub.asked}
    assert shown == {(True, ""), (False, TOKEN)}


def test_a_hub_is_asked_once_where_a_file_is(world: World) -> None:
    """Its rate limits count; what it redirects to does not mind, while its signature is good."""
    world.hub.add(REPO, MODEL, private=True)
    world = world.with_env(HF_TOKEN=TOKEN)
    made, source = world.manifest(), world.source
    [file] = [file for file in made.files if file.sha256]

    def part(offset: int) -> bytes:
        with source.open(made.source, file, offset, 100) as reader:
            return reader.read(100)

    for offset in range(0, 1000, 100):
        assert part(offset) == MODEL[file.path][offset : offset + 100]
    assert world.hub.count("/resolve/") == 1
    world.hub.signature += 1
    assert part(0) == MODEL[file.path][:100]
    assert world.hub.count("/resolve/") == 2
    assert {one.token for one in world.hub.asked if "/cdn/" in one.path} == {""}


def test_a_line_that_breaks_is_temporary(world: World) -> None:
    world.hub.add(REPO, MODEL)
    file = next(file for file in world.manifest().files if file.sha256)
    with FaultProxy(world.hub.url) as proxy:
        proxy.add(hang_up(path="/resolve/"))
        there = world.with_env(HF_ENDPOINT=proxy.url)
        with pytest.raises(TemporaryError, match=r"^(unavailable|timeout): "):
            read(there, file)


# Refusals


def test_d3_a_private_model_is_not_found_and_nothing_else_is_taken(world: World) -> None:
    world.hub.add(REPO, MODEL, private=True)
    text = refused(world)
    assert text.startswith("not_found: ")
    assert "if the model is private, set HF_TOKEN" in text
    assert world.hub.count() == 1
    assert "whether the account" in refused(world.with_env(HF_TOKEN=TOKEN), "org/other")
    assert world.with_env(HF_TOKEN=TOKEN).manifest().files


def test_refusals_say_what_to_do(world: World) -> None:
    world.hub.add(REPO, MODEL)
    assert refused(world, f"{REPO}@nowhere").startswith("not_found: ")
    assert "not its revision 'nowhere'" in refused(world, f"{REPO}@nowhere")
    wrong = world.with_env(HF_TOKEN="hf_wrongwrongwrongwrong")
    assert refused(wrong).startswith("auth: ")
    broken = world.with_env(HF_TOKEN=f"{TOKEN}\nx")
    assert "has characters that no token has" in refused(broken)


def test_a_gate_is_seen_before_any_host_is_asked(world: World) -> None:
    commit = world.hub.add(REPO, MODEL, gated=True)
    said = r"^gated: .*accept it at \S+/org/model and set HF_TOKEN"
    assert re.match(said, refused(world))
    made = world.manifest(f"{REPO}@{commit}")  # a commit needs no look-up, which tells of the gate
    with pytest.raises(PermanentError, match=said):
        world.source.open(made.source, made.files[0]).__enter__()
    assert world.with_env(HF_TOKEN=TOKEN).manifest().source == made.source


def test_the_token_of_hf_auth_login_is_found(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    (tmp_path / "token").write_text(f"{TOKEN}\n")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    world.hub.add(REPO, MODEL, private=True)
    there = attrs.evolve(world, env={"HF_ENDPOINT": world.hub.url})
    assert there.manifest().files
    assert TOKEN not in repr(there.source)
    assert world.hub.asked[-1].token == TOKEN


# Busy and broken hubs


@pytest.mark.parametrize("route", ["/revision/", "/tree/"])
@pytest.mark.parametrize(
    ("status", "word", "delay"), [(429, "rate_limited", 7.0), (500, "unavailable", None)]
)
def test_one_refusal_is_temporary_and_says_how_long_to_wait(
    world: World, route: str, status: int, word: str, delay: float | None
) -> None:
    world.hub.add(REPO, MODEL)
    with FaultProxy(world.hub.url) as proxy:
        there = world.with_env(HF_ENDPOINT=proxy.url)
        proxy.add(refuse(status, times=1, path=route, retry_after=None if delay is None else 7))
        with pytest.raises(TemporaryError) as caught:
            there.manifest()
        assert str(caught.value).startswith(f"{word}: ")
        assert caught.value.delay == delay
        assert there.manifest().files


def test_a_hub_that_is_not_there(world: World) -> None:
    gone = world.hub.url
    world.hub.close()
    with pytest.raises(NodeInitError, match=rf"^unavailable: {gone} cannot be reached"):
        world.manifest()


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "999999"}, 900.0),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_how_long_an_answer_asks_to_wait(headers: dict[str, str], delay: float | None) -> None:
    assert delay_of(headers) == delay
