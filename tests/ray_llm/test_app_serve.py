"""`nodeinit serve` with the real Ray Serve on several hosts; the engine is a small one of ours.

Each is a program of its own, told to end by Ctrl-C, and what it left behind is looked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

from nodeinit.config import LLMConfig
from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.errors import NoCapacityError
from nodeinit.placement.labels import NODE_ID
from nodeinit.ray import RayCluster, group_notes, owners, records
from nodeinit.ray.llm import deployed, replacing
from nodeinit.ray.llm.live import prepared_live
from tests.cli.real import Program, wait_until
from tests.shared_ray import Layout

LAYOUT = Layout(hosts=3, gpus=2, finds_tests=True)

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(300),
    pytest.mark.parametrize(
        "shared", [pytest.param(LAYOUT, id="")], indirect=True, scope="session"
    ),
]

PATIENCE = 90.0


@pytest.fixture
def cluster(shared: RayCluster) -> RayCluster:
    """Three hosts with two GPUs each, whose processes find this repository."""
    return shared


@pytest.fixture
def at_rest(cluster: RayCluster) -> Iterator[RayCluster]:
    """The cluster; after the test nothing of it is held, served or noted."""
    yield cluster
    assert wait_until(lambda: not held(cluster), 30), held(cluster)
    assert deployed.applications() == {}
    assert records.under("serving/") == {}
    assert records.under("watched/") == {}


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "home")


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_tiny_model(tmp_path / "source")


def held(cluster: RayCluster) -> list[str]:
    """The groups that there are, and GPUs that are not free."""
    snapshot = asyncio.run(cluster.snapshot())
    taken = [h.name for h in snapshot.alive if h.free("GPU") != h.total.get("GPU", 0)]
    return [*(group.name for group in snapshot.groups), *taken]


def write(path: Path, source: Path, store: Path, builder: str = "build", **more: Any) -> Path:
    """A Serve config with one model that needs two GPUs of one host."""
    model = {
        "model_loading_config": {"model_id": "m", "model_source": str(source)},
        "engine_kwargs": {"tensor_parallel_size": 2},
        "experimental_configs": {"nodeinit": {"store": str(store)}},
        "deployment_config": {"num_replicas": 1},
        **more,
    }
    app = {"name": "app", "route_prefix": "/", "import_path": f"tests.ray_llm.engine:{builder}"}
    data = {"applications": [{**app, "args": {"llm_configs": [model]}}]}
    path.write_text(yaml.safe_dump(data))
    return path


def address() -> str:
    return str(ray.get_runtime_context().gcs_address)


def heard(process: subprocess.Popen[str], beginning: str) -> list[str]:
    """The lines of the program up to one that begins so."""
    found: list[str] = []
    assert process.stdout is not None
    while not (found and found[-1].startswith(beginning)):
        line = process.stdout.readline()
        assert line, "\n".join([*found, *(process.stderr or ())])
        found.append(line.rstrip("\n"))
    return found


def ask(port: int, model: str = "m") -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{model}", timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_planned_brought_served_and_gone(
    at_rest: RayCluster, program: Program, port: int, source: Path, tmp_path: Path
) -> None:
    config = write(tmp_path / "c.yaml", source, tmp_path / "store")
    with program.started("serve", str(config), "--address", address(), "--port", str(port)) as run:
        lines = heard(run, "Ctrl-C")
        first = lines.index(next(line for line in lines if line.startswith("A  m#1: PACK")))
        planned = next(line for line in lines[first:] if "bundle 0 -> " in line)
        brought = next(line for line in lines if line.startswith("m is on one host: "))
        assert brought.endswith("fetched")
        assert lines.index(brought) > first
        assert any("Engine:m" in line and line.endswith(": running") for line in lines)
        assert f"ready: http://127.0.0.1:{port}" in lines
        answer = ask(port)
        (node_id,) = answer["hosts"]
        host = next(h for h in asyncio.run(at_rest.snapshot()).hosts if h.node_id == node_id)
        assert f"-> {host.name}" in planned
        assert answer["fetched"] == 0, "the replica moves no byte"
        assert answer["path"].startswith(str(tmp_path / "store"))
        killed("m-gone-1")
        program.interrupt(run)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert "deleting app" in out
    assert group_notes.all_notes("m-gone-1") == [], "what killed replicas left is cleared away"


def killed(group: str) -> None:
    """A replica notes a group that it is about to make, and is killed."""
    replica = ray.remote(num_cpus=0)(Notes).remote()
    ray.get(replica.leave.remote(group))
    ray.kill(replica)
    (note,) = group_notes.all_notes(group)
    assert wait_until(lambda: owners.gone([note.owner]), PATIENCE)


class Notes:
    def leave(self, group: str) -> bool:
        return group_notes.leave(group)


@pytest.mark.slow
def test_what_does_not_fit_starts_nothing(
    at_rest: RayCluster, program: Program, source: Path, tmp_path: Path
) -> None:
    config = write(
        tmp_path / "c.yaml",
        source,
        tmp_path / "store",
        engine_kwargs={"tensor_parallel_size": 4},
    )
    result = program.run("serve", str(config), "--address", address())
    assert result.returncode == 3
    assert "✗  m#1 does not fit" in result.stdout
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_a_replica_that_fails_says_why_and_nothing_stays(
    at_rest: RayCluster, program: Program, port: int, source: Path, tmp_path: Path
) -> None:
    """Its hook fails for good: the program does not wait until Serve has tried it often enough."""
    callback = {"callback_class": "tests.ray_llm.test_app_serve:Fails"}
    config = write(tmp_path / "c.yaml", source, tmp_path / "store", callback_config=callback)
    arguments = ("serve", str(config), "--address", address(), "--port", str(port))
    result = program.run(*arguments, "--json")
    assert result.returncode == 4, result.stderr
    found = json.loads(result.stdout)
    assert found["state"] == "failed"
    assert "no such tokenizer" in found["reason"]
    assert "its callbacks decide what is downloaded" in result.stderr


class Fails:
    """A callback that does not let its node start."""

    def on_before_download(self, ctx: Any) -> None:
        raise ValueError("no such tokenizer")


@pytest.mark.slow
def test_ctrl_c_while_a_replica_comes_up_leaves_nothing(
    at_rest: RayCluster, program: Program, port: int, source: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "begun"
    kwargs = {"flag": str(flag)}
    callback = {"callback_class": "tests.ray_llm.test_app_serve:Blocks", "callback_kwargs": kwargs}
    config = write(tmp_path / "c.yaml", source, tmp_path / "store", callback_config=callback)
    with program.started("serve", str(config), "--address", address(), "--port", str(port)) as run:
        heard(run, "app: deploying")
        assert wait_until(flag.exists, PATIENCE)
        assert held(at_rest)
        program.interrupt(run)
        out, err = run.communicate(timeout=90)
    assert run.returncode == 5, err
    assert "deleting app" in out


class Blocks:
    """Begins something on the host that does not end."""

    def __init__(self, flag: str) -> None:
        self.flag = flag

    def on_node_download(self, ctx: Any, node_id: str) -> None:
        Path(self.flag).touch()
        signal.pause()


@pytest.mark.slow
def test_several_models_lie_beside_each_other(
    at_rest: RayCluster, program: Program, port: int, source: Path, tmp_path: Path
) -> None:
    config = write(tmp_path / "c.yaml", source, tmp_path / "store")
    data = yaml.safe_load(config.read_text())
    (first,) = data["applications"][0]["args"]["llm_configs"]
    second = {**first, "model_loading_config": {"model_id": "n", "model_source": str(source)}}
    data["applications"][0]["args"]["llm_configs"].append(second)
    config.write_text(yaml.safe_dump(data))
    with program.started("serve", str(config), "--address", address(), "--port", str(port)) as run:
        heard(run, "Ctrl-C")
        answers = [ask(port, name) for name in ("m", "n")]
        program.interrupt(run)
        run.communicate(timeout=90)
    assert [answer["fetched"] for answer in answers] == [0, 0]
    assert answers[0]["hosts"] != answers[1]["hosts"], "each needs all GPUs of a host"


@pytest.fixture
def serving(
    at_rest: RayCluster, program: Program, port: int, tmp_path: Path
) -> Iterator[Callable[[Path], None]]:
    """Serves a config and goes on; what is served is deleted in the end."""
    started = []

    def serve(config: Path) -> None:
        arguments = ("serve", str(config), "--address", address(), "--port", str(port))
        with program.started(*arguments, "--detach") as run:
            heard(run, "ready")
            _, err = run.communicate(timeout=60)
        assert run.returncode == 0, err
        started.append(config)

    yield serve
    from nodeinit.ray.llm import serving as served

    served.delete(["app"])
    served.shut_down()


@pytest.mark.slow
def test_a_replica_that_starts_again_moves_no_byte(
    serving: Callable[[Path], None], port: int, source: Path, tmp_path: Path
) -> None:
    serving(write(tmp_path / "c.yaml", source, tmp_path / "store"))
    before = ask(port)
    os.kill(before["pid"], 9)

    assert wait_until(lambda: changed(port, before["replica"]), PATIENCE)
    after = ask(port)
    assert (after["fetched"], after["hosts"], after["path"]) == (0, before["hosts"], before["path"])


@pytest.mark.slow
def test_a_new_version_lies_beside_the_old_one_which_stays_as_long_as_it_is_used(
    serving: Callable[[Path], None], program: Program, port: int, source: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    serving(write(tmp_path / "c.yaml", source, store))
    old = ask(port)
    files = {p: p.stat() for p in Path(old["path"]).rglob("*") if p.is_file()}
    other = make_tiny_model(tmp_path / "next")
    (other / "generation_config.json").write_text('{"temperature": 0.5}')
    serving(write(tmp_path / "c.yaml", other, store))

    assert wait_until(lambda: ask(port)["path"] != old["path"], PATIENCE)
    new = ask(port)
    assert new["fetched"] == 0, "it was brought before the old replica was stopped"
    assert new["hosts"] == old["hosts"], "the deployment keeps its host"
    assert {path: path.stat().st_mtime_ns for path in files} == {
        path: stat.st_mtime_ns for path, stat in files.items()
    }
    assert all(path.stat().st_ino == stat.st_ino for path, stat in files.items())
    listed = program.run("cache", "ls", "--store", str(store), "--json")
    assert {Path(old["path"]).name, Path(new["path"]).name} == revisions(listed.stdout)
    pruned = program.run("cache", "prune", "--store", str(store), "--keep", "0")
    assert pruned.returncode == 0, pruned.stderr
    assert Path(new["path"]).is_dir(), "what is used is never pruned"
    assert not Path(old["path"]).exists()
    assert ask(port)["weights"] == new["weights"]


def revisions(text: str) -> set[str]:
    return {one["revision"] for one in json.loads(text)}


@pytest.mark.slow
def test_an_update_that_does_not_fit_leaves_what_runs(
    serving: Callable[[Path], None], program: Program, port: int, source: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    serving(write(tmp_path / "c.yaml", source, store))
    before = ask(port)
    larger = {"engine_kwargs": {"tensor_parallel_size": 4}}
    config = write(tmp_path / "larger.yaml", source, store, **larger)
    result = program.run("serve", str(config), "--address", address())
    assert result.returncode == 3, result.stderr
    assert "needs 4 GPUs on one host" in result.stdout
    assert ask(port)["replica"] == before["replica"]


@pytest.mark.slow
def test_a_second_replica_on_a_host_that_has_the_files_moves_no_byte(
    serving: Callable[[Path], None], port: int, source: Path, tmp_path: Path
) -> None:
    """One GPU each: both fit on one host, where the plan packs them."""
    model = {
        "engine_kwargs": {"tensor_parallel_size": 1},
        "deployment_config": {"num_replicas": 2},
    }
    serving(write(tmp_path / "c.yaml", source, tmp_path / "store", **model))
    seen: dict[str, Any] = {}
    deadline = time.monotonic() + PATIENCE
    while len(seen) < 2 and time.monotonic() < deadline:
        answer = ask(port)
        seen[answer["replica"]] = answer
    assert len(seen) == 2
    assert {answer["fetched"] for answer in seen.values()} == {0}
    assert len({tuple(answer["hosts"]) for answer in seen.values()}) == 1


@pytest.mark.slow
def test_a_host_that_is_lost_is_replaced_by_another_plan(
    at_rest: RayCluster, program: Program, port: int, source: Path, tmp_path: Path
) -> None:
    """Serve itself could not go elsewhere: the deployment is held to its host."""
    config = write(tmp_path / "c.yaml", source, tmp_path / "store")
    assert at_rest.hosts is not None
    with program.started("serve", str(config), "--address", address(), "--port", str(port)) as run:
        heard(run, "Ctrl-C")
        (before,) = ask(port)["hosts"]
        at_rest.hosts.kill_host(before)
        at_rest.hosts.add_hosts(1)
        lines = heard(run, "ready: ")
        assert any(line.endswith("gone: planning again") for line in lines)
        (after,) = ask(port)["hosts"]
        assert after != before
        program.interrupt(run)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err


@pytest.mark.slow
def test_a_builder_in_a_serve_config_plans_where_serve_builds(
    at_rest: RayCluster, port: int, source: Path, tmp_path: Path
) -> None:
    """As `serve deploy` and KubeRay have it: nobody waits on a terminal."""
    from nodeinit.ray.llm import serving as served

    store = tmp_path / "store"
    path = write(tmp_path / "c.yaml", source, store, "build_planned")
    data = yaml.safe_load(path.read_text())
    too_large = yaml.safe_load(
        write(
            path, source, store, "build_planned", engine_kwargs={"tensor_parallel_size": 4}
        ).read_text()
    )

    def status() -> Any:
        return next(iter(served.statuses(["app"])), None)

    served.start(data, "127.0.0.1", port)
    try:
        served.deploy(too_large, ["app"])
        assert wait_until(lambda: status() and status().status == "DEPLOY_FAILED", PATIENCE)
        assert "m#1 does not fit: needs 4 GPUs" in status().message
        assert not store.exists()
        served.deploy(data, ["app"])
        assert wait_until(lambda: status().status == "RUNNING", PATIENCE), status()
        first = ask(port)
        assert first["fetched"] == 0
        known = deployed.applications()
        (found,) = deployed.present_selectors("app", known, [LLMConfig(model_id="m")])
        (selector, _) = found or ()
        assert selector[NODE_ID].startswith("!in(")
        assert first["hosts"][0] not in selector[NODE_ID]
        # All of the cluster but what the application holds is taken: its next version fits in that.
        data["applications"][0]["args"]["llm_configs"][0]["log_engine_metrics"] = False
        assert at_rest.hosts is not None
        others = [host for host in at_rest.hosts.node_ids if host not in first["hosts"]]
        with taken(others):
            model = [LLMConfig.from_dict(data["applications"][0]["args"]["llm_configs"][0])]
            with pytest.raises(NoCapacityError):
                prepared_live(model)
            with replacing("app"):
                (again,) = prepared_live(model).models
            assert (list(again.hosts), again.selectors) == (first["hosts"], found)
            served.deploy(data, ["app"])
            assert wait_until(lambda: changed(port, first["replica"]), PATIENCE), status()
            assert ask(port)["hosts"] == first["hosts"]
    finally:
        served.delete(["app"])
        served.shut_down()


def changed(port: int, replica: str) -> bool:
    try:
        return bool(ask(port)["replica"] != replica)
    except OSError:
        return False


@contextlib.contextmanager
def taken(node_ids: list[str]) -> Iterator[None]:
    """All GPUs of hosts are somebody else's."""
    bundles = [{"GPU": 2}] * len(node_ids)
    selectors = [{"ray.io/node-id": node_id} for node_id in node_ids]
    group = ray.util.placement_group(bundles, bundle_label_selector=selectors)
    try:
        ray.get(group.ready(), timeout=30)
        yield
    finally:
        ray.util.remove_placement_group(group)
