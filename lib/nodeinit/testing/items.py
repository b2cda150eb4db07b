"""One test for each check of a callback, over one exploration of it: what the pytest plugin makes.

A test passes, fails with the report of its check, or, where the check is *inconclusive*, is skipped;
in the profiles `ci` and `nightly` it fails then, since nobody reads there what was skipped. What is
expected to fail is an xfail. Nothing inconclusive ever passes.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import pytest

from nodeinit.callbacks import CallbackSpec
from nodeinit.errors import ConfigError
from nodeinit.testing.check import CallbackFailed, explored, known, stale
from nodeinit.testing.checks import CHECKS
from nodeinit.testing.harness import Harness
from nodeinit.testing.plugin import MARK
from nodeinit.testing.profiles import Profile, profile_of
from nodeinit.testing.properties import Property
from nodeinit.testing.report import CheckReport
from nodeinit.testing.scenario import Scenario

UNREAD = ("ci", "nightly")
"""The profiles in which what is inconclusive fails."""

_made: pytest.StashKey[dict[Any, Exploration]] = pytest.StashKey()


def callback_checks(
    *callbacks: Any,
    kwargs: Mapping[str, Any] | None = None,
    profile: str | Profile | None = None,
    seed: int | None = None,
    properties: Sequence[Property] = (),
    expected_failures: Mapping[str, str] | None = None,
    allow_exceptions: tuple[type[Exception], ...] = (),
    scenarios: Sequence[Scenario] = (),
) -> pytest.MarkDecorator:
    """Make a test of each check of each callback: the function only has to run what it is given.

        @callback_checks(MyCallback)
        def test_contract(check):
            check()

    The arguments are those of `check_callback`. `--callback-profile` and `--callback-seed` go before
    `profile` and `seed`. May be given several times, for callbacks with different arguments.
    """
    if not callbacks:
        raise TypeError("callback_checks needs a callback: @callback_checks(MyCallback)")
    options = {
        "kwargs": kwargs,
        "profile": profile,
        "seed": seed,
        "properties": tuple(properties),
        "expected_failures": dict(expected_failures or {}),
        "allow_exceptions": tuple(allow_exceptions),
        "scenarios": tuple(scenarios),
    }
    return pytest.mark.callback_checks.with_args(*callbacks, **options)


@attrs.define(eq=False)
class Exploration:
    """A callback and how it is checked: run once in a process, when the first test asks for it."""

    callback: Any
    options: Mapping[str, Any]
    _found: CheckReport | Exception | None = None

    @property
    def name(self) -> str:
        """What reports call the callback."""
        return CallbackSpec(self.callback).name

    @property
    def expected(self) -> Mapping[str, str]:
        """The checks that are expected to fail, with the reasons."""
        return self.options.get("expected_failures") or {}

    def usable(self) -> Exploration:
        """Itself; `ConfigError` when the callback or the options cannot be used."""
        properties = self.options.get("properties", ())
        known(self.expected, properties)
        profile_of(self.options["profile"])
        with Harness(self.callback, self.options.get("kwargs"), properties=properties):
            return self

    def checks(self) -> list[Check]:
        """One for each law and for each property of the author's."""
        properties = self.options.get("properties", ())
        return [Check(self, check) for check in (*CHECKS, *(prop.id for prop in properties))]

    @property
    def report(self) -> CheckReport:
        """What was found. Whatever went wrong goes wrong in every test."""
        if self._found is None:
            try:
                self._found = explored(self.callback, **self.options)
            except Exception as error:
                self._found = error
        if isinstance(self._found, Exception):
            raise self._found
        return self._found

    @property
    def summary(self) -> str | None:
        """The verdict in one line, once there is one."""
        return self._found.summary() if isinstance(self._found, CheckReport) else None


@attrs.frozen
class Check:
    """One check of a callback. Call it: it raises, skips, or returns when the check is passed."""

    exploration: Exploration
    id: str

    def __repr__(self) -> str:
        return f"{self.exploration.name}[{self.id}]"

    def __call__(self) -> None:
        """Explore the callback, if no other check did yet, and answer for this check alone."""
        __tracebackhide__ = True
        report = self.exploration.report
        verdict = report.expected.get(self.id, report.checks[self.id])
        reason = self.exploration.expected.get(self.id)
        if reason and verdict == "passed":
            warnings.warn(stale(report.callback, self.id), stacklevel=2)
        elif reason:
            raise AssertionError(f"{report.callback}: {self.id} {verdict}, as expected: {reason}")
        elif verdict == "failed":
            [failure] = (failure for failure in report.failures if failure.check == self.id)
            raise CallbackFailed(report, failure)
        elif verdict == "inconclusive":
            notes = "; ".join(note.strip() for note in report.notes)
            said = f"{report.callback}: {self.id} is inconclusive: {notes}"
            if report.profile in UNREAD:
                raise AssertionError(said)
            pytest.skip(said)

    def marks(self, config: pytest.Config) -> Iterator[pytest.MarkDecorator]:
        """What pytest and its plugins have to know of the test."""
        reason = self.exploration.expected.get(self.id)
        if reason:
            yield pytest.mark.xfail(reason=reason, raises=AssertionError)
        if config.pluginmanager.hasplugin("xdist"):  # so that `--dist loadgroup` explores it once
            yield pytest.mark.xdist_group(self.exploration.name)


def _of(config: pytest.Config, callback: Any, options: Mapping[str, Any]) -> Exploration:
    """The exploration of a callback with these options: always the same one in a process."""
    chosen = dict(options)
    chosen["profile"] = config.getoption("callback_profile") or chosen.get("profile") or "default"
    seed = config.getoption("callback_seed")
    chosen["seed"] = seed if seed is not None else chosen.get("seed") or 0
    made = config.stash.setdefault(_made, {})
    key = (callback if isinstance(callback, str) else id(callback), repr(sorted(chosen.items())))
    if key not in made:
        made[key] = Exploration(callback, chosen).usable()
    return made[key]


# -- marked functions ------------------------------------------------------------------------------


def generate(metafunc: pytest.Metafunc) -> None:
    """Give a marked function one test for each check."""
    definition = metafunc.definition
    if "check" not in metafunc.fixturenames:
        if any(mark.name == MARK for mark in definition.own_markers):
            pytest.fail(f"{definition.name} needs the argument `check`, and to call it", False)
        return
    explorations = [
        _of(metafunc.config, callback, mark.kwargs)
        for mark in reversed(list(definition.iter_markers(MARK)))
        for callback in mark.args
    ]
    full = [exploration.name for exploration in explorations]
    short = [name.rpartition(":")[2].rpartition(".")[2] for name in full]
    names = short if len(set(short)) == len(set(full)) else full
    metafunc.parametrize(
        "check",
        [
            pytest.param(check, id=f"{name}-{check.id}", marks=[*check.marks(metafunc.config)])
            for name, exploration in zip(names, explorations, strict=True)
            for check in exploration.checks()
        ],
    )


# -- callbacks without a test file -----------------------------------------------------------------


class CallbackNode(pytest.Collector):
    """A callback that was named on the command line, or in the settings."""

    def collect(self) -> Iterator[CheckItem]:
        """Its checks."""
        here = str(self.config.invocation_params.dir)
        if here not in sys.path:  # as `python -m pytest` and `nodeinit check` have it
            sys.path.insert(0, here)
        for check in _of(self.config, self.name, {}).checks():
            name = f"{self.name}[{check.id}]"
            yield CheckItem.from_parent(self, name=name, nodeid=f"callbacks::{name}", check=check)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What cannot be checked, in its own words."""
        return _told(excinfo) or super().repr_failure(excinfo)


class CheckItem(pytest.Item):
    """A check of such a callback."""

    def __init__(self, *, check: Check, **options: Any) -> None:
        super().__init__(**options)
        self.check = check
        self.add_marker(pytest.mark.callback_checks)
        for mark in check.marks(self.config):
            self.add_marker(mark)

    def runtest(self) -> None:
        """Run it."""
        self.check()

    def reportinfo(self) -> tuple[Any, None, str]:
        """The headline of a failure."""
        return self.path, None, f"{self.check.exploration.name} {self.check.id}"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The report, and not how pytest came to it."""
        return _told(excinfo) or super().repr_failure(excinfo, style)


def _told(excinfo: pytest.ExceptionInfo[BaseException]) -> str | None:
    return str(excinfo.value) if isinstance(excinfo.value, AssertionError | ConfigError) else None


def collected(session: pytest.Session, names: Sequence[str]) -> list[pytest.Item]:
    """The tests of callbacks without a test file, collected as those of files are."""
    return [
        item
        for name in names
        for item in session.genitems(
            CallbackNode.from_parent(session, name=name, nodeid=f"callbacks::{name}")
        )
    ]


def summary_of(item: pytest.Item) -> str | None:
    """The verdict on the callback that a test is about, in one line."""
    callspec = getattr(item, "callspec", None)
    check = getattr(item, "check", None) or (callspec and callspec.params.get("check"))
    return check.exploration.summary if isinstance(check, Check) else None
