"""The pytest plugin: checks of callbacks as tests, and fixtures of the test kit.

It is loaded into every run of pytest where nodeinit is installed, so it is only a door: what it needs
is imported when a callback is checked or a fixture asked for, and nothing before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nodeinit.clusters.simulated import SimCluster
    from nodeinit.testing.trace import Trace
    from nodeinit.testing.virtual_time import VirtualLoop

MARK = "callback_checks"
TOLD = "callback_checks"  # the user property of a test in which the summary of its callback travels


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options and settings."""
    group = parser.getgroup("nodeinit", "checks of callbacks of nodeinit")
    group.addoption(
        "--callback",
        action="append",
        default=[],
        metavar="MODULE:CLASS",
        help="check a callback, without any test file: one test for each check (repeatable)",
    )
    group.addoption(
        "--callback-profile",
        choices=["quick", "default", "ci", "nightly"],
        help="how much is tried, whatever @callback_checks says (default: 'default')",
    )
    group.addoption(
        "--callback-seed", type=int, metavar="N", help="where chance begins (default: 0)"
    )
    parser.addini(
        "callback_checks",
        type="linelist",
        default=[],
        help="callbacks to check, one module:Class on each line, unless files or tests are named",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and listen for summaries."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(*callbacks, **options): the tests of a function are the checks of these callbacks "
        "(see nodeinit.testing.callback_checks); on every such test, for -m",
    )
    config.pluginmanager.register(_Summaries(), "nodeinit-summaries")


def _named(config: pytest.Config) -> list[str]:
    """The callbacks of the command line and of the settings, each once.

    Whoever asks for single files or tests does not ask for the callbacks of the settings.
    """
    here = config.invocation_params.dir
    whole = all((here / argument).is_dir() for argument in config.args)
    of_settings = config.getini("callback_checks") if whole else []
    return list(dict.fromkeys([*config.getoption("callback"), *of_settings]))


# -- tests -----------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each check of the callbacks that a function is marked with."""
    if metafunc.definition.get_closest_marker(MARK) is not None:
        from nodeinit.testing.items import generate

        generate(metafunc)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Add the tests of callbacks that were named without a test file."""
    names = _named(session.config)
    if names:
        from nodeinit.testing.items import collected

        items += collected(session, names)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Let the summary of the callback travel with the report: to junit, and to the main process."""
    if call.when == "call" and item.get_closest_marker(MARK) is not None:
        from nodeinit.testing.items import summary_of

        summary = summary_of(item)
        if summary is not None:
            item.user_properties.append((TOLD, summary))


# -- what is said about it -------------------------------------------------------------------------


def pytest_report_header(config: pytest.Config) -> str | None:
    """With what callbacks are checked, where they were named."""
    return _header(config) if _named(config) else None


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> str | None:
    """The same, where only functions are marked."""
    if _named(config) or not any(item.get_closest_marker(MARK) for item in items):
        return None
    return _header(config)


def _header(config: pytest.Config) -> str:
    from importlib.metadata import version

    from nodeinit.testing.checks import SET

    profile = config.getoption("callback_profile") or "default"
    seed = config.getoption("callback_seed") or 0
    return f"nodeinit {version('nodeinit')}: checks {SET}, profile {profile}, seed {seed}"


class _Summaries:
    """One line for each callback, at the end: under xdist the reports come from other processes."""

    def __init__(self) -> None:
        self.told: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the summary out of a report."""
        for name, value in report.user_properties:
            if name == TOLD:
                self.told[str(value)] = None

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say them, if there are any."""
        if self.told:
            terminalreporter.section("callbacks", "-")
            for line in self.told:
                terminalreporter.line(line)


# -- fixtures --------------------------------------------------------------------------------------


@pytest.fixture
def virtual_loop() -> Iterator[VirtualLoop]:
    """An event loop in which waiting takes no time: `virtual_loop.run_until_complete(main())`.

    It begins at 0 s, and never becomes the loop of the thread. At the end of the test what still
    runs in it is cancelled.
    """
    from nodeinit.testing.virtual_time import VirtualLoop, run_virtual

    async def nothing() -> None:
        pass

    loop = VirtualLoop()
    yield loop
    run_virtual(nothing(), loop=loop)
    loop.close()


@pytest.fixture
def sim_cluster() -> Callable[..., SimCluster]:
    """Makes clusters in memory: `sim_cluster(8, 8)` has the hosts `a` and `b` with 8 GPUs each.

    Each also has 32 CPUs. What else `SimCluster` takes may follow: `faults`, `latency`, `bandwidth`,
    `manifest`. Without GPUs it is two hosts with 8.
    """
    from nodeinit.clusters.simulated import SimCluster, sim_host

    def make(*gpus: float, **options: Any) -> SimCluster:
        named = enumerate(gpus or (8, 8))
        hosts = [sim_host(chr(ord("a") + i), GPU=each, CPU=32) for i, each in named]
        return SimCluster(hosts, **options)

    return make


@pytest.fixture
def run_scenario() -> Callable[..., Trace]:
    """`nodeinit.testing.run_scenario`: a callback in one scenario, whose trace it gives back.

        trace = run_scenario(MyCallback, Scenario(tp=4))
        assert trace.end.ctx.extra_init_kwargs["seed"] == 7

    It fails with the report where a law is broken, unless it gets `may_break=True`.
    """
    from nodeinit.testing.single import run_scenario

    return run_scenario
