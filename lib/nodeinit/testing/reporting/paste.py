"""The test to paste: a scenario as Python that fits the page."""

from __future__ import annotations

import json
import pprint
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nodeinit.testing.scenario import Scenario, expression, said
from nodeinit.testing.scenario_line import to_line

if TYPE_CHECKING:
    from nodeinit.testing.report import Failure

WIDTH = 100


def home_of(callback: str) -> tuple[str, str]:
    """The module and the name in it of `package.module:Class`, or of the same with a dot."""
    module, _, name = callback.partition(":") if ":" in callback else callback.rpartition(".")
    return module, name


def importable(callback: str) -> bool:
    """Whether a test of another module can import it: no lambda, and no class in a function."""
    module, name = home_of(callback)
    return bool(module) and "<" not in name


def imports(failures: Sequence[Failure], callback: str) -> list[str]:
    """The lines that the tests of these failures need at the head of their file."""
    names: set[str] = set()
    for failure in failures:
        if _too_long(failure.scenario):
            names.add("replay")
            continue
        names |= {"Scenario", "check_callback"}
        events = (*failure.scenario.faults, *failure.scenario.acts, *failure.scenario.others)
        names |= {type(event).__name__ for event in events}
    lines = [f"from nodeinit.testing import {', '.join(sorted(names))}"]
    wanted = [callback, *(failure.origin for failure in failures if failure.origin)]
    for module, name in map(home_of, filter(importable, dict.fromkeys(wanted))):
        lines.append(f"from {module} import {name.partition('.')[0]}")
    return lines


def name_of(callback: str, check: str) -> str:
    """What the test of a failure is called."""
    kind = home_of(callback)[1].rpartition(".")[2]
    return "test_" + re.sub(r"\W+", "_", f"{kind}_{check}").strip("_").lower()


def pasted(failure: Failure, callback: str) -> tuple[str, ...]:
    """A test that fails while the law is broken in this scenario, and passes when it is not."""
    kind = home_of(callback)[1]
    given = [f"kwargs={pprint.pformat(dict(failure.kwargs), width=80)}"] if failure.kwargs else []
    if failure.machine:
        given.append(f"machine={failure.machine!r}")
    if failure.origin:
        given.append(f"properties=[{home_of(failure.origin)[1]}]")
    if _too_long(failure.scenario):
        line = textwrap.wrap(to_line(failure.scenario), 80, break_on_hyphens=False)
        words = [f'        "{part} "' for part in line[:-1]] + [f'        "{line[-1]}",']
        call = ", ".join([kind, *given])
        head = f"def {name_of(callback, failure.check)}():"
        return (head, "    replay(", *words, f"        {call},", "    )")
    scenario = python(failure.scenario, "    scenario = ")
    call = ", ".join([kind, *given, "scenarios=[scenario]"])
    return (f"def {name_of(callback, failure.check)}():", *scenario, f"    check_callback({call})")


def _too_long(scenario: Scenario) -> bool:
    """Whether it is better said in a line of words than in Python."""
    long = len(python(scenario, "    scenario = ")) > 5
    return long and not to_line(scenario).startswith("{")


def python(scenario: Scenario, before: str) -> list[str]:
    """`before` and the expression of a scenario, in as many lines as it takes."""
    line = before + scenario.to_python()
    if len(line) <= WIDTH:
        return [line]
    lines = [f"{before}Scenario("]
    for name, value in said(scenario).items():
        one = f"        {name}={expression(value)},"
        if len(one) <= WIDTH or not isinstance(value, tuple):
            lines.append(one)
        else:
            items = [f"            {expression(item)}," for item in value]
            lines += [f"        {name}=(", *items, "        ),"]
    return [*lines, "    )"]


def given_json(kwargs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Keyword arguments as plain data for JSON, or `None` where they are more than that."""
    try:
        plain: Mapping[str, Any] = json.loads(json.dumps(dict(kwargs)))
    except (TypeError, ValueError):
        return None
    return plain
