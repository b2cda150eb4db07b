"""What the doctor says of a host, without any cluster."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import Result

from nodeinit.cli.doctoring import software as versions
from nodeinit.cli.doctoring.access import access
from nodeinit.cli.doctoring.finding import Finding, Level, bad, ok, warn, worst
from nodeinit.cli.doctoring.software import software
from nodeinit.cli.doctoring.store import store
from nodeinit.cli.findings import Findings
from nodeinit.download.tiny_model import make_tiny_model

Doctor = Callable[..., Result]
SECRET = "hf_abcdefghijklmnopqrstuvwx"


def problems(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is not Level.OK]


@pytest.fixture
def fetched(nodeinit: Doctor, tmp_path: Path) -> Path:
    """A store with a model in it."""
    model = make_tiny_model(tmp_path / "tiny")
    result = nodeinit("fetch", model, "--store", tmp_path / "store")
    assert result.exit_code == 0, result.output
    return tmp_path / "store"


def test_a_healthy_store(fetched: Path) -> None:
    findings = [*store(fetched)]
    assert [] == problems(findings)
    assert f"the store {fetched} has 1 model (718 kB)" in [f.says for f in findings]


def test_a_store_that_is_not_there_yet_is_no_problem(tmp_path: Path) -> None:
    assert [] == problems(store(tmp_path / "a" / "b"))


def test_a_damaged_model_is_bad_and_says_what_helps(fetched: Path, nodeinit: Doctor) -> None:
    config = next(fetched.glob("*/*/config.json"))
    config.chmod(0o644)
    config.write_text("{}")
    (found,) = problems(store(fetched))
    assert Level.BAD is found.level and "config.json" in found.says
    assert found.remedy is not None and "nodeinit cache verify" in found.remedy
    assert nodeinit("cache", "verify", "--store", fetched).exit_code == 1  # the remedy works on it


def test_what_a_dead_job_staged_is_told_from_what_is_under_way(fetched: Path) -> None:
    revision = next(fetched.glob("*/*/config.json")).parent
    staged = fetched / ".nodeinit" / "staging" / f"tiny@{revision.name}@job@1"
    staged.mkdir(parents=True)
    (staged / "weights").write_bytes(b"x" * 1000)
    (found,) = problems(store(fetched))
    assert (Level.WARN, True) == (
        found.level,
        "1.0 kB staged by a job that is no more" in found.says,
    )
    lock = next((fetched / ".nodeinit" / "locks").glob("tiny@*.lock"))
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert [] == problems(store(fetched))
    assert 1 == len(problems(store(fetched)))


def test_a_lock_whose_holder_died_is_found(fetched: Path) -> None:
    marker = fetched / ".nodeinit" / "locks" / "m@r.lock.marker"
    marker.touch()
    assert [] == problems(store(fetched))
    long_ago = time.time() - 3600
    os.utime(marker, (long_ago, long_ago))
    (found,) = problems(store(fetched))
    assert str(marker) in found.says and Level.WARN is found.level


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_that_is_nearly_full(fetched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, level in ((40 * 10**9, Level.WARN), (60 * 10**9, Level.OK)):
        usage = Usage(10**12, 10**12 - free, free)
        monkeypatch.setattr(shutil, "disk_usage", lambda path, usage=usage: usage)
        assert level is worst(store(fetched))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cannot_be_written(fetched: Path) -> None:
    fetched.chmod(0o500)
    assert Level.BAD is worst(store(fetched))


def test_a_token_is_said_to_be_there_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    for environ, where in (
        ({"HF_TOKEN": SECRET, "HOME": "/nowhere"}, "(HF_TOKEN)"),
        ({"HF_HOME": str(tmp_path)}, f"({tmp_path / 'token'})"),
        ({"HOME": "/nowhere"}, "no token"),
    ):
        said = [finding.says for finding in access(environ)]
        assert any(where in line for line in said) and SECRET not in str(said)
    said = str([*access({"HF_ENDPOINT": f"https://me:{SECRET}@hub", "AWS_ACCESS_KEY_ID": "AKIA"})])
    assert SECRET not in said and "AKIA" not in said and "AWS_ACCESS_KEY_ID" in said
    assert Level.WARN is worst(access({"HF_HUB_OFFLINE": "1"}))


@pytest.mark.parametrize(
    ("ray", "level"),
    [("2.50.1", "bad"), ("2.51.0", "ok"), ("2.60.0", "ok"), ("2.61.0", "warn"), (None, "bad")],
)
def test_each_ray_is_told_what_works_with_it(
    monkeypatch: pytest.MonkeyPatch, ray: str | None, level: str
) -> None:
    monkeypatch.setattr(versions, "_version", lambda name: ray)
    findings = [*versions._ray(ray)]
    assert level == worst(findings)
    says = findings[0].says
    assert ("own_group" in says) == (ray not in ("2.50.1", "2.51.0", None))


def test_what_is_required_and_too_old_is_bad_with_a_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [] == problems(software())
    asked = ["attrs>=999", "not-there-at-all>=1", 'tomli>=999; python_version < "3.0"']
    monkeypatch.setattr(metadata, "requires", lambda name: asked)
    found = problems(software())
    assert ["pip install 'attrs>=999'", "pip install 'not-there-at-all>=1'"] == [
        finding.remedy for finding in found
    ]
    assert f"attrs {metadata.version('attrs')} is installed" in found[0].says


def test_what_is_not_well_has_a_remedy() -> None:
    assert [Level.OK, Level.BAD] == [worst([]), worst([ok("a"), bad("b", "c"), warn("d", "e")])]
    assert list(bad("b", "c").lines()) != list(warn("b", "c").lines())


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    from nodeinit.cli import observe
    from nodeinit.errors import ConfigError, Fault

    def nowhere(*_: Any) -> Findings:
        raise ConfigError(Fault("address", "Could not find any running Ray instance."))

    monkeypatch.setattr(observe, "asked", nowhere)


@pytest.mark.usefixtures("no_cluster")
def test_without_a_cluster_there_is_still_a_host(fetched: Path, nodeinit: Doctor) -> None:
    well = nodeinit("doctor", "--store", fetched)
    assert (0, True) == (well.exit_code, "no Ray runs here" in well.output)
    next(fetched.glob("*/*/config.json")).unlink()
    ill = nodeinit("doctor", "--store", fetched, "--json")
    assert 4 == ill.exit_code
    found = json.loads(ill.output)
    assert "bad" == found["level"]
    (check,) = [check for check in found["checks"] if check["level"] == "bad"]
    assert ("store", True) == (check["topic"], "config.json" in check["says"])
    asked = nodeinit("doctor", "--store", fetched, "--address", "10.0.0.9:6379")
    assert 2 == asked.exit_code  # whoever names a cluster wants that one
