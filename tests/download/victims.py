"""Starting `victim` processes and talking to them."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from nodeinit.context import NodeModelDownloadable
from nodeinit.download.manifest import Manifest

TOP = Path(__file__).parents[2]


def job(manifest: Manifest, mode: NodeModelDownloadable, path: Path, **more: Any) -> dict[str, Any]:
    files = [[file.path, file.size, file.sha256] for file in manifest.files]
    return {"files": files, "source": manifest.source, "mode": mode, "path": str(path), **more}


class Victim:
    """One process; each `send` is a job, each `hear` one line of its answers."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.download.victim"],
            cwd=TOP,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The same code as here, wherever this process found it.
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TOP), *sys.path])},
        )

    def __enter__(self) -> Victim:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def send(self, value: object) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(value).encode() + b"\n")
        self.process.stdin.flush()

    def has_answered(self) -> bool:
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the victim died of itself"
        answer: dict[str, Any] = json.loads(line)
        return answer
