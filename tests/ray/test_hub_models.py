"""A plain model id on a real Ray: upstream leaves it to every engine process (its rows D1, D20)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeinit.config import LLMConfig
from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.errors import InitializationFailed
from nodeinit.node.ready import initialize_node
from nodeinit.ray import RayCluster
from tests.download.hubs import REPO, TOKEN
from tests.download.servers.hub import HubServer
from tests.ray.conftest import run


@pytest.fixture(name="hub")
def hub_fixture(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(tmp_path / "hub") as hub:
        yield hub


def tiny(directory: Path) -> dict[str, bytes]:
    made = make_tiny_model(directory)
    return {str(f.relative_to(made)): f.read_bytes() for f in made.rglob("*") if f.is_file()}


def test_d1_a_plain_id_is_brought_once_and_verified_before_anything_is_placed(
    cluster: RayCluster, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tiny(tmp_path / "tiny")
    commit = hub.add(REPO, files)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)  # of this process: the hosts were not told

    async def main() -> None:
        config = LLMConfig(model_id=REPO, nodeinit={"store": str(tmp_path / "store")})
        ready = await initialize_node(config, cluster=cluster)
        assert f"@{commit}" in ready.model.manifest.source
        assert all(report.verified for report in ready.ctx.nodes.values())
        path = Path(ready.model.path)
        assert {name: (path / name).read_bytes() for name in files} == files
        await ready.release()
        asked = hub.count()
        assert hub.count("/resolve/") > 0
        again = await initialize_node(config, cluster=cluster)
        assert sum(report.fetched for report in again.ctx.nodes.values()) == 0
        assert hub.count() == asked + 1
        await again.release()

    run(main)


def test_d20_a_token_of_the_runtime_env_is_used_and_never_written(
    cluster: RayCluster, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(REPO, tiny(tmp_path / "tiny"), private=True)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    journal = tmp_path / "journal.jsonl"

    async def main() -> None:
        settings = {"store": str(tmp_path / "store")}
        env = {"env_vars": {"HF_TOKEN": TOKEN}}
        config = LLMConfig(model_id=REPO, nodeinit=settings, runtime_env=env)
        ready = await initialize_node(config, cluster=cluster, journal=journal)
        assert TOKEN not in repr(ready.ctx) + repr(config) + repr(ready.node.steps)
        await ready.release()
        with pytest.raises(InitializationFailed, match=r"not_found: .*set HF_TOKEN"):
            await initialize_node(config.evolve(runtime_env=None), cluster=cluster)

    run(main)
    assert {one.token for one in hub.asked} == {TOKEN, ""}
    written = [file for file in tmp_path.rglob("*") if file.is_file() and "hub" not in file.parts]
    assert journal in written
    assert [file for file in written if TOKEN.encode() in file.read_bytes()] == []
