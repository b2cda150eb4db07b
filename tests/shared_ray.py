"""The Ray that the tests of a process share (the fixture `shared`): a process has one at a time."""

import os
from pathlib import Path

import attrs

HOSTS = 3
GPUS = 8

_ROOT = Path(__file__).parents[1]


@attrs.frozen
class Layout:
    """How big it is, and whether its processes find this repository: the tests, and its code."""

    hosts: int = HOSTS
    gpus: int = GPUS
    finds_tests: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """What its processes need to be started with."""
        if not self.finds_tests:
            return {}
        paths = [str(_ROOT), *(str(_ROOT / name) for name in ("lib", "machines"))]
        return {"PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])}


STANDARD = Layout()
