"""Marks say who uses a model: they end with their owner, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeinit.download import marks
from nodeinit.download.store import Shelf
from tests.download.victims import TOP


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "store", "org--model", "0123456789abcdef")


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another process, which has taken nothing yet."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.download.user"],
        cwd=TOP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TOP), *sys.path])},
    ) as process:
        yield process
        process.kill()


def uses(process: subprocess.Popen[bytes], shelf: Shelf, who: str = "llm-1") -> None:
    assert process.stdin
    asked = {"root": str(shelf.root), "model": shelf.model, "revision": shelf.revision, "who": who}
    process.stdin.write(json.dumps(asked).encode() + b"\n")
    process.stdin.flush()
    assert hear(process) == "held"


def hear(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout
    return json.loads(process.stdout.readline())


def files(shelf: Shelf) -> list[Path]:
    return [path for path in shelf.root.rglob("*") if path.is_file()]


def test_a_mark_lasts_for_its_block(shelf: Shelf) -> None:
    assert marks.users(shelf) == ()
    assert marks.last_used(shelf) is None
    with marks.using(shelf, "org/model of me"):
        (mark,) = marks.users(shelf)
        assert (mark.who, mark.pid) == ("org/model of me", os.getpid())
        assert str(os.getpid()) in str(mark)
    assert marks.users(shelf) == ()
    assert files(shelf) == []
    assert time.time() - (marks.last_used(shelf) or 0) < 60


def test_users_are_counted_one_by_one(shelf: Shelf) -> None:
    first, second = marks.take(shelf, "same name"), marks.take(shelf, "same name")
    assert len(marks.users(shelf)) == 2
    first.release()
    first.release()
    assert len(marks.users(shelf)) == 1
    second.release()
    assert marks.users(shelf) == ()


def test_a_mark_is_of_one_revision(shelf: Shelf) -> None:
    with marks.using(shelf, "me"):
        assert marks.users(Shelf(shelf.root, shelf.model, "f" * 16)) == ()


def test_the_mark_of_another_process_is_seen_until_it_gives_it_back(
    shelf: Shelf, other: subprocess.Popen[bytes]
) -> None:
    uses(other, shelf)
    (mark,) = marks.users(shelf)
    assert (mark.who, mark.pid) == ("llm-1", other.pid)
    assert other.stdin
    other.stdin.write(b"\n")
    other.stdin.flush()
    assert hear(other) == "given back"
    assert marks.users(shelf) == ()


def test_a_killed_owner_uses_nothing(shelf: Shelf, other: subprocess.Popen[bytes]) -> None:
    uses(other, shelf)
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert len(files(shelf)) == 1, "its mark is left behind"
    assert marks.users(shelf) == ()
    used = time.time() + 100  # it was renewed after it was taken
    os.utime(files(shelf)[0], (used, used))
    assert marks.last_used(shelf) == pytest.approx(used)
    marks.forget_dead(shelf)
    assert files(shelf) == []
    assert marks.last_used(shelf) == pytest.approx(used), "it is not forgotten with the mark"


def test_the_dead_are_forgotten_and_the_living_are_not(
    shelf: Shelf, other: subprocess.Popen[bytes]
) -> None:
    uses(other, shelf, "dies")
    other.send_signal(signal.SIGKILL)
    other.wait()
    with marks.using(shelf, "lives"):
        marks.forget_dead(shelf)
        assert [mark.who for mark in marks.users(shelf)] == ["lives"]
        assert len(files(shelf)) == 1


def test_who_comes_tidies_up_after_the_dead(shelf: Shelf, other: subprocess.Popen[bytes]) -> None:
    uses(other, shelf, "dies")
    other.send_signal(signal.SIGKILL)
    other.wait()
    with marks.using(shelf, "lives"):
        assert [mark.who for mark in marks.users(shelf)] == ["lives"]
        assert len(files(shelf)) == 1


def written(shelf: Shelf, *, age: float, **more: Any) -> Path:
    """A mark that somebody else wrote, and renewed `age` seconds ago; its file is not locked."""
    known = {"who": "far", "host": "gpu-7", "pid": 4711, "since": 1.0, "boot": "x", "locked": True}
    folder = shelf.root / ".nodeinit" / "marks" / f"{shelf.model}@{shelf.revision}"
    folder.mkdir(parents=True)
    path = folder / "far-0.json"
    path.write_text(json.dumps(known | more))
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_mark_of_another_host_counts_while_it_is_renewed(shelf: Shelf) -> None:
    path = written(shelf, age=marks.LEASE - 60)
    assert [str(mark) for mark in marks.users(shelf)] == ["far (process 4711 on gpu-7)"]
    os.utime(path, (time.time() - marks.LEASE - 1,) * 2)
    assert marks.users(shelf) == ()


def test_where_there_are_no_locks_a_mark_counts_while_it_is_renewed(shelf: Shelf) -> None:
    here = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    path = written(shelf, age=0, boot=here, locked=False)
    assert len(marks.users(shelf)) == 1
    os.utime(path, (time.time() - marks.LEASE - 1,) * 2)
    assert marks.users(shelf) == ()


def test_a_mark_of_this_host_whose_lock_is_free_does_not_count(shelf: Shelf) -> None:
    here = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    written(shelf, age=0, boot=here)
    assert marks.users(shelf) == ()


def test_a_mark_that_cannot_be_read_is_somebodys(shelf: Shelf) -> None:
    path = written(shelf, age=0)
    path.write_text("{")
    assert "cannot be read" in marks.users(shelf)[0].who


def test_a_mark_is_renewed(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "RENEW", 0.01)
    with marks.using(shelf, "me"):
        (path,) = files(shelf)
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime < 2:
            assert time.monotonic() < deadline, "nobody renews the mark"
            time.sleep(0.01)


def test_a_store_that_cannot_be_written_is_used_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the store should be")
    shelf = Shelf(tmp_path / "store", "m", "0" * 16)
    with marks.using(shelf, "me"):
        pass
