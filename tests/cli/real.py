"""The installed program in processes of its own, with a real Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MARK = "NODEINIT_TEST_MARK"
SECONDS = 100
# What the terminal or other tests of this session set is not what a user's shell would have.
NOT_THE_USERS = ("RAY_ADDRESS", "COLUMNS", "NODEINIT_STORE")


class Program:
    """Runs `nodeinit`, each time with a mark that all processes it starts inherit."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The program from its start to its end; nothing of it runs on."""
        with self.started(*arguments) as process:
            out, err = process.communicate(timeout=SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """The program under way, in a process group of its own, as a shell starts it."""
        mark = uuid.uuid4().hex
        environment = {k: v for k, v in os.environ.items() if k not in NOT_THE_USERS}
        environment |= {"NODEINIT_HOME": str(self.home), MARK: mark, "RAY_AUTH_MODE": "token"}
        with subprocess.Popen(
            [sys.executable, "-c", "from nodeinit.cli.main import main; main()", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env=environment,
            start_new_session=True,
        ) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise
        assert wait_until(lambda: not marked(mark)), f"still running: {marked(mark)}"

    @staticmethod
    def interrupt(process: subprocess.Popen[str]) -> None:
        """Ctrl-C: the terminal signals the whole foreground process group, Ray's included."""
        os.killpg(process.pid, signal.SIGINT)


def marked(mark: str) -> list[str]:
    """The command lines of all processes that were started with a mark."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " ")[:80])
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def wait_until(holds: Any, seconds: float = 15) -> bool:
    """Whether something comes to hold within some time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class Elsewhere:
    """A Ray of two hosts with two GPUs each, in another process, to connect to by address."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.elsewhere"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self.address = self._answer()["address"]

    def groups(self) -> list[str]:
        """The placement groups that there are."""
        return self.does("groups")

    def does(self, what: str) -> list[str]:
        """Have it do something (see `tests.cli.elsewhere`); answers the groups that there are."""
        assert self._process.stdin is not None
        print(what, file=self._process.stdin, flush=True)
        found: list[str] = self._answer()["groups"]
        return found

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=SECONDS)

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())
