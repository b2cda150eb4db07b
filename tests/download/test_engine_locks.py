"""Where a file system has no `flock`, the revision has a lock all the same."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nodeinit.download.locks import Lock, Timeout
from tests.download.engines import FILES, Engine

SIZE = sum(map(len, FILES.values()))


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def no_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(_descriptor: int, _operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.usefixtures("no_flock")
def test_one_holds_it_at_a_time(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    first.acquire(0)
    with pytest.raises(Timeout):
        second.acquire(0.1)
    first.release()
    second.acquire(1)
    second.release()


@pytest.mark.usefixtures("no_flock")
def test_of_several_one_fetches(tmp_path: Path) -> None:
    together = threading.Barrier(3)
    engine = Engine.of(tmp_path)

    def fetch(_: int) -> int:
        together.wait(30)
        return engine.bring().fetched

    with ThreadPoolExecutor(3) as pool:
        fetched = list(pool.map(fetch, range(3)))
    assert sorted(fetched) == [0, 0, SIZE]
    assert engine.source.sent == SIZE
    assert engine.holds()


def test_d14_lock_and_data_are_below_one_root(tmp_path: Path) -> None:
    engine = Engine.of(tmp_path / "store")
    engine.bring()
    below = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(tmp_path / "store") for path in below)


def test_d12_the_cache_of_a_hub_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    main = cache / "models--org--model" / "refs" / "main"
    main.parent.mkdir(parents=True)
    main.write_text("genuine")
    engine = Engine.of(tmp_path / "store")
    engine.bring()
    assert engine.holds()
    assert main.read_text() == "genuine"
    assert [path for path in cache.rglob("*") if path.is_file()] == [main]
    assert not (tmp_path / "home").exists()
