"""Rows of the table in tests/README that one replica can show one after the other.

What Ray Serve LLM does to its users in each of them stands there; C, P and D are its sections.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from nodeinit.errors import ConfigError, InitializationFailed
from tests.download.servers.hub import HubServer
from tests.ray_llm import sources
from tests.ray_llm.conftest import TOKEN
from tests.ray_llm.trying import HOOKS, fails, for_gpus, running, served, start, tp

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def actor(hosts: list[str]) -> Iterator[Any]:
    """A replica in a group with one GPU, on the first host."""
    with (
        served([{"GPU": 1, "CPU": 1}], hosts[:1]) as group,
        running(group, HF_HUB_OFFLINE="0") as replica,  # it asks a hub of ours
    ):
        yield replica


Given = Callable[[Path, Path, list[str]], Any]

REFUSED: dict[str, tuple[Given, str]] = {
    "c6_a_misspelt_hook": (
        lambda tiny, store, _: for_gpus(tiny, store, callback=f"{HOOKS}:Misspelt"),
        "unknown hook 'on_before_dowload'; did you mean 'on_before_download'",
    ),
    "c8_a_write_to_the_context": (
        lambda tiny, store, _: for_gpus(tiny, store, callback=f"{HOOKS}:Writes"),
        r"the context is frozen: instead of `ctx.placement_group = …`",
    ),
    "p4_no_group_at_all": (
        lambda tiny, store, _: for_gpus(tiny, store, callback=f"{HOOKS}:TakesGroupAway"),
        "asks for no placement group, but Serve has reserved",
    ),
    "p6_fewer_bundles_than_workers": (
        lambda tiny, store, _: for_gpus(tiny, store, **tp(2)),
        "bundle_count",
    ),
    "p6_no_workers": (
        lambda tiny, store, _: for_gpus(tiny, store, **tp(0)),
        "engine_kwargs.tensor_parallel_size = 0",
    ),
    "p11_a_host_without_the_labels": (
        lambda tiny, store, hosts: for_gpus(
            tiny, store, nodeinit={"labels": {"ray.io/node-id": hosts[1]}}
        ),
        "labels_match",
    ),
    "p12_data_parallel": (
        lambda tiny, store, _: for_gpus(tiny, store, engine_kwargs={"data_parallel_size": 2}),
        "data_parallel_size = 2: every rank of a data-parallel group sees the group of all",
    ),
    "d4_a_source_without_a_model": (
        lambda tiny, store, _: for_gpus(_made(store.with_name("empty")), store),
        "there is nothing to serve in",
    ),
}


def _made(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    return directory


@pytest.mark.parametrize("row", REFUSED)
def test_refused(actor: Any, hosts: list[str], tiny: Path, store: Path, row: str) -> None:
    given, why = REFUSED[row]
    fails(actor, given(tiny, store, hosts), why)


def test_c3_c9_c10_an_error_keeps_its_type_and_the_others_hear_of_it(
    actor: Any, tiny: Path, store: Path, tmp_path: Path
) -> None:
    records = {
        "callback_class": f"{HOOKS}:Records",
        "callback_kwargs": {"path": str(tmp_path / "s")},
    }
    given = for_gpus(tiny, store, kwargs={"callback": [records, f"{HOOKS}:Refuses"]})
    with pytest.raises(InitializationFailed, match="not on a Friday") as failure:
        start(actor, given)
    assert failure.value.cause.reason.code == "hook"  # type: ignore[attr-defined]
    seen = [json.loads(line)["hook"] for line in (tmp_path / "s").read_text().splitlines()]
    assert seen == ["on_before_init", "on_init_failed"]


def test_c4_a_hook_that_may_fail_is_logged_and_no_more(actor: Any, tiny: Path, store: Path) -> None:
    given = for_gpus(
        tiny,
        store,
        callback=f"{HOOKS}:Refuses",
        callback_config={"raise_error_on_callback": False},
    )
    assert Path(start(actor, given)["path"]).is_relative_to(store)


def test_c1_c2_c7_c12_c13_hooks_of_every_kind_on_every_host(
    actor: Any, hosts: list[str], tiny: Path, store: Path
) -> None:
    names = {"llm_config": "its ", "ctx_kwargs": "own"}
    given = for_gpus(tiny, store, callback=f"{HOOKS}:Everything", kwargs={"callback_kwargs": names})
    got = start(actor, given)
    assert got["custom_data"] == {
        "async": True,
        "partial": True,
        "lambda": True,
        hosts[0]: "its own",
    }
    assert ray.get(actor.pickled.remote()) == "None"


def test_c7_an_argument_of_ours_that_is_none_is_refused(
    actor: Any, tiny: Path, store: Path
) -> None:
    with pytest.raises(ConfigError, match=r"callback_kwargs\.jornal.*did you mean 'journal'"):
        start(actor, for_gpus(tiny, store, kwargs={"jornal": "x"}))


def test_d2_a_shard_that_does_not_come_is_no_success(
    actor: Any, tiny: Path, store: Path, tmp_path: Path
) -> None:
    holed = tmp_path / "holed"
    shutil.copytree(tiny, holed)
    (holed / "model-00002-of-00002.safetensors").unlink()
    with sources.serving(holed) as web:
        fails(actor, for_gpus(web.url, store), "model-00002-of-00002.safetensors")


def test_d8_a_second_start_moves_no_byte(actor: Any, tiny: Path, store: Path) -> None:
    with sources.serving(tiny) as web:
        paths = {start(actor, for_gpus(web.url, store))["path"] for _ in range(2)}
        weights = [asked for asked in web.asked if asked.endswith(".safetensors")]
    assert len(paths) == 1 and len(weights) == 2


def test_d1_d20_a_plain_id_is_brought_with_a_token_that_nobody_reads(
    actor: Any, tiny: Path, store: Path, tmp_path: Path
) -> None:
    files = {str(f.relative_to(tiny)): f.read_bytes() for f in tiny.rglob("*") if f.is_file()}
    with HubServer(tmp_path / "hub") as hub:
        hub.tokens.add(TOKEN)
        hub.add("org/tiny", files, private=True)
        environment = {"env_vars": {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}}
        given = for_gpus("org/tiny", store, runtime_env=environment)
        got = start(actor, given)
        assert hub.count("/resolve/") > 0
    path = Path(got["path"])
    assert path.is_relative_to(store)
    assert {name: (path / name).read_bytes() for name in files} == files
    assert TOKEN not in got["config"] and TOKEN not in os.fspath(path)
