"""The examples that need no Ray, on a cluster in memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from nodeinit import (
    CallbackCtx,
    CallbackSpec,
    InitializationFailed,
    LLMConfig,
    NodeInitializer,
    NodeModelDownloadable,
    PermanentError,
    SimCluster,
)
from nodeinit.clusters.simulated import SIM_MANIFEST, SimFault, sim_host
from nodeinit.download.store import published_path
from nodeinit.download.tiny_model import make_tiny_model
from nodeinit.examples import custom_download, custom_placement, metrics
from nodeinit.fsm.executor import InlineExecutor
from nodeinit.testing.virtual_time import run_virtual


def brought_up(config: LLMConfig, *faults: SimFault, hosts: int = 2) -> CallbackCtx:
    """The context of a node of this config when it is ready, on hosts of two GPUs."""

    async def go() -> CallbackCtx:
        made = [sim_host(f"h{i}", GPU=2, CPU=4) for i in range(hosts)]
        cluster = SimCluster(made, faults=faults)
        async with NodeInitializer(config, cluster=cluster, executor=InlineExecutor()) as node:
            await node.wait_for("ready")
            ctx = node.ctx
        assert cluster.leftovers() == []
        return ctx

    found: CallbackCtx = run_virtual(go())
    return found


@pytest.fixture
def shelved(tmp_path: Path) -> dict[str, Any]:
    """Settings with a store that has the tiny model where a cluster in memory only says so."""
    manifest = SIM_MANIFEST.__class__("custom-download", "sim", SIM_MANIFEST.files)
    make_tiny_model(published_path(tmp_path, manifest))
    return {"store": str(tmp_path)}


def test_custom_download_brings_the_workers_a_tokenizer_and_hears_from_both(
    shelved: dict[str, Any],
) -> None:
    ctx = brought_up(custom_download.config("/m").evolve(nodeinit=shelved))
    modes = [ctx.nodes[node_id].mode for node_id in ("h0", "h1")]
    assert modes == [
        NodeModelDownloadable.MODEL_AND_TOKENIZER,
        NodeModelDownloadable.TOKENIZER_ONLY,
    ]
    assert set(ctx.custom_data) == {"host-h0", "host-h1"}
    sizes = {report["vocabulary"] for report in ctx.custom_data.values()}
    assert sizes == {ctx.extra_init_kwargs["vocab_size"]}
    assert sizes.pop() > 256  # a byte-level vocabulary and its special tokens


def test_custom_download_refuses_a_host_without_room(shelved: dict[str, Any]) -> None:
    config = custom_download.config("/m").evolve(
        nodeinit=shelved,
        callback_kwargs={"min_free_gb": 1e9},
        callback=custom_download.CustomDownload,
    )
    with pytest.raises(InitializationFailed, match=r"GB are free, but 1000000000\.0 GB are needed"):
        brought_up(config)


def test_custom_download_refuses_hosts_that_disagree() -> None:
    config = custom_download.config("/m")
    reports = {"host-a": {"vocabulary": 1}, "host-b": {"vocabulary": 2}}
    ctx = CallbackCtx(llm_config=config, custom_data=reports, nodes={"a": None, "b": None})
    with pytest.raises(PermanentError, match="disagree"):
        custom_download.CustomDownload().on_after_init(ctx)


def measured(tmp_path: Path, *faults: SimFault) -> tuple[CallbackCtx | None, str]:
    """The context of a run of `metrics`, if it succeeded, and the file that it wrote."""
    path = tmp_path / "llm.prom"
    spec = CallbackSpec(metrics.Metrics, {"path": str(path)})
    config = metrics.config("/m").evolve(callback=spec)
    try:
        ctx = brought_up(config, *faults)
    except InitializationFailed:
        ctx = None
    assert list(tmp_path.iterdir()) == [path]
    return ctx, path.read_text()


def test_metrics_of_a_run_that_succeeds(tmp_path: Path) -> None:
    ctx, text = measured(tmp_path)
    assert ctx is not None
    numbers = ctx.custom_data["metrics"]
    assert list(numbers["seconds"]) and set(numbers["seconds"]) == {
        "config",
        "download",
        "placement",
    }
    assert numbers["attempts"] == 1
    assert numbers["bytes_fetched"] == SIM_MANIFEST.size
    assert 'nodeinit_ready{model="metrics"} 1\n' in text
    assert f'nodeinit_fetched_bytes{{model="metrics"}} {SIM_MANIFEST.size}\n' in text
    # Every line is `name{labels} number`, which is what the collector reads.
    line = re.compile(r'nodeinit_\w+\{model="metrics"(,phase="\w+")?\} [\d.]+')
    assert all(line.fullmatch(written) for written in text.splitlines())


def test_metrics_count_the_plans(tmp_path: Path) -> None:
    ctx, text = measured(tmp_path, SimFault("reserve", "steal", node_id="h0"))
    assert ctx is not None
    assert ctx.custom_data["metrics"]["attempts"] == 2
    assert 'nodeinit_attempts{model="metrics"} 2\n' in text


def test_metrics_of_a_run_that_fails(tmp_path: Path) -> None:
    ctx, text = measured(tmp_path, SimFault("reserve", "permanent"))
    assert ctx is None
    assert 'nodeinit_ready{model="metrics"} 0\n' in text
    assert 'phase="placement"' in text


def test_metrics_keep_runs_apart() -> None:
    """One instance lives as long as its process, and sees several runs."""
    instance = metrics.Metrics()
    config = metrics.config("/m").evolve(callback=instance)
    brought_up(config)
    instance.seconds["download"] += 1000  # the first run took long
    second = brought_up(config).custom_data["metrics"]
    assert second["seconds"]["download"] < 1000


def test_spread_asks_for_a_host_for_each_stage() -> None:
    config = custom_placement.config("/m").evolve(callback=custom_placement.Spread)
    ctx = brought_up(config)
    assert ctx.placement is not None
    assert ctx.placement.hosts == ("h0", "h1")
    assert ctx.placement.strategy == "SPREAD"
    packed = brought_up(custom_placement.config("/m").evolve(callback=None))
    assert packed.placement is not None
    assert len(packed.placement.hosts) == 1
