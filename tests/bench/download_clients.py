"""One download by one client, measured from within.

    python -m tests.bench.download_clients NAME REF DIR

Prints a line of JSON: seconds, CPU seconds of this process and its children, peak RSS in MiB. What
a client imports is imported before the clock starts; `import` says how long that took. Each client
gets what it needs to be fast, and its defaults otherwise.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Client = Callable[[str, Path], None]
RANGE = 16 * 2**20


def ours() -> Client:
    """nodeinit: manifest, ranges, sha256 of every byte, fsync, atomic publish."""
    for module in (
        "huggingface_hub.hf_api",
        "huggingface_hub.utils",
        "jsonschema",
        "obstore.store",
        "nodeinit.download.sources.hub",
        "nodeinit.download.sources.objects",
    ):
        importlib.import_module(module)  # what it imports when it is asked, others import at once
    from nodeinit import LLMConfig
    from nodeinit.context import NodeModelDownloadable
    from nodeinit.download.fetch import bring
    from nodeinit.download.reading import read_manifest
    from nodeinit.download.store import published_path

    def fetch(ref: str, directory: Path) -> None:
        settings = {"store": str(directory), "download": {"allow_http": True}}
        config = LLMConfig(model_id="bench", model_source=ref, nodeinit=settings)
        manifest = read_manifest(config)
        path = published_path(directory, manifest)
        bring(manifest, NodeModelDownloadable.MODEL_AND_TOKENIZER, path, name="bench", **more)

    more = _settings_of(bring)
    return fetch


def _settings_of(bring: Any) -> dict[str, Any]:
    """How `bring` learns that plain HTTP is fine on loopback."""
    import inspect

    from nodeinit.config.parts import DownloadSettings

    if "settings" in inspect.signature(bring).parameters:
        return {"settings": DownloadSettings(allow_http=True)}
    return {}


def ray_s3() -> Client:
    """Ray Serve LLM's own downloader over boto3."""
    return _ray("")


def ray_pyarrow() -> Client:
    """Ray Serve LLM's own downloader over pyarrow."""
    return _ray("pyarrow-")


def _ray(prefix: str) -> Client:
    from ray.llm._internal.common.utils.cloud_utils import CloudFileSystem

    def fetch(ref: str, directory: Path) -> None:
        CloudFileSystem.download_model(str(directory / "model"), prefix + ref, False)

    return fetch


def hub_client() -> Client:
    """`huggingface_hub`, which verifies and syncs nothing."""
    from huggingface_hub import snapshot_download

    def fetch(ref: str, directory: Path) -> None:
        snapshot_download(ref.removeprefix("hf://"), cache_dir=str(directory))

    return fetch


def raw_s3() -> Client:
    """obstore alone: ranges into files, nothing verified, nothing synced."""
    from obstore.store import S3Store

    def fetch(ref: str, directory: Path) -> None:
        bucket, _, prefix = ref.removeprefix("s3://").partition("/")
        store = S3Store(
            bucket,
            endpoint=os.environ["AWS_ENDPOINT_URL_S3"],
            region="us-east-1",
            client_options={"allow_http": True},
        )
        found = [(item["path"], item["size"]) for part in store.list(prefix) for item in part]
        _ranges(store, found, prefix, directory)

    return fetch


def raw_hub() -> Client:
    """obstore alone on the Hub's own URLs."""
    from huggingface_hub import HfApi
    from obstore.store import HTTPStore

    def fetch(ref: str, directory: Path) -> None:
        name = ref.removeprefix("hf://")
        listed = HfApi().list_repo_tree(name, recursive=True)
        found = [(f"{name}/resolve/main/{item.path}", item.size) for item in listed]
        store = HTTPStore(os.environ["HF_ENDPOINT"], client_options={"allow_http": True})
        _ranges(store, found, "", directory)

    return fetch


def _ranges(store: Any, found: list[tuple[str, int]], prefix: str, directory: Path) -> None:
    import obstore

    jobs, descriptors = [], []
    for key, size in found:
        target = directory / key.removeprefix(prefix).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT, 0o644)
        descriptors.append(descriptor)
        jobs += [
            (descriptor, key, start, min(RANGE, size - start)) for start in range(0, size, RANGE)
        ]

    def one(job: tuple[int, str, int, int]) -> None:
        descriptor, key, start, length = job
        os.pwrite(descriptor, obstore.get_range(store, key, start=start, length=length), start)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, jobs))
    for descriptor in descriptors:
        os.close(descriptor)


def s5cmd() -> Client:
    """The program s5cmd."""

    def fetch(ref: str, directory: Path) -> None:
        endpoint = os.environ["AWS_ENDPOINT_URL_S3"]
        program = _beside("s5cmd")
        _call(program, "--endpoint-url", endpoint, "cp", f"{ref}/*", f"{directory}/")

    return fetch


def rclone() -> Client:
    """The program rclone, with several streams."""

    def fetch(ref: str, directory: Path) -> None:
        options = f"provider=Other,env_auth=true,endpoint='{os.environ['AWS_ENDPOINT_URL_S3']}'"
        remote = f":s3,{options}:{ref.removeprefix('s3://')}"
        _call(_beside("rclone"), "copy", "--multi-thread-streams", "8", remote, str(directory))

    return fetch


def copy() -> Client:
    """`cp -r` of the files on the same disk: the limit."""

    def fetch(ref: str, directory: Path) -> None:
        _call("cp", "-r", ref, str(directory))

    return fetch


def _beside(name: str) -> str:
    """A program of the environment of this interpreter, else of the path."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name) or name


def _call(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


CLIENTS: dict[str, Callable[[], Client]] = {
    "nodeinit": ours,
    "Ray, boto3": ray_s3,
    "Ray, pyarrow": ray_pyarrow,
    "huggingface_hub": hub_client,
    "obstore, S3": raw_s3,
    "obstore, Hub": raw_hub,
    "s5cmd": s5cmd,
    "rclone": rclone,
    "cp -r": copy,
}


def main() -> None:
    name, ref, directory = sys.argv[1:4]
    began = time.perf_counter()
    client = CLIENTS[name]()
    imported = time.perf_counter() - began
    out = os.dup(1)
    os.dup2(2, 1)  # what a client prints is not ours
    with Memory() as memory:
        before, began = os.times(), time.perf_counter()
        client(ref, Path(directory))
        seconds, after = time.perf_counter() - began, os.times()
    answer = {
        "import": imported,
        "seconds": seconds,
        "cpu": sum(after[:4]) - sum(before[:4]),
        "rss": memory.peak,
    }
    os.write(out, json.dumps(answer).encode())


class Memory:
    """The most that this process and its children had in memory at once, in MiB, as seen in passing.

    Not `ru_maxrss`, which a process inherits from whoever started it.
    """

    def __enter__(self) -> Memory:
        self.peak = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, sum(map(_resident, _family(os.getpid()))))
            if self._over.wait(0.05):
                return


def _family(pid: int) -> list[int]:
    children: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children += [int(child) for child in listing.read_text().split()]
    return [pid, *(one for child in children for one in _family(child))]


def _resident(pid: int) -> float:
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20
    return 0.0


if __name__ == "__main__":
    main()
