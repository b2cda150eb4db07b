"""The program against a cluster in memory: everything of it runs but Ray."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result

from nodeinit.cli import cluster
from nodeinit.cli.cluster import Where
from nodeinit.cli.main import cli
from nodeinit.clusters.simulated import SimCluster, SimFault, sim_host


class WatchedCluster(SimCluster):
    """Remembers that it was closed."""

    closed = False

    async def close(self) -> None:
        self.closed = True


@attrs.define
class World:
    """What the program finds outside: hosts, faults, and the clusters that it connected to."""

    gpus: int = 8
    faults: Sequence[SimFault] = ()
    kind: type[WatchedCluster] = WatchedCluster
    connected: list[WatchedCluster] = attrs.field(factory=list)
    where: list[Where] = attrs.field(factory=list)

    def connect(self, where: Where) -> WatchedCluster:
        hosts = [sim_host(f"h{i}", GPU=self.gpus, CPU=8) for i in range(where.hosts or 1)]
        made = self.kind(hosts, faults=self.faults, latency=0.001, bandwidth=1e10)
        self.connected.append(made)
        self.where.append(where)
        return made

    def nothing_left(self) -> bool:
        """Whether every cluster was closed and holds nothing of ours."""
        return all(made.closed and not made.leftovers() for made in self.connected)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, also the current directory."""
    monkeypatch.setenv("NODEINIT_HOME", str(tmp_path / "home"))
    for name in ("NODEINIT_STORE", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def world(home: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The cluster in memory that the program will find."""
    made = World()
    monkeypatch.setattr(cluster, "connect", made.connect)
    return made


@pytest.fixture
def nodeinit(home: Path) -> Callable[..., Result]:
    """The program: `nodeinit("run", "--json")`."""

    def invoke(*arguments: Any) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    return invoke


def write_config(path: Path, **more: Any) -> Path:
    loading = {"model_id": "m", "model_source": "/models/m"}
    path.write_text(json.dumps({"model_loading_config": loading, **more}))  # JSON is YAML
    return path
