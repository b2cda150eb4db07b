"""A model of a hub from its name to a published directory: what is wrong on the way is found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.manifest import ManifestFile
from nodeinit.download.store import is_complete, published_path
from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.download.watch import Stopped
from nodeinit.errors import NodeInitError
from tests.download.hubs import MODEL, REPO, TOKEN, World
from tests.download.hubs import world_fixture as world_fixture
from tests.download.proxy import FaultProxy, flip
from tests.download.test_hub_bring import SLOW, children_of, is_alive, until
from tests.download.trees import ALL, TOKENIZER, published, staged


def assert_nothing(world: World) -> None:
    """No reader of the store finds anything of the model."""
    made = world.manifest()
    path = published_path(world.store, made)
    assert not is_complete(path, made, ALL)
    assert not path.exists() or published(path) == {}


@pytest.mark.parametrize("xet", [False, True])
def test_a_model_comes_whole_and_stays(world: World, xet: bool) -> None:
    world.hub.add(REPO, MODEL, xet=xet)
    result = world.bring()
    assert world.bytes_at(result.path) == MODEL
    assert result.verified
    assert staged(world.store) == []
    asked = world.hub.count()
    again = world.with_env(HF_HUB_OFFLINE="1").bring()
    assert (again.path, again.fetched) == (result.path, 0)
    assert world.hub.count() == asked


def test_a_tokenizer_comes_without_weights(world: World) -> None:
    world.hub.add(REPO, MODEL)
    result = world.bring(mode=TOKENIZER)
    assert set(world.bytes_at(result.path)) == {"config.json", "tokenizer.json", "sub/a b#c.txt"}
    assert world.hub.count("model.safetensors") == 0
    world.bring()
    assert world.bytes_at(result.path) == MODEL
    assert world.hub.count("GET /org/model/resolve/") + world.hub.count("GET /cdn/") == len(MODEL)


@pytest.mark.parametrize("damaged", [False, True])
def test_what_other_programs_have_brought_here_is_not_fetched_again(
    world: World, damaged: bool
) -> None:
    """Copied out of the library's own cache, as the real library fills it, and verified."""
    world.hub.add(REPO, MODEL)
    fill = "import huggingface_hub as hub, sys; print(hub.snapshot_download(sys.argv[1]))"
    command = [sys.executable, "-c", fill, REPO]
    filled = subprocess.run(
        command, env={**os.environ, **world.env}, capture_output=True, text=True, check=True
    )
    cached = Path(filled.stdout.strip()) / "model.safetensors"
    if damaged:
        cached.resolve().write_bytes(MODEL["model.safetensors"][:-1] + b"!")
    before = cached.stat()
    made = world.manifest()
    asked = world.hub.count()
    assert world.bytes_at(world.bring(made).path) == MODEL
    assert (world.hub.count() == asked) is not damaged
    assert (cached.stat().st_mode, cached.stat().st_nlink) == (before.st_mode, before.st_nlink)


class Others:
    """Hosts that have nothing, and note what they are offered."""

    def __init__(self) -> None:
        self.offered: list[str] = []

    def bring(self, *_: object) -> list[ManifestFile]:
        return []

    def finished(self, file: ManifestFile, _path: Path) -> None:
        self.offered.append(file.path)


@pytest.mark.parametrize("why", ["bandwidth", "others"])
def test_where_a_library_will_not_do_ranges_are_read(world: World, why: str) -> None:
    """It knows no cap, and shows no file before the last is there."""
    world.hub.add(REPO, MODEL)
    others = Others() if why == "others" else None
    settings = DownloadSettings(bandwidth=10**9 if why == "bandwidth" else None)
    result = world.bring(relay=others, settings=settings)
    assert world.bytes_at(result.path) == MODEL
    assert world.hub.count("HEAD ") == 0
    assert others is None or sorted(others.offered) == sorted(MODEL)


@pytest.mark.parametrize("path", ["/cdn/", "/config.json"])
def test_one_flipped_bit_is_found_and_healed(world: World, path: str) -> None:
    world.hub.add(REPO, MODEL)
    with FaultProxy(world.hub.url) as proxy:
        far = world.with_env(HF_ENDPOINT=proxy.url)
        made = far.manifest()
        proxy.add(flip(byte=1, times=None, path=path))
        with pytest.raises(NodeInitError, match=r"config.json|model.safetensors"):
            far.bring(made)
        assert_nothing(far)
        proxy.faults.clear()
        assert far.bytes_at(far.bring(made).path) == MODEL


@pytest.mark.parametrize("files_too", [False, True])
def test_one_flipped_bit_in_xets_store_is_found(world: World, files_too: bool) -> None:
    """And healed, if the hub has the right bytes elsewhere."""
    world.hub.add(REPO, MODEL, xet=True)
    [xorb] = world.hub.xorbs()
    data = bytearray(xorb.read_bytes())
    data[150_000] ^= 1
    xorb.chmod(0o644)
    xorb.write_bytes(data)
    if not files_too:
        assert world.bytes_at(world.bring().path) == MODEL
        assert world.hub.count("GET /cdn/") == 1
    else:
        blob = world.hub.blob(REPO, "model.safetensors")
        blob.write_bytes(blob.read_bytes()[:-1] + b"!")
        with pytest.raises(NodeInitError, match=r"^(changed|corrupted): model.safetensors"):
            world.bring()
        assert_nothing(world)
    assert world.hub.count("xet-read-token") == 1


def test_a_stop_leaves_no_process_and_nothing_staged(world: World) -> None:
    world.hub.add(REPO, MODEL)
    with FaultProxy(world.hub.url, bandwidth=SLOW) as proxy:
        far = world.with_env(HF_ENDPOINT=proxy.url)
        made = far.manifest()
        seen: list[int] = []

        def should_stop() -> bool:
            seen.extend(children_of(os.getpid()))
            return bool(seen) and proxy.sent > 50_000

        with pytest.raises(Stopped):
            far.bring(made, should_stop=should_stop)
    assert seen
    assert not any(is_alive(pid) for pid in seen)
    assert staged(world.store) == []
    assert_nothing(world)


_FETCH = """
import sys
from pathlib import Path
from nodeinit.context import NodeModelDownloadable
from nodeinit.download.fetch import bring
from nodeinit.download.sources import source_for
from nodeinit.download.store import published_path
ref, store, index = sys.argv[1:]
made = source_for(ref).manifest(ref, ref, index=Path(index))
mode = NodeModelDownloadable.MODEL_AND_TOKENIZER
bring(made, mode, published_path(store, made), name="killed")
"""


def test_after_a_kill_a_rerun_completes_and_leaves_nothing_over(world: World) -> None:
    world.hub.add(REPO, {**MODEL, "a.json": b"[" + b" " * 500 + b"]"})
    with FaultProxy(world.hub.url, bandwidth=SLOW) as proxy:
        far = world.with_env(HF_ENDPOINT=proxy.url, HF_TOKEN=TOKEN)
        command = [sys.executable, "-c", _FETCH, REPO, str(far.store), str(far.root / "index")]
        fetching = subprocess.Popen(command, env={**os.environ, **far.env})
        until(lambda: proxy.sent > 100_000 and children_of(fetching.pid))
        [child] = children_of(fetching.pid)
        os.kill(fetching.pid, signal.SIGKILL)
        fetching.wait()
        until(lambda: not is_alive(child))
        assert staged(far.store)
        assert_nothing(far)
        proxy.bandwidth = None
        result = far.bring()
    assert world.bytes_at(result.path)["model.safetensors"] == MODEL["model.safetensors"]
    assert staged(world.store) == []


@pytest.mark.slow
def test_transformers_loads_what_came_with_no_network(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    tiny = make_tiny_model(world.root / "tiny")
    files = {str(f.relative_to(tiny)): f.read_bytes() for f in tiny.rglob("*") if f.is_file()}
    world.hub.add(REPO, files)
    path = Path(world.bring().path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = world.hub.count()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
    given = tokenizer("hello", return_tensors="np")
    assert given["input_ids"].size > 0
    assert transformers.AutoConfig.from_pretrained(path, local_files_only=True).vocab_size > 0
    assert world.hub.count() == asked
    pytest.importorskip("torch")
    model = transformers.AutoModelForCausalLM.from_pretrained(path, local_files_only=True)
    answer = model.generate(**tokenizer("hello", return_tensors="pt"), max_new_tokens=4)
    assert answer.shape[1] > given["input_ids"].size
    assert world.hub.count() == asked
