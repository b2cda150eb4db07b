"""Bring to each host only what it needs, and hear from every host what became of it.

The host of the engine gets the whole model, the hosts of the other workers get its tokenizer. Then
every host tries the tokenizer out, where it lies, and reports; a host that cannot read it, or has
too little room left for what the engine will write, ends the initialization with a clear reason.

Run it:         nodeinit run --example custom_download
Make it yours:  nodeinit examples custom_download > my_download.py
and in the config:

    callback_config:
      callback_class: my_download:CustomDownload
      callback_kwargs: {min_free_gb: 20}
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import attrs

from nodeinit import CallbackCtx, LLMConfig, NodeModelDownloadable, PermanentError

HOSTS = 2
GPUS_PER_HOST = 2


class CustomDownload:
    """Tokenizer only for workers; each host reports its vocabulary and its free disk space."""

    def __init__(self, min_free_gb: float = 0.5) -> None:
        self.min_free_gb = min_free_gb

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        """In the driver, before a byte moves: say what the hosts need."""
        return attrs.evolve(ctx, worker_node_download_model=NodeModelDownloadable.TOKENIZER_ONLY)

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> CallbackCtx:
        """On every host, when its files are there. Only `custom_data` comes back from here.

        What hosts set is merged in the order of their ids, so each uses a key of its own.
        """
        assert ctx.model is not None
        path = Path(ctx.model.path)
        free_gb = round(shutil.disk_usage(path).free / 1e9, 1)
        if free_gb < self.min_free_gb:
            raise PermanentError(f"{free_gb} GB are free, but {self.min_free_gb} GB are needed")
        tokenizer = json.loads((path / "tokenizer.json").read_text("utf-8"))
        report = {"vocabulary": len(tokenizer["model"]["vocab"]), "free_gb": free_gb}
        return attrs.evolve(ctx, custom_data=ctx.custom_data.set(f"host-{node_id[:8]}", report))

    def on_after_init(self, ctx: CallbackCtx) -> CallbackCtx:
        """In the driver again, with the reports of all hosts: hand the engine what they found."""
        sizes = {ctx.custom_data[f"host-{node_id[:8]}"]["vocabulary"] for node_id in ctx.nodes}
        if len(sizes) != 1:
            raise PermanentError(f"the hosts disagree on the size of the vocabulary: {sizes}")
        kwargs = ctx.extra_init_kwargs.set("vocab_size", sizes.pop())
        return attrs.evolve(ctx, extra_init_kwargs=kwargs)


def config(source: str) -> LLMConfig:
    """Two stages of two workers, which do not fit on one of the two hosts."""
    return LLMConfig(
        model_id="custom-download",
        model_source=source,
        engine_kwargs={"tensor_parallel_size": 2, "pipeline_parallel_size": 2},
        callback=CustomDownload,
    )
