"""What a callback hides is said, and then nothing is proved: each way of hiding by itself."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from nodeinit import CallbackCtx
from nodeinit.testing import Scenario, check_callback
from nodeinit.testing.hidden import opaque_attributes, printed, reaches
from tests.testing import correct

SEEN: list[str] = []


class InTheModule:
    def on_before_init(self, ctx: CallbackCtx) -> None:
        SEEN.append("once more")


class OnTheClass:
    runs = 0

    def on_before_init(self, ctx: CallbackCtx) -> None:
        type(self).runs += 1


class InADefault:
    def on_before_init(self, ctx: CallbackCtx, seen: list[int] = []) -> None:  # noqa: B006
        seen.append(1)


@functools.cache
def looked_up(name: str) -> str:
    return name.upper()


class InACache:
    def on_before_init(self, ctx: CallbackCtx) -> None:
        looked_up(f"{ctx.llm_config.model_id}")


class InTheEnvironment:
    def on_before_init(self, ctx: CallbackCtx) -> None:
        os.environ["NODEINIT_TESTS_HIDDEN"] = os.environ.get("NODEINIT_TESTS_HIDDEN", "") + "x"


def numbers() -> Iterator[int]:
    yield from range(1_000)


class InAGenerator:
    def __init__(self) -> None:
        self.numbers = numbers()

    def on_before_init(self, ctx: CallbackCtx) -> None:
        next(self.numbers)


class InAThread:
    def on_before_init(self, ctx: CallbackCtx) -> None:
        thread = threading.Thread(target=len, args=("",))
        thread.start()
        thread.join()


class InAnotherProgram:
    def on_before_init(self, ctx: CallbackCtx) -> None:
        subprocess.run([sys.executable, "-S", "-E", "-c", ""], check=True)


WAYS = {
    InTheModule: "tests.testing.test_hidden.SEEN changed",
    OnTheClass: "tests.testing.test_hidden.OnTheClass.runs changed",
    InADefault: "tests.testing.test_hidden.InADefault.on_before_init changed",
    InACache: "tests.testing.test_hidden.looked_up changed",
    InTheEnvironment: "os.environ changed",
    InAGenerator: "self.numbers (a generator) cannot be compared",
    InAThread: "a hook used threading.Thread",
    InAnotherProgram: "a hook used subprocess.Popen",
}


@pytest.mark.parametrize("callback", WAYS, ids=lambda kind: kind.__name__)
def test_what_is_hidden_is_not_provable(callback: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODEINIT_TESTS_HIDDEN", "")
    report = check_callback(callback, scenarios=[Scenario()], on_fail="return")

    assert (True, False, False) == (report.ok, report.provable, report.complete)
    assert WAYS[callback] in report.text()
    assert "not provable" in report.text()
    assert "inconclusive" == report.checks["H10-deterministic"]
    watched = "inconclusive" if "a hook used" in WAYS[callback] else "passed"
    assert watched == report.checks["R4-tasks"]
    assert "passed" == report.checks["H1-return"]
    assert report.to_dict()["provable"] is False


@pytest.mark.parametrize("callback", correct.ALL, ids=lambda kind: kind.__name__)
def test_what_hides_nothing_is_provable(callback: type) -> None:
    report = check_callback(callback, scenarios=[Scenario((2, 2), 2, 2)], on_fail="return")

    assert report.provable, report.text()


def test_what_an_instance_holds_can_be_told_or_not() -> None:
    class Holds:
        def __init__(self, what: Any) -> None:
            self.what = what

    class Slotted:
        __slots__ = ("what",)

    assert [] == opaque_attributes(
        Holds({"a": [1, {2}, threading.Lock()], "b": functools.partial(len)})
    )
    assert ["what (a generator)"] == opaque_attributes(Holds(numbers()))
    assert ["what (a list)"] == opaque_attributes(Holds([numbers()]))
    slotted = Slotted()
    slotted.what = 4
    assert printed(slotted) != printed(Slotted())


def test_something_is_found_through_what_holds_it() -> None:
    wanted = object()

    def closing() -> object:
        return wanted

    for root in ([{"a": (wanted,)}], functools.partial(len, wanted), closing, {wanted: 1}):
        assert reaches([root], wanted)
    assert not reaches([[object()], len, closing], object())
