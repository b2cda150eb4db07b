"""A process that brings models and dies at a chosen moment: `python -m tests.download.victim`.

Reads one job per line as JSON, forks, and lets the child bring. The child counts everything that it
asks the system for (files opened, renamed, removed, …) and each chunk that it copies; at the moment
`die_at` it sends itself a SIGKILL. With `served` it appends the size of whatever the source gives
to that file, and with `die_after` dies when it gave so many bytes. With `hold` it prints
`{"held": true}` when it first reads the source and waits for another line, `"die"` or anything
else. The parent answers each job with how the child ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from nodeinit.config.parts import DownloadSettings
from nodeinit.context import NodeModelDownloadable
from nodeinit.download import parts, work
from nodeinit.download.fetch import bring
from nodeinit.download.manifest import Manifest, ManifestFile
from tests.download.trees import Faulty

COUNTED = ("open", "os.", "shutil.", "victim.")


def say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)


def served(job: dict[str, Any]) -> Callable[[int], None]:
    if "served" not in job:
        return lambda count: None
    log = os.open(job["served"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    passed = 0

    def note(count: int) -> None:
        nonlocal passed
        os.write(log, f"{count}\n".encode())
        passed += count
        if passed >= job.get("die_after", passed + 1):
            os.kill(os.getpid(), signal.SIGKILL)

    return note


def bring_it(job: dict[str, Any]) -> None:
    files = [ManifestFile(*entry) for entry in job["files"]]
    manifest = Manifest("org/model", job["source"], files)
    moments = 0

    def count(event: str, _: object) -> None:
        nonlocal moments
        if event.startswith(COUNTED):
            moments += 1
            if moments == job.get("die_at"):
                os.kill(os.getpid(), signal.SIGKILL)

    held = not job.get("hold")

    def hold() -> None:
        nonlocal held
        if not held:
            held = True
            say(held=True)
            if json.loads(sys.stdin.readline()) == "die":
                os.kill(os.getpid(), signal.SIGKILL)

    def heard(done: int, total: int, file: str, stage: str) -> None:
        if job.get("tell") == stage:
            say(done=done, total=total, stage=stage)

    def chunk() -> bool:
        sys.audit("victim.chunk")
        return False

    sys.addaudithook(count)
    result = bring(
        manifest,
        NodeModelDownloadable(job["mode"]),
        job["path"],
        name=job.get("name", "victim"),
        source=Faulty(on_open=hold, served=served(job)),
        settings=DownloadSettings(concurrency=job.get("concurrency", 8)),
        on_progress=heard,
        should_stop=chunk,
        rehash=job.get("rehash", False),
    )
    say(fetched=result.fetched)


def main() -> None:
    work.CHUNK = 4096
    parts.RANGE = 8192
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            try:
                bring_it(json.loads(line))
            finally:
                sys.stdout.flush()
                os._exit(0)
        _, status = os.waitpid(child, 0)
        say(killed=os.WIFSIGNALED(status), status=status)


if __name__ == "__main__":
    main()
