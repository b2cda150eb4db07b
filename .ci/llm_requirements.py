"""What a wheel of vLLM's CPU build needs, less what would bring CUDA and is not used here.

Usage: llm_requirements.py WHEEL; prints lines for `pip install -r`.
"""

from __future__ import annotations

import sys
import zipfile
from email.parser import Parser

from packaging.requirements import Requirement

LEFT_OUT = {"torchaudio", "torchvision", "torchcodec", "setuptools", "intel-openmp"}
"""Pictures and sound, a build tool, and a library that only LD_PRELOAD would load."""


def main(path: str) -> None:
    with zipfile.ZipFile(path) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(wheel.read(name).decode())
    for line in metadata.get_all("Requires-Dist", []):
        wanted = Requirement(line)
        if wanted.name.lower() in LEFT_OUT:
            continue
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            wanted.marker = None
            print(wanted)


if __name__ == "__main__":
    main(sys.argv[1])
