"""Reports of a check: in every format, the same bytes, and what they say is so."""

from __future__ import annotations

import importlib
import json
import re
import runpy
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import attrs
import pytest

from nodeinit import CallbackCtx, ConfigError
from nodeinit.diagram import to_mermaid
from nodeinit.testing import CheckReport, Profile, Scenario, check_callback, ensures
from nodeinit.testing.path import Change
from nodeinit.testing.reporting import registry
from nodeinit.testing.reporting.registry import files, formats, render, write
from tests.testing import bugs, correct

QUICK = Profile("some", 1, 60, after_failure=60)


def report_of(callback: object, **options: object) -> CheckReport:
    return check_callback(callback, profile=QUICK, on_fail="return", **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def failed() -> CheckReport:
    return report_of("tests.testing.bugs:RaisesOnTheSecondPlan")


@pytest.fixture(scope="module")
def passed() -> CheckReport:
    return report_of(correct.Nothing, expected_failures={})


@pytest.mark.parametrize("format", formats())
def test_the_same_bytes_each_time_and_nothing_of_this_machine(
    failed: CheckReport, format: str
) -> None:
    again = report_of("tests.testing.bugs:RaisesOnTheSecondPlan")

    found = files(failed, format)
    assert found == files(again, format)
    for text in found.values():
        assert text.endswith("\n")
        assert str(Path.cwd()) not in text and "/tmp/" not in text
        assert not re.search(r"0x[0-9a-f]{6,}", text)


def test_json_has_the_keys_that_programs_count_on(failed: CheckReport) -> None:
    found = json.loads(render(failed, "json"))

    keys = "ok callback sequences complete provable states edges checks failures notes"
    assert keys.split() == list(found)
    [failure] = found["failures"]
    keys = "check events scenario message hint hook line sequence reproduce"
    assert keys.split() == list(failure)
    assert failure["scenario"] == {
        "gpus": [2],
        "acts": [{"at": 20.0, "what": "kill", "node_id": "a"}],
    }
    first, *_, last = failure["events"]
    assert ("idle", "start", "config") == (first["from"], first["event"], first["to"])
    assert ("releasing", "undone", "failed") == (last["from"], last["event"], last["to"])
    assert found == json.loads(json.dumps(failed.to_dict()))


def test_junit_has_a_case_for_each_check(failed: CheckReport, passed: CheckReport) -> None:
    for report in (failed, passed):
        suites = ET.fromstring(render(report, "junit"))
        [suite] = suites.findall("testsuite")
        cases = {case.get("name", "").split(":")[0]: case for case in suite.findall("testcase")}
        assert set(report.checks) == set(cases)
        for check, verdict in report.checks.items():
            kinds = [child.tag for child in cases[check]]
            expected = {"failed": ["failure"], "passed": []}.get(verdict, ["skipped"])
            assert expected == kinds, check
        assert str(len(cases)) == suite.get("tests") == suites.get("tests")
        assert str(len(report.failures)) == suite.get("failures")
        skipped = [v for v in report.checks.values() if v in ("inconclusive", "excluded")]
        assert str(len(skipped)) == suite.get("skipped")
        assert {"time", "timestamp", "hostname"}.isdisjoint(suite.keys())
    [found] = ET.fromstring(render(failed, "junit")).iter("failure")
    assert "KeyError" in found.get("message", "")
    assert failed.failures[0].text(failed.callback) == found.text


def test_what_xml_cannot_hold_is_left_out() -> None:
    class Rude:
        def on_before_init(self, ctx: CallbackCtx) -> None:
            raise ValueError("\x00 <b> \x1b ]]> \ud800")

    report = report_of(Rude, scenarios=[Scenario()])
    [found] = ET.fromstring(render(report, "junit")).iter("failure")
    assert "<b>" in found.get("message", "")


def test_mermaid_draws_the_path_of_the_failure(failed: CheckReport) -> None:
    [(name, text)] = files(failed, "mermaid").items()

    assert "H3-raised.mmd" == name
    lines = [line.strip() for line in text.splitlines()]
    assert "flowchart LR" == lines[0]
    assert [
        'idle ==>|"1 start"| config',
        'config ==>|"2 done"| download',
        'download ==>|"3 done"| placement',
        'placement ==>|"4 done"| ready',
        'ready ==>|"5 errored"| releasing',
        'releasing ==>|"6 undone"| failed',
    ] == [line for line in lines if "==>" in line]
    assert "class ready bad" in lines, "the hook failed there"
    links = [line for line in lines if "-->" in line or "==>" in line]
    styled = {}
    for line in lines:
        if line.startswith("linkStyle"):
            _, numbers, how = line.split(" ", 2)
            styled |= {links[int(n)]: how for n in numbers.split(",")}
    assert {link for link in links if "==>" in link} == set(styled)
    assert "#dc2626" in styled['ready ==>|"5 errored"| releasing']
    machine = failed.machine
    assert machine is not None
    assert set(machine.states) <= set(re.findall(r"\w+", text))


def test_mermaid_of_what_broke_nothing_is_the_machine(passed: CheckReport) -> None:
    [(name, text)] = files(passed, "mermaid").items()

    assert ("machine.mmd", False, False) == (name, "==>" in text, "bad" in text)
    assert passed.machine is not None
    arrows = [line for line in text.splitlines() if "-->" in line]
    drawn = [line for line in to_mermaid(passed.machine).splitlines() if "-->" in line]
    assert len(arrows) == len([line for line in drawn if not line.endswith("[*]")])


class _Page(HTMLParser):
    """What a page is made of, and whether every element is closed that has to be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.rows: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {"src", "href", "onclick"} & {name for name, _ in attrs}
        if tag == "tr":
            self.rows.append(dict(attrs).get("class") or "")
        if tag not in ("meta", "br", "th", "td"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_one_page_that_needs_nothing(failed: CheckReport) -> None:
    text = render(failed, "html")
    page = _Page()
    page.feed(text)

    assert [] == page.open
    assert {"script", "link", "img", "iframe"}.isdisjoint(page.tags)
    asked = text.replace(' xmlns="http://www.w3.org/2000/svg"', "")  # a name, and no address
    assert "http" not in asked and "@import" not in text and "url(" not in text
    assert "prefers-color-scheme: dark" in text
    [failure] = failed.failures
    assert 1 == page.rows.count("wrong")
    assert len(failure.events) == page.rows.count("step") + 1 - len(set(_edges(failed)))
    assert page.rows.count("never") == sum(not visits for visits in failed.visits.values())
    assert "<code>plan</code>: <del>–</del> → <ins>on a,a</ins>" in text


def _edges(report: CheckReport) -> list[tuple[str, str, str]]:
    [failure] = report.failures
    return [(t.source, t.event, t.target) for t in failure.events if t.edge]


def test_html_escapes_what_a_callback_says() -> None:
    class Evil:
        def on_before_init(self, ctx: CallbackCtx) -> None:
            raise ValueError("<script>alert(1)</script>")

    text = render(report_of(Evil, scenarios=[Scenario()]), "html")
    assert "<script>" not in text and "&lt;script&gt;alert(1)" in text


def test_visits_count_how_often_edges_were_taken() -> None:
    once = report_of(correct.Nothing, scenarios=[Scenario()])

    taken = {edge for edge, visits in once.visits.items() if visits}
    assert ("placement", "done", "ready") in taken
    assert len(taken) == once.edges[0] < once.edges[1] == len(once.visits)
    twice = report_of(correct.Nothing, scenarios=[Scenario(), Scenario((2,))])
    assert all(twice.visits[edge] == 2 * once.visits[edge] for edge in taken)


def test_the_context_is_told_step_by_step() -> None:
    class Writes:
        def on_before_init(self, ctx: CallbackCtx) -> CallbackCtx:
            return ctx.evolve(custom_data=ctx.custom_data.set("mine", ("a", 1)))

        def on_before_placement(self, ctx: CallbackCtx) -> CallbackCtx:
            data = ctx.custom_data.set("mine", "b" * 60)
            return ctx.evolve(custom_data=data, llm_config=None)

    [failure, *_] = report_of(Writes, scenarios=[Scenario()]).failures
    assert (Change("custom_data[mine]", "–", "('a', 1)"),) == failure.events[0].changes
    assert "custom_data[mine]: – -> ('a', 1)" in failure.text("x:Writes")


MINE = """
from nodeinit import CallbackCtx
from nodeinit.testing import ensures

class Mine:
    def __init__(self, key):
        self.key = key

    def on_before_download(self, ctx: CallbackCtx) -> CallbackCtx:
        if ctx.attempt {bug} 2:
            raise KeyError(self.key)
        return ctx.evolve(custom_data=ctx.custom_data.set(self.key, {value}))

@ensures("on_before_download")
def is_one(before, after):
    assert after.custom_data["it's"] == 1
"""


def test_the_test_file_fails_and_passes_once_the_bug_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "mine_to_mend.py"
    module.write_text(MINE.format(bug="==", value=2))
    monkeypatch.syspath_prepend(str(tmp_path))
    from mine_to_mend import is_one  # type: ignore[import-not-found]

    report = report_of("mine_to_mend:Mine", kwargs={"key": "it's"}, properties=[is_one])
    assert {"H3-raised", "prop:is_one"} == {failure.check for failure in report.failures}
    [path] = write(report, ["pytest"], tmp_path)
    assert "test_mine_laws.py" == path.name

    def run() -> list[bool]:
        """Which of the tests in the file pass."""
        sys.modules.pop("mine_to_mend")
        tests = [f for name, f in runpy.run_path(str(path)).items() if name.startswith("test_")]
        return [passes(test) for test in tests]

    assert [False, False] == run()
    module.write_text(MINE.format(bug=">", value=1).replace("> 2", "> 200"))
    importlib.invalidate_caches()
    assert [True, True] == run()


def passes(test: Callable[[], None]) -> bool:
    try:
        test()
    except AssertionError:
        return False
    return True


def test_a_class_that_no_test_can_import_is_refused() -> None:
    class Local:
        def on_before_init(self, ctx: CallbackCtx) -> int:
            return 5

    report = report_of(Local, scenarios=[Scenario()])
    with pytest.raises(ConfigError, match="cannot be imported by a test"):
        render(report, "pytest")
    assert "Local breaks H1-return" in render(report, "text")


def test_a_format_of_ones_own_and_one_that_there_is_not(failed: CheckReport) -> None:
    def short(report: CheckReport) -> dict[str, str]:
        return {"short.txt": f"{len(report.failures)}\n"}

    registry.register("short", short)
    try:
        assert "1\n" == render(failed, "short")
        with pytest.raises(ValueError, match="has a reporter already"):
            registry.register("html", short)
    finally:
        del registry._reporters["short"]
    with pytest.raises(ConfigError, match="did you mean 'junit'"):
        render(failed, "junt")


def test_many_events_still_fit() -> None:
    """However much there is to tell: at most 25 lines, 110 columns, and the step that went wrong."""

    @ensures("on_before_download")
    def says_much(before: CallbackCtx, after: CallbackCtx) -> None:
        raise AssertionError("much to say " * 60 + "\nand more\nand more")

    report = report_of(correct.Asks, scenarios=[Scenario()], properties=[says_much])
    [failure] = report.failures
    events = tuple(attrs.evolve(taken, at=float(n)) for n in range(5) for taken in failure.events)
    text = attrs.evolve(failure, events=events).text(report.callback)
    lines = text.splitlines()
    assert 25 >= len(lines)
    assert 110 >= max(map(len, lines))
    assert "more steps …" in text and f"{len(events)}. " in text


def test_what_never_happened_has_no_scenario() -> None:
    report = report_of(bugs.ReturnsDict, scenarios=[Scenario()])
    [failure] = report.failures
    nowhere = attrs.evolve(failure, events=(), reproduce="", hook="", line="")
    vain = attrs.evolve(report, failures=(nowhere,))
    for format in formats():
        for text in files(vain, format).values():
            assert "again" not in text.lower() and "def test_" not in text
            assert "world" not in text.lower()
    assert "breaks H1-return" in render(vain, "text")
