"""Whether a model has all the weight files that its own index names.

A directory that somebody else's interrupted download left is served as faithfully as any other; an
engine would notice the missing shard only after it has taken its GPUs.
"""

from __future__ import annotations

import json

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.digests import Digester
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.oserrors import explaining
from nodeinit.download.sources import Source, shown
from nodeinit.download.streams import changed
from nodeinit.errors import PermanentError, TemporaryError

_SUFFIX = ".safetensors.index.json"


def check_shards(manifest: Manifest, mode: NodeModelDownloadable, source: Source) -> None:
    """Raise `PermanentError` if a `*.safetensors.index.json` names a file that the model has not.

    Only for a mode that brings the weights.
    """
    if mode is not NodeModelDownloadable.MODEL_AND_TOKENIZER:
        return
    present = {file.path for file in manifest.files}
    for file in manifest.files:
        if not file.path.endswith(_SUFFIX):
            continue
        folder = file.path.rpartition("/")[0]
        named = {f"{folder}/{name}" if folder else name for name in _shards(manifest, file, source)}
        absent = sorted(named - present)
        if absent:
            raise PermanentError(
                f"the model in {shown(manifest.source)} is not whole: {file.path} names "
                f"{absent[0]}, which is not there ({len(absent)} of {len(named)} weight files are "
                "missing); "
                "complete the model at its source"
            )


def _shards(manifest: Manifest, index: ManifestFile, source: Source) -> set[str]:
    where = f"{index.path} from {shown(manifest.source)}"
    data = _read(manifest, index, source, where)
    try:
        return {str(name) for name in json.loads(data)["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PermanentError(
            f"{where} is not the index of a model in safetensors format; repair it at its source"
        ) from None


def _read(manifest: Manifest, index: ManifestFile, source: Source, where: str) -> bytes:
    """The bytes of an index, verified as far as they can be; wrong ones are asked for once more."""
    before = None
    while True:
        with explaining("read", where), source.open(manifest.source, index) as reader:
            data = b""
            while len(data) <= index.size and (chunk := reader.read(index.size + 1 - len(data))):
                data += chunk
        digester = Digester(index)
        digester.update(data)
        problem = digester.problem()
        if problem is None:
            return data
        if data == before:
            raise changed(where, problem)
        if before is not None:
            raise TemporaryError(f"corrupted: {where} arrived damaged, twice: it {problem}")
        before = data
