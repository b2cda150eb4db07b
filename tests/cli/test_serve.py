"""`nodeinit serve`: the YAML that people feed to Ray, planned and not started; bad usage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import Result

from nodeinit.cli.serving import hopeless, last_error
from nodeinit.node.status import Status, StatusReason
from nodeinit.placement.snapshot_file import snapshot_text
from nodeinit.placement.topology import ClusterSnapshot, Host
from tests.cli.conftest import World, write_config
from tests.strategies import host

Nodeinit = Callable[..., Result]

UPSTREAM = Path(__file__).parents[1] / "config" / "upstream"
OURS = Path(__file__).parents[1] / "configs"


def slice_host(name: str, worker: int) -> Host:
    labels = {"ray.io/tpu-slice-name": "s", "ray.io/tpu-worker-id": str(worker)}
    made = host(name, 0, cpu=64, TPU=4, kind="TPU-V6E")
    return attrs.evolve(made, labels={**made.labels, **labels})


CLUSTER = ClusterSnapshot(
    (
        host("cpu", 0, cpu=16),
        *(host(f"a10g-{i}", 4, cpu=32, kind="A10G") for i in range(3)),
        *(host(f"l4-{i}", 4, cpu=32, kind="L4") for i in range(3)),
        *(slice_host(f"tpu-{i}", i) for i in range(4)),
    )
)

# For each file: replicas of models and of the ingress, and the hosts that the GPUs or TPUs are on.
EXPECTED: dict[str, tuple[int, int, dict[str, int]]] = {
    "cpu": (1, 1, {}),
    "data_parallel": (8, 1, {"a10g": 8, "l4": 8}),
    "fractional_gpu": (8, 1, {"l4": 8}),
    "lora": (1, 1, {"a10g": 1}),
    "pipeline_parallel": (1, 1, {"l4": 8}),
    "prefill_decode": (2, 1, {"a10g": 2}),
    "s3_mirror": (1, 1, {"a10g": 1}),
    "several_models": (2, 2, {"a10g": 2}),
    "tensor_parallel": (1, 1, {"a10g": 2}),
    "tpu": (1, 1, {"tpu": 4}),
}


@pytest.fixture
def cluster_file(home: Path) -> Path:
    path = home.parent / "cluster.json"
    path.write_text(snapshot_text(CLUSTER))
    return path


def devices(answers: list[dict[str, Any]]) -> Counter[str]:
    """How many bundles with a device lie on each kind of host."""
    bundles = [bundle for answer in answers for bundle in answer["plan"]["bundles"]]
    placed = [b["node_id"] for b in bundles if {"GPU", "TPU"} & set(b["resources"])]
    return Counter(node_id.rpartition("-")[0] for node_id in placed)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("command", [("plan",), ("serve", "--dry-run")], ids=lambda c: c[0])
def test_a_yaml_of_ray_is_planned_as_it_is(
    nodeinit: Nodeinit, cluster_file: Path, name: str, command: tuple[str, ...]
) -> None:
    models, ingresses, expected = EXPECTED[name]
    path = UPSTREAM / f"{name}.yaml"
    result = nodeinit(*command, path, "--cluster", cluster_file, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["feasible"] is True
    assert (len(found["models"]), len(found["ingress"])) == (models, ingresses)
    placed = devices(found["models"])
    if name == "data_parallel":  # any GPU does: which, is the planner's choice
        assert placed.total() == sum(expected.values())
    else:
        assert placed == expected


def test_a_ray_service_is_planned_as_what_it_serves(nodeinit: Nodeinit, cluster_file: Path) -> None:
    path = OURS / "rayservice.yaml"
    result = nodeinit("plan", path, "--cluster", cluster_file, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert devices(found["models"]) == {"l4": 2}
    assert len(found["ingress"]) == 1


def test_every_yaml_of_ray_is_tried() -> None:
    files = {path.stem for path in UPSTREAM.glob("*.yaml")}
    assert files - set(EXPECTED) == {"custom_server"}


def test_the_engine_and_the_actor_beside_it_are_counted(
    nodeinit: Nodeinit, cluster_file: Path
) -> None:
    """Serve puts the replica's own CPU into the first bundle, and one more takes the requests."""
    result = nodeinit(
        "serve", UPSTREAM / "tensor_parallel.yaml", "--dry-run", "--cluster", cluster_file
    )
    assert "bundle 0 -> host-a10g-0  CPU 1, GPU 1, accelerator_type:A10G 0.001" in result.stdout
    assert "B  OpenAiIngress#1: PACK, one bundle on one host" in result.stdout
    assert "A0, A1, …  the workers of llama-3.1-8b#1, by rank" in result.stdout


def test_what_does_not_fit_is_explained_and_nothing_is_started(
    nodeinit: Nodeinit, world: World, home: Path
) -> None:
    config = write_config(home.parent / "c.yaml", engine_kwargs={"tensor_parallel_size": 16})
    result = nodeinit("serve", config, "--dry-run", "--hosts", "2", "--gpus-per-host", "8")
    assert result.exit_code == 3
    assert "✗  m#1 does not fit" in result.stdout
    assert "needs 16 GPUs on one host" in result.stdout
    assert len(world.connected) == 1
    assert world.nothing_left()


def test_a_bad_config_starts_nothing(nodeinit: Nodeinit, world: World, home: Path) -> None:
    config = write_config(home.parent / "c.yaml", engine_kwargs={"tensor_parallel_size": 0})
    result = nodeinit("serve", config, "--dry-run", "--hosts", "2")
    assert result.exit_code == 2
    assert "engine_kwargs.tensor_parallel_size" in result.stderr
    assert not world.connected


def test_a_saved_cluster_is_for_a_dry_run(nodeinit: Nodeinit, cluster_file: Path) -> None:
    result = nodeinit("serve", UPSTREAM / "cpu.yaml", "--cluster", cluster_file)
    assert result.exit_code == 2
    assert "only --dry-run can plan on it" in result.stderr


def node(phase: str, code: str = "error", *, temporary: bool = False) -> Status:
    reason = StatusReason(code, "out of luck", "download", temporary)
    now = datetime.now(UTC)
    return Status("n", "m", phase, False, 1, 5, 1, now, None, None, reason, "It is out of luck.")


@pytest.mark.parametrize(
    ("nodes", "status", "expected"),
    [
        ([], "DEPLOYING", None),
        ([node("download")], "DEPLOYING", None),
        ([node("failed", temporary=True)], "DEPLOYING", None),  # Serve tries again
        ([node("failed")], "DEPLOYING", (4, "out of luck")),
        ([node("ready"), node("failed", "infeasible")], "DEPLOYING", (3, "out of luck")),
        ([node("failed", temporary=True)], "DEPLOY_FAILED", (4, "ValueError: no")),
    ],
)
def test_when_there_is_no_hope(nodes: list[Status], status: str, expected: Any) -> None:
    """A node that failed for good says why long before Serve gives up."""
    by_replica = {str(i): one for i, one in enumerate(nodes)}
    assert hopeless(by_replica, status, "The deployment failed.\nValueError: no") == expected


def test_of_serves_tracebacks_the_last_error_is_told() -> None:
    """With all of its lines: they may be the explanation of a plan."""
    message = """Deploying app 'llm' failed with exception:
Traceback (most recent call last):
  File "application_state.py", line 926, in _reconcile_build_app_task
    serialized = ray.get(
ray.exceptions.RayTaskError(RuntimeError): ray::build_serve_application() (pid=3665)
KeyError: 'm'
The above exception was the direct cause of the following exception:
RuntimeError: Traceback (most recent call last):
  File "application_state.py", line 1736, in build_serve_application
nodeinit.errors.NoCapacityError: m#1 does not fit: needs 4 GPUs
  host-1: less than 4 GPUs free"""
    told = message[message.index("nodeinit.errors") :]
    assert last_error(message) == told
    assert last_error("something else") == "something else"
