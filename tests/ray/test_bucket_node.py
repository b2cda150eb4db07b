"""A node whose model is in a bucket, on real Ray, with keys in the runtime_env alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeinit import LLMConfig, NodeInitializer
from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.errors import InitializationFailed
from nodeinit.ray import RayCluster
from tests.download.servers.bucket import Bucket
from tests.download.servers.seaweed import seaweed
from tests.ray.conftest import run


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with seaweed(tmp_path_factory.mktemp("seaweed")) as bucket:
        model = make_tiny_model(tmp_path_factory.mktemp("model"))
        for path in Path(model).rglob("*"):
            if path.is_file():
                bucket.put(f"m/{path.relative_to(model)}", path.read_bytes())
        yield bucket


def config(bucket: Bucket, tmp_path: Path, **environ: str) -> LLMConfig:
    return LLMConfig(
        model_id="tiny",
        model_source=f"{bucket.ref}/m",
        runtime_env={"env_vars": {**bucket.environment, **environ}},
        engine_kwargs={"tensor_parallel_size": 2},
        nodeinit={"store": str(tmp_path / "store"), "download": {"strategy": "direct"}},
    )


def command_lines() -> str:
    """Of all processes of this host."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode("latin-1"))
        except OSError:
            continue
    return "\n".join(found)


def test_it_gets_ready_and_no_secret_is_written_or_shown(
    cluster: RayCluster, bucket: Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    paths: list[Path] = []

    async def scenario() -> None:
        journal = tmp_path / "run.jsonl"
        given = config(bucket, tmp_path)
        async with NodeInitializer(given, cluster=cluster, journal=journal) as node:
            node.subscribe(lambda step: seen.append(repr(step)))
            ready = asyncio.ensure_future(node.wait_for("ready"))
            while not ready.done():
                seen.append(await asyncio.to_thread(command_lines))
                await asyncio.sleep(0.3)
            await ready
            seen.extend([repr(node.ctx), str(node.explain()), command_lines()])
            paths.append(Path(node.ctx.model.path if node.ctx.model else "nowhere"))
        seen.append(journal.read_text())

    run(scenario)
    assert (paths[0] / "config.json").exists()
    seen.append(caplog.text)
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file():
            seen.append(path.read_bytes().decode("latin-1"))
    assert len(seen) > 8
    assert [text for text in seen if bucket.secret in text] == []


def test_d3_wrong_keys_end_the_node_with_the_reason(
    cluster: RayCluster, bucket: Bucket, tmp_path: Path
) -> None:
    journal = tmp_path / "run.jsonl"

    async def scenario() -> str:
        given = config(bucket, tmp_path, **bucket.wrong)
        async with NodeInitializer(given, cluster=cluster, journal=journal) as node:
            with pytest.raises(InitializationFailed) as failed:
                await node.wait_for("ready")
            return str(failed.value)

    reason = run(scenario)
    assert "auth: cannot list the files in s3://models/m: the secret key is wrong" in reason
    written = reason + journal.read_text()
    assert not any(secret in written for secret in (bucket.secret, *bucket.wrong.values()))
    assert not (tmp_path / "store").exists()
