"""A machine of a user's own: another package, another phase, found and run in the same way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nodeinit import CallbackCtx, ConfigError, load_machine
from nodeinit.fsm.registry import machines
from nodeinit.testing.virtual_time import run_virtual
from tests.node.bring_up import cluster, initializer, llm_config, states

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "warm-machine"
version = "1.0"
[project.entry-points."nodeinit.machines"]
warm_node = "warm_machine:WARM_NODE"
broken = "warm_machine:no_such_thing"
nonsense = "warm_machine:WARMUP"
[tool.hatch.build.targets.wheel]
include = ["warm_machine.py"]
"""

MACHINE = '''
"""The standard machine with a phase that warms the engine up before the node counts as ready."""

import asyncio
import enum

from nodeinit import CallbackCtx, Phase, TemporaryError, load_machine


class MyPhase(enum.StrEnum):
    WARMUP = "warmup"


WARMUP = MyPhase.WARMUP


async def warm_up(ctx: CallbackCtx, run) -> CallbackCtx:
    await asyncio.sleep(1)
    if run.attempt == 1:
        raise TemporaryError("the engine is still cold")
    return ctx.evolve(custom_data=ctx.custom_data.set("warm", True))


WARM_NODE = load_machine("node_init").with_phase(
    Phase(MyPhase.WARMUP, warm_up, summary="run one request through the engine"),
    after="placement",
    hooks=("on_before_warmup",),
    name="warm_node",
)
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's package, built and installed into a folder on the path."""
    source = tmp_path_factory.mktemp("warm-machine")
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "warm_machine.py").write_text(MACHINE)
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--target", str(target), str(source)], check=True, capture_output=True
    )
    return target


@pytest.fixture
def on_path(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))


class Warms:
    def on_before_warmup(self, ctx: CallbackCtx) -> CallbackCtx:
        return ctx.evolve(custom_data={"placed": ctx.placement is not None})


@pytest.mark.usefixtures("on_path")
def test_a_users_machine_is_found_checked_and_run_like_ours() -> None:
    assert {"node_init", "warm_node"} <= set(machines())

    async def main() -> list[str]:
        config = llm_config(Warms(), nodeinit={"deadlines": {"warmup": 30}})
        async with initializer(config, machine="warm_node", policy=None) as node:
            await node.wait_for("ready")
            assert {"placed": True, "warm": True} == node.ctx.custom_data
        return states(node)

    way = run_virtual(main())
    assert ["placement", "warmup", "backoff", "warmup", "ready", "releasing", "released"] == way[2:]


@pytest.mark.usefixtures("on_path")
def test_the_guards_of_ready_stay_on_the_only_edge_into_it() -> None:
    into_ready = [e for e in load_machine("warm_node").singles() if e.target == "ready"]

    assert [(("warmup",), ["placement_is_valid", "model_is_complete"])] == [
        (edge.sources, [guard.name for guard in edge.guards]) for edge in into_ready
    ]
    assert ["ready"] == [
        e.target for e in load_machine("node_init").singles() if e.target == "ready"
    ]


@pytest.mark.usefixtures("on_path")
def test_cancel_in_the_users_phase_gives_the_group_back() -> None:
    sim = cluster()

    async def main() -> None:
        async with initializer(llm_config(), sim, machine="warm_node") as node:
            await node.wait_for("warmup")
            assert 1 == len(sim.groups)
            await node.cancel()

    run_virtual(main())

    assert [] == sim.leftovers()


@pytest.mark.usefixtures("on_path")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("warm_nod", "is not installed; did you mean 'warm_node'"),
        ("broken", "cannot be imported: AttributeError"),
        ("nonsense", "is a MyPhase, not a Definition"),
    ],
)
def test_a_machine_that_cannot_be_used_says_why(name: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_machine(name)
