"""`nodeinit plan`: the picture, the words, the JSON, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import Result

from nodeinit.cli.main import cli
from nodeinit.placement.snapshot_file import snapshot_text
from nodeinit.placement.topology import ClusterSnapshot
from tests.cli.conftest import World, write_config
from tests.strategies import group, host

Nodeinit = Callable[..., Result]

SMALL = ClusterSnapshot(
    (host("a", 4, 2), host("b", 4), host("c", 4, 3.5), host("d", 0), host("e", 4, alive=False)),
    (group("llm-a", "a", [1.0, 1.0]),),
)


def model(name: str, tp: int = 1, pp: int = 1, replicas: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "model_loading_config": {"model_id": name},
        "engine_kwargs": {"tensor_parallel_size": tp, "pipeline_parallel_size": pp},
        "deployment_config": {"num_replicas": replicas},
        **more,
    }


TWO_CPUS = {"bundles": [{"CPU": 1}, {"CPU": 1}]}
SERVE = [
    model("tiny", replicas=2, placement_group_config={"bundle_per_worker": {"GPU": 0.5}}),
    model("big", 2, 2, 2),
    model("cpu", accelerator_config={"kind": "cpu"}, placement_group_config=TWO_CPUS),
]


@pytest.fixture
def here(home: Path) -> Path:
    (home.parent / "cluster.json").write_text(snapshot_text(SMALL))
    return home.parent


def write_serve(here: Path, *models: dict[str, Any]) -> Path:
    """An application of somebody's own: one of Ray's builders puts an ingress before the models."""
    args = {"llm_configs": models}
    app = {"name": "app", "import_path": "my_package:build", "args": args}
    path = here / "serve.yaml"
    path.write_text(json.dumps({"applications": [app]}))
    return path


def lines(result: Result) -> list[str]:
    assert "\x1b" not in result.stdout
    return [line.rstrip() for line in result.stdout.rstrip("\n").split("\n")]


@pytest.mark.parametrize("width", [60, 100, 200])
def test_the_whole_of_it(
    nodeinit: Nodeinit, here: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    models = [SERVE[0] | {"deployment_config": {}}, SERVE[1], SERVE[2]]
    result = nodeinit("plan", write_serve(here, *models), "--cluster", "cluster.json")
    assert result.exit_code == 0
    assert result.stderr == ""
    table, words = lines(result)[:7], lines(result)[7:]
    assert table == [
        "host     GPUs              free   without GPU",
        "─────────────────────────────────────────────",
        "host-a   a    a  C0 C1   0 of 4   D0 D+1",
        "host-b   B0   B1 B2 B3   0 of 4",
        "host-c   ×/A0 C2 C3 ·    1 of 4",
        "host-d   none",
        "host-e   not alive",
    ]
    assert words == [
        "  A0, A1, …  the workers of tiny#1, by rank",
        "  A+0  a bundle of A, by its index, on which no worker runs",
        "  a  taken by group 'llm-a'",
        "  ×  taken by others",
        "  Cells are counts: Ray chooses which GPU of a host a bundle gets.",
        "",
        "A  tiny#1: PACK, one bundle on one host",
        "   bundle 0 -> host-c  CPU 1, GPU 0.5",
        "",
        "B  big#1: PACK, 4 bundles on one host",
        "   bundle 0    -> host-b  CPU 1, GPU 1",
        "   bundles 1-3 -> host-b  GPU 1 each",
        "",
        "C  big#2: PACK, 4 bundles on 2 hosts",
        "   bundle 0    -> host-a  CPU 1, GPU 1",
        "   bundle 1    -> host-a  GPU 1",
        "   bundles 2-3 -> host-c  GPU 1 each",
        "",
        "D  cpu#1: PACK, 2 bundles on one host",
        "   bundle 0 -> host-a  CPU 2",
        "   bundle 1 -> host-a  CPU 1",
        "",
        "All 4 fit.",
    ]


def test_columns_are_aligned(nodeinit: Nodeinit, here: Path) -> None:
    config = write_serve(here, model("m", 4))
    assert lines(nodeinit("plan", config, "--cluster", "cluster.json"))[:5] == [
        "host     GPUs              free",
        "───────────────────────────────",
        "host-a   a  a  ·  ·      2 of 4",
        "host-b   A0 A1 A2 A3     0 of 4",
        "host-c   ×  ·  ·  ·    3.5 of 4",
    ]


def test_a_narrow_terminal_loses_nothing(
    nodeinit: Nodeinit, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "a-host-with-a-name-that-is-longer-than-anybody-would-like.example.com"
    saved = json.loads(snapshot_text(ClusterSnapshot((host("a", 16), host("b", 16)))))
    saved["nodes"][0]["name"] = name
    (here / "cluster.json").write_text(json.dumps(saved))
    monkeypatch.setenv("COLUMNS", "60")
    found = lines(nodeinit("plan", write_serve(here, model("m", 16)), "--cluster", "cluster.json"))
    end = next(i for i, line in enumerate(found) if line.startswith("  A0, A1"))
    assert all(len(line) <= 60 for line in found[:end])
    drawn = " ".join(found[2:end])
    assert all(f"A{rank}" in drawn for rank in range(16))
    joined = "".join(line.split()[0] for line in found[2:end] if not line.startswith(" "))
    assert name in joined


@pytest.mark.parametrize("models", [(model("m", 8),), (model("m", 4, 2, 3), model("n"))])
def test_what_does_not_fit_is_explained(
    nodeinit: Nodeinit, here: Path, models: tuple[dict[str, Any], ...]
) -> None:
    result = nodeinit("plan", write_serve(here, *models), "--cluster", "cluster.json")
    assert result.exit_code == 3
    found = lines(result)
    start = next(i for i, line in enumerate(found) if line.startswith("✗"))
    several = len(models) > 1
    assert found[start] == ("✗  m#1 to #3 do not fit" if several else "✗  m#1 does not fit")
    assert found[start + 1].startswith("   needs ")
    assert len(found[start:-2]) < 15  # one explanation, though there are three of the model
    assert found[-1] == ("1 of 4 fits." if several else "It does not fit.")


def test_replicas_that_are_not_in_a_row_are_named_one_by_one(
    nodeinit: Nodeinit, here: Path
) -> None:
    """Two configs may have one id: here #1 and #3 are too large, #2 is not."""
    config = write_serve(here, model("m", 8))
    app = json.loads(config.read_text())["applications"][0]
    apps = [app, *({**app, "args": {"llm_configs": [model("m", tp)]}} for tp in (2, 8))]
    config.write_text(json.dumps({"applications": apps}))
    found = lines(nodeinit("plan", config, "--cluster", "cluster.json"))
    assert "✗  m#1, m#3 do not fit" in found
    assert found[-1] == "1 of 3 fits."


def test_json(nodeinit: Nodeinit, here: Path) -> None:
    config = write_serve(here, model("m", 2, replicas=2), model("big", 8))
    result = nodeinit("plan", config, "--cluster", "cluster.json", "--json")
    assert result.exit_code == 3
    found = json.loads(result.stdout)
    assert found["feasible"] is False
    first, second, big = found["models"]
    assert [(m["model_id"], m["replica"]) for m in (first, second, big)] == [
        ("m", 1),
        ("m", 2),
        ("big", 1),
    ]
    assert first["infeasible"] is None
    assert first["plan"] == {
        "strategy": "PACK",
        "bundles": [
            {"index": 0, "node_id": "a", "resources": {"CPU": 1, "GPU": 1}},
            {"index": 1, "node_id": "a", "resources": {"GPU": 1}},
        ],
    }
    assert {b["node_id"] for b in second["plan"]["bundles"]} < {"b", "c"}
    assert big["plan"] is None
    assert big["infeasible"]["reason"].startswith("needs 8 GPUs on one host")


def test_the_ingress_takes_room_beside_the_models(nodeinit: Nodeinit, here: Path) -> None:
    """A CPU for each of its replicas, which two models of four GPUs do not leave here."""
    config = write_serve(here, model("m", 2))
    app = json.loads(config.read_text())["applications"][0]
    app |= {"import_path": "ray.serve.llm:build_openai_app"}
    app["args"]["ingress_deployment_config"] = {"autoscaling_config": {"min_replicas": 2}}
    config.write_text(json.dumps({"applications": [app]}))
    arguments = ("plan", config, "--cluster", "cluster.json")
    for cpus, told in ((3, "All 3 fit."), (2, "2 of 3 fit.")):
        hosts = ClusterSnapshot((host("a", 4, cpu=8, free_cpu=cpus),))
        (here / "cluster.json").write_text(snapshot_text(hosts))
        assert lines(nodeinit(*arguments))[-1] == told
        assert lines(nodeinit(*arguments, "--model", "m"))[-1] == "It fits."
    found = json.loads(nodeinit(*arguments, "--json").stdout)
    assert [m["model_id"] for m in found["models"]] == ["m"]
    assert [i["infeasible"] is None for i in found["ingress"]] == [True, False]
    assert "✗  OpenAiIngress#2 does not fit" in nodeinit(*arguments).stdout


def test_the_actor_of_a_replica_takes_room_unless_it_is_left_out(
    nodeinit: Nodeinit, here: Path
) -> None:
    cramped = ClusterSnapshot((host("a", 4, cpu=8, free_cpu=2),))
    (here / "cluster.json").write_text(snapshot_text(cramped))
    actor = {"num_replicas": 1, "ray_actor_options": {"num_cpus": 3, "resources": {}}}
    config = write_serve(here, model("m", 2, deployment_config=actor))
    arguments = ("plan", config, "--cluster", "cluster.json")
    result = nodeinit(*arguments)
    assert result.exit_code == 3
    assert "needs 3 CPU" in result.stdout
    assert "bundles 0-1 -> host-a  GPU 1 each" in nodeinit(*arguments, "--workers-only").stdout


def test_what_the_actor_of_a_replica_may_not_ask_for(nodeinit: Nodeinit, here: Path) -> None:
    config = write_serve(here, model("m", deployment_config={"ray_actor_options": {"num_gpus": 1}}))
    result = nodeinit("plan", config, "--cluster", "cluster.json")
    assert result.exit_code == 2
    told = "serve.yaml: m: deployment_config.ray_actor_options.num_gpus = 1: is for the replica"
    assert told in result.stderr


def test_a_picture_in_a_file(nodeinit: Nodeinit, here: Path) -> None:
    """The answer is said all the same, whether there is a file or not, and so is the exit code."""
    config = write_serve(here, *SERVE, model("huge", 8))
    arguments = ("plan", config, "--cluster", "cluster.json")
    said = nodeinit(*arguments)
    result = nodeinit(*arguments, "-o", "pictures/plan.SVG")
    assert result.exit_code == 3
    assert result.stdout == said.stdout
    assert result.stderr == "wrote pictures/plan.SVG\n"
    picture = (here / "pictures" / "plan.SVG").read_bytes()
    assert picture.startswith(b"<svg ")
    assert b"huge#1 does not fit" in picture
    assert nodeinit(*arguments, "-o", "again.svg", "--json").exit_code == 3
    assert (here / "again.svg").read_bytes() == picture


def test_json_in_a_file(nodeinit: Nodeinit, here: Path) -> None:
    arguments = ("plan", write_serve(here, *SERVE), "--cluster", "cluster.json")
    told = nodeinit(*arguments, "--json")
    assert told.exit_code == 0
    assert nodeinit(*arguments, "-o", "plan.json").stderr == "wrote plan.json\n"
    assert (here / "plan.json").read_text() == told.stdout


def test_a_picture_that_cannot_be_written(nodeinit: Nodeinit, here: Path) -> None:
    (here / "plain").write_text("kept")
    config = write_serve(here, model("m"))
    result = nodeinit("plan", config, "--cluster", "cluster.json", "-o", "plain/plan.svg")
    assert result.exit_code == 2
    assert "output file = 'plain/plan.svg': cannot be written" in result.stderr
    assert result.stdout == ""


def test_one_of_several_models(nodeinit: Nodeinit, here: Path) -> None:
    config = write_serve(here, model("fits", 2), model("big", 8))
    options = ("--cluster", "cluster.json", "--json")
    found = nodeinit("plan", config, "--model", "fits", *options)
    assert found.exit_code == 0
    assert [m["model_id"] for m in json.loads(found.stdout)["models"]] == ["fits"]
    missing = nodeinit("plan", config, "--model", "fit", *options)
    assert missing.exit_code == 2
    assert "did you mean 'fits'?" in missing.stderr


def test_nothing_to_place(nodeinit: Nodeinit, here: Path) -> None:
    config = write_serve(here, model("m", 99, replicas=0))
    result = nodeinit("plan", config, "--cluster", "cluster.json")
    assert result.exit_code == 0
    assert lines(result)[-1].startswith("There is nothing to place")


def test_a_cluster_without_hosts(nodeinit: Nodeinit, here: Path) -> None:
    (here / "cluster.json").write_text('{"nodes": []}')
    result = nodeinit("plan", write_config(here / "c.yaml"), "--cluster", "cluster.json")
    assert result.exit_code == 3
    assert "the cluster has no living host" in result.stdout


def test_many_hosts_are_not_all_drawn(nodeinit: Nodeinit, here: Path) -> None:
    """Those with something planned are."""
    hosts = [host(f"{i:03}", 2) for i in range(100)] + [host("z", 8)]
    (here / "cluster.json").write_text(snapshot_text(ClusterSnapshot(tuple(hosts))))
    result = nodeinit("plan", write_serve(here, model("m", 8)), "--cluster", "cluster.json")
    rows = [line for line in lines(result) if line.startswith("host-")]
    assert len(rows) == 64
    assert rows[-1].startswith("host-z     A0 A1")
    assert "  and 37 more hosts, with nothing planned on them" in lines(result)


def test_a_live_cluster(nodeinit: Nodeinit, world: World, home: Path) -> None:
    config = write_serve(home.parent, model("m", 8, replicas=2))
    result = nodeinit("plan", config, "--hosts", 2, "--gpus-per-host", 8, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["feasible"] is True
    assert "starting a Ray of 2 simulated hosts with 8 GPUs each" in result.stderr
    assert len(world.connected) == 1
    assert world.nothing_left()


def test_a_model_that_is_bad_stops_before_any_cluster(
    nodeinit: Nodeinit, world: World, home: Path
) -> None:
    one = {"bundles": [{"GPU": 1}]}
    config = write_serve(
        home.parent,
        model("m", 2, placement_group_config=one),
        model("n", 4, placement_group_config=one),
    )
    result = nodeinit("plan", config, "--hosts", 2)
    assert result.exit_code == 2
    assert result.stdout == ""
    for told in ("serve.yaml: 2 faults", "m: placement_group_config.bundles", "n: placement"):
        assert told in result.stderr
    assert not world.connected


REFUSED: dict[str, tuple[list[str], str]] = {
    "no config": ([], "CONFIG"),
    "a missing config": (["nope.yaml", "--cluster", "cluster.json"], "nope.yaml"),
    "a missing cluster": (["c.yaml", "--cluster", "nope.json"], "nope.json: file: does not exist"),
    "a cluster that is none": (["c.yaml", "--cluster", "c.yaml"], "c.yaml: nodes: is missing"),
    "a file and an address": (
        ["c.yaml", "--cluster", "cluster.json", "--address", "auto"],
        "--cluster is a saved cluster",
    ),
    "a file and simulated hosts": (
        ["c.yaml", "--cluster", "cluster.json", "--hosts", "2"],
        "--cluster is a saved cluster",
    ),
    "two clusters": (["c.yaml", "--hosts", "2", "--address", "auto"], "--hosts simulates"),
    "GPUs of no hosts": (["c.yaml", "--gpus-per-host", "2"], "--gpus-per-host needs --hosts"),
    "no hosts": (["c.yaml", "--hosts", "0"], "1 or more"),
    "a picture of another kind": (
        ["c.yaml", "--hosts", "2", "-o", "plan.png"],
        "'plan.png' has the suffix '.png'; write .svg for a picture, or .json.",
    ),
    "a picture of no kind": (["c.yaml", "-o", "plan"], "'plan' has no suffix; write .svg"),
}


@pytest.mark.parametrize(("arguments", "told"), REFUSED.values(), ids=REFUSED)
def test_bad_input(
    nodeinit: Nodeinit, world: World, here: Path, arguments: list[str], told: str
) -> None:
    write_config(here / "c.yaml")
    result = nodeinit("plan", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert told in result.stderr
    assert not world.connected


def test_a_terminal_gets_colours(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    config = str(write_serve(here, model("m", 2)))
    result = CliRunner().invoke(cli, ["plan", config, "--cluster", "cluster.json"], color=True)
    assert "\x1b[1;36mA0" in result.stdout


def test_a_saved_cluster_needs_no_ray(here: Path) -> None:
    """A fresh interpreter: in this one everything has been imported."""
    config = write_serve(here, model("m", 8, 2))
    script = (
        "import sys\nfrom nodeinit.cli.main import cli\n"
        f"try:\n    cli(['plan', {str(config)!r}, '--cluster', 'cluster.json'])\n"
        "finally:\n    print('ray' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=here)
    assert done.returncode == 3
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_whole_gpus_are_drawn_before_slices_and_slices_share_them(
    nodeinit: Nodeinit, here: Path
) -> None:
    """Groups a and c have slices, b a whole one: no order in which groups come hides that."""
    shares = {"half": [0.5], "whole": [1.0], "many": [0.3, 0.6]}
    groups = tuple(group(name, "a", taken) for name, taken in shares.items())
    (here / "cluster.json").write_text(snapshot_text(ClusterSnapshot((host("a", 3, 0.6),), groups)))
    result = nodeinit("plan", write_serve(here, model("m")), "--cluster", "cluster.json")
    assert lines(result)[2] == "host-a   b c/c a   0.6 of 3"


def test_the_chips_of_a_tpu_slice_have_a_worker_each(nodeinit: Nodeinit, here: Path) -> None:
    """One bundle for each host, as many workers in it as it has chips, hosts in their own order."""
    slice_ = {"ray.io/tpu-slice-name": "s"}
    hosts = [
        attrs.evolve(
            host(name, 0, TPU=4, kind="TPU-V4"),
            labels={**slice_, "ray.io/tpu-worker-id": str(worker)},
        )
        for name, worker in (("a", 1), ("b", 0))
    ]
    (here / "tpu.json").write_text(snapshot_text(ClusterSnapshot(tuple(hosts))))
    asked = model(
        "m", 8, accelerator_type="TPU-V4", accelerator_config={"kind": "tpu", "topology": "2x2x2"}
    )
    path = write_serve(here, {key: v for key, v in asked.items() if key != "deployment_config"})
    result = nodeinit("plan", path, "--cluster", "tpu.json")
    assert result.exit_code == 0
    assert lines(result)[2:4] == [
        "host-a   A4 A5 A6 A7   0 of 4",
        "host-b   A0 A1 A2 A3   0 of 4",
    ]
