"""Files that run code: which of a model's are taken, and which must be allowed first.

A pickle runs what it says when it is loaded, and a `.py` file is run by whoever trusts remote code.
Neither is asked for where it is not needed. This is about models: what goes beside one into a place
of its own (compile caches) is code by nature, and the config names it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import attrs

from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.sources import shown
from nodeinit.download.sources.hub_weights import redundant
from nodeinit.errors import PermanentError

logger = logging.getLogger(__name__)

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def fitting(manifest: Manifest, *, trust_remote_code: bool) -> Manifest:
    """The manifest without the files that nobody will load, which the log names.

    These are pickled weights that are there in safetensors, too, and `.py` files unless the engine
    was told to trust them.
    """
    double = redundant(file.path for file in manifest.files)

    def why_not(file: ManifestFile) -> str | None:
        if file.path in double and file.path.endswith(PICKLES):
            return "its weights are there in safetensors, too"
        if file.path.endswith(".py") and not trust_remote_code:
            return "trust_remote_code is not set"
        return None

    kept = []
    for file in manifest.files:
        if reason := why_not(file):
            logger.info("%s of %s is left out: %s", file.path, shown(manifest.source), reason)
        else:
            kept.append(file)
    return attrs.evolve(manifest, files=tuple(kept))


def check_formats(manifest: Manifest, files: Sequence[ManifestFile], *, allow_pickle: bool) -> None:
    """Raise `PermanentError` (`unsafe_format: …`) for pickled files that are not allowed."""
    pickled = [file.path for file in files if file.path.endswith(PICKLES)]
    if pickled and not allow_pickle:
        more = f" and {len(pickled) - 1} more" if len(pickled) > 1 else ""
        raise PermanentError(
            f"unsafe_format: {pickled[0]}{more} from {shown(manifest.source)} may run code when "
            "loaded (a pickle); convert the model to safetensors, or set "
            "experimental_configs.nodeinit.download.allow_pickle: true if you trust its author"
        )
