"""Measure an initialization: how long each phase took, how many plans it needed, what moved.

State is kept on `self`: one instance lives through all hooks of a node. With `path` the numbers are
also written as a file for the textfile collector of Prometheus, when the node is ready and when it
failed.

Run it:         nodeinit run --example metrics
Make it yours:  nodeinit examples metrics > my_metrics.py
and in the config:

    callback_config:
      callback_class: my_metrics:Metrics
      callback_kwargs: {path: /var/lib/node_exporter/llm.prom}
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import attrs

from nodeinit import CallbackCtx, LLMConfig

HOSTS = None
GPUS_PER_HOST = None


class Metrics:
    """Seconds by phase, attempts, and bytes that were fetched."""

    def __init__(self, path: str | None = None) -> None:
        self.path = path
        self.seconds: dict[str, float] = {}
        self._phase: str | None = None
        self._since = 0.0

    def on_before_init(self, ctx: CallbackCtx) -> None:
        """The first hook of a run. The instance may have seen another run before this one."""
        self.seconds.clear()
        self._enter("config")

    def on_before_download(self, ctx: CallbackCtx) -> None:
        """Fires again with every new plan, so times of a phase are added up."""
        self._enter("download")

    def on_before_placement(self, ctx: CallbackCtx) -> None:
        """Every host has its files now."""
        self._enter("placement")

    def on_after_init(self, ctx: CallbackCtx) -> CallbackCtx:
        """Ready: hand the numbers on with the context."""
        self._enter(None)
        self._write(ctx, ready=True)
        numbers = {
            "seconds": {phase: round(spent, 3) for phase, spent in self.seconds.items()},
            "attempts": ctx.attempt,
            "bytes_fetched": _fetched(ctx),
        }
        return attrs.evolve(ctx, custom_data=ctx.custom_data.set("metrics", numbers))

    def on_init_failed(self, ctx: CallbackCtx) -> None:
        """Failed or cancelled: a run that did not make it is measured too."""
        self._enter(None)
        self._write(ctx, ready=False)

    def _enter(self, phase: str | None) -> None:
        now = time.monotonic()
        if self._phase is not None:
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = phase, now

    def _write(self, ctx: CallbackCtx, *, ready: bool) -> None:
        if self.path is None:
            return
        model = ctx.llm_config.model_id
        lines = [
            f'nodeinit_ready{{model="{model}"}} {int(ready)}',
            f'nodeinit_attempts{{model="{model}"}} {ctx.attempt}',
            f'nodeinit_fetched_bytes{{model="{model}"}} {_fetched(ctx)}',
        ]
        for phase, spent in self.seconds.items():
            lines.append(f'nodeinit_phase_seconds{{model="{model}",phase="{phase}"}} {spent:.3f}')
        # The collector may read at any moment: it must never see half a file.
        scratch = Path(f"{self.path}.{os.getpid()}")
        scratch.write_text("\n".join(lines) + "\n", "utf-8")
        scratch.replace(self.path)


def _fetched(ctx: CallbackCtx) -> int:
    return sum(report.fetched for report in ctx.nodes.values())


def config(source: str) -> LLMConfig:
    """Two workers on CPUs."""
    return LLMConfig(
        model_id="metrics",
        model_source=source,
        engine_kwargs={"tensor_parallel_size": 2},
        placement_group_config={"bundle_per_worker": {"CPU": 0.5}},
        callback=Metrics,
    )
