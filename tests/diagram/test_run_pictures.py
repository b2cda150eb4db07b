"""Runs as pictures, pages and Markdown: all of them say what happened, and none is hurt by a text."""

from __future__ import annotations

import itertools
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeinit.diagram.run import RunRecord, read_run
from nodeinit.diagram.run.hosts import by_host
from nodeinit.diagram.run.lanes import MOST_LANES
from nodeinit.diagram.run.placed import placement_svg
from nodeinit.diagram.run.spans import stays
from nodeinit.diagram.run.timeline import timeline_svg
from nodeinit.fsm.core import Core
from nodeinit.fsm.definition import Definition
from nodeinit.fsm.events import BOOKKEEPING, Event, Held, Occurred, Reason
from nodeinit.fsm.journal import Note
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.snapshot import HookRun, Step
from tests.diagram import run_journals as scripts
from tests.diagram.machines import SMALL, definitions

SVG = "{http://www.w3.org/2000/svg}"
EVIL = (
    "</text></td></script><script>document.title='pwned'</script>"
    "<img src=x onerror=\"document.title='pwned'\">"
)

SCRIPTS: dict[str, Callable[[Path], Path]] = {
    "ready": scripts.ready,
    "retried": scripts.retried,
    "failed": scripts.failed,
    "invalid": scripts.invalid,
    "cancelled": scripts.cancelled,
    "displaced": scripts.displaced,
    "infeasible": scripts.infeasible,
    "lost": scripts.lost,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunRecord]:
    """What each script came to, read back from its journal."""
    where = tmp_path_factory.mktemp("runs")
    return {name: read_run(make(where / f"{name}.jsonl")) for name, make in SCRIPTS.items()}


class Elements(HTMLParser):
    """The elements of a page with their attributes; every one that is opened must be closed."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.all.append((name, dict(attributes)))
        if name not in ("meta", "br"):
            self.open.append(name)

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.all.append((name, dict(attributes)))

    def handle_endtag(self, name: str) -> None:
        assert self.open and self.open.pop() == name, name

    def handle_data(self, data: str) -> None:
        self.said += data


DRAWN = {"svg", "title", "desc", "style", "g", "rect", "path", "circle", "text"}
ON_PAGES = DRAWN | {
    *("html", "head", "body", "meta", "main", "div", "span", "h1", "h2", "p", "b", "code", "br"),
    *("dl", "dt", "dd", "progress", "table", "thead", "tbody", "tr", "th", "td"),
}


def harmless(run: RunRecord) -> None:
    """Nothing of a run's texts is an element, an attribute that acts, or markup of Markdown."""
    svg = ET.fromstring(run.to_svg())
    assert {element.tag.removeprefix(SVG) for element in svg.iter()} <= DRAWN
    assert not any(name.startswith("on") for element in svg.iter() for name in element.attrib)
    for source in (run.to_html(), run._repr_html_()):
        found = Elements(source).all
        assert {name for name, _ in found} <= ON_PAGES
        assert not any(key.startswith("on") or key == "href" for _, at in found for key in at)
    markdown = run.to_markdown()
    for line in markdown.split("\n"):
        assert not re.search(r"<(?!br>)", line), line
    assert all(len(re.findall(r"(?<!\\)\|", row)) for row in markdown.split("\n") if row[:1] == "|")


# -- what is told ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCRIPTS)
def test_stays_follow_each_other_from_the_start_to_the_end(
    runs: dict[str, RunRecord], name: str
) -> None:
    run = runs[name]
    found = stays(run)
    assert found[-1].end == run.until == run.steps[-1].at
    assert all(a.end == b.begin for a, b in itertools.pairwise(found))
    moves = [s for s in run.steps if s.accepted and s.occurred.event not in BOOKKEEPING]
    assert len(found) == len(moves) - (found[0].name != "idle")
    failed = [span.name for span in found if span.failed]
    assert failed == {
        "retried": ["download", "download"],
        "failed": ["download"],
        "invalid": ["placement"],
        "displaced": ["placement"],
        "infeasible": ["config"],
        "lost": ["ready"],
    }.get(name, [])


def test_hosts_have_bars_with_bytes_and_rates(runs: dict[str, RunRecord]) -> None:
    found = by_host(runs["retried"])
    assert [host[:4] for host in found] == ["0000", "0101"]
    for spans in found.values():
        fetches = [span for span in spans if span.kind == "fetch"]
        assert [span.failed for span in fetches] == [True, True, False]
        assert fetches[-1].label == "14.0 GB, 320 MB/s"
        assert fetches[-1].curve[-1][1] == 1.0
        assert [span.kind for span in spans][-1] == "group" and not spans[-1].failed
    displaced = by_host(runs["displaced"])
    assert [s.label for s in displaced["00" * 16] if s.kind == "fetch"][1] == "already there"
    assert [s.kind for s in displaced["02" * 16]] == ["fetch", "group"]
    healed = by_host(runs["lost"])
    fetches = {host[:2]: [s.kind for s in spans].count("fetch") for host, spans in healed.items()}
    assert fetches == {"00": 1, "01": 2, "02": 1}  # by whose it is, not by the plan of that time
    half = by_host(runs["cancelled"])["00" * 16][0]
    assert half.failed and half.label == "7.0 GB of 14.0 GB, 320 MB/s"


def test_a_journal_without_notes_is_drawn_too(runs: dict[str, RunRecord]) -> None:
    for run in runs.values():
        bare = attrs.evolve(run, notes=())
        harmless(bare)
        assert list(by_host(bare)) == list(by_host(run))
    drawn = placement_svg(attrs.evolve(runs["ready"], notes=()), width=900.0)
    assert drawn is not None and "16 planned, 0 taken" in drawn  # its own group is not another's


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ready", ["The node is released.", "Reserved until it was given back", "other-llm"]),
        ("failed", ["no licence for", "hook on_before_placement", "not to backoff: temporary"]),
        ("invalid", ["rule placement_is_valid", "tp_groups_whole: tensor-parallel group 1"]),
        ("cancelled", ["not needed", "Planned, not reserved"]),
        ("displaced", ["#4 at 45.6 s", "thief-0", "the hosts of the plan cannot give"]),
        ("infeasible", ["there is room for 2", "There is no plan", "NO_RESOURCES"]),
        ("lost", ["host gpu-1 died", "a long time, cut short"]),
        ("retried", ["try 3", "fetch failed for the moment"]),
    ],
)
def test_every_view_says_why(runs: dict[str, RunRecord], name: str, said: list[str]) -> None:
    run = runs[name]
    page = Elements(run.to_html()).said
    svg = "".join(ET.fromstring(run.to_svg()).itertext())
    for text in said:
        assert text in page, text
    assert said[0] in page and (name in ("cancelled", "lost", "retried") or said[0] in svg)
    assert run.explain().split("\n")[0] in page
    assert run.to_html() == run.to_html() and run.to_svg() == run.to_svg()


def test_markdown_has_a_timeline_and_tables(runs: dict[str, RunRecord]) -> None:
    text = runs["failed"].to_markdown()
    assert text.startswith("## ❌ The node is failed")
    assert "```mermaid\ngantt\n" in text and ":crit, 40, 45530" in text
    assert "### What went wrong" in text and "### Hooks" in text
    rows = [line for line in text.split("\n") if line.startswith("| ")]
    assert any("&#60;b&#62;this&#60;&#47;b&#62;" in row for row in rows)


# -- a run that goes on ----------------------------------------------------------------------------


def halfway(run: RunRecord, steps: int, at: float) -> RunRecord:
    notes = [note for note in run.notes if note.at <= at]
    return attrs.evolve(run, steps=run.steps[:steps], notes=notes, now=at)


def test_a_run_that_goes_on_says_how_far_it_is(runs: dict[str, RunRecord]) -> None:
    run = halfway(runs["ready"], 4, 20.0)
    assert run.state == "download" and not run.over and run.until == 20.0
    page = run.to_html()
    assert "now, try 1 of 4, 45 % of 28.0 GB" in page
    assert '<progress value="0.4500" max="1">' in page
    assert "12.6 GB of 28.0 GB on 2 hosts, 640 MB/s, 24.6 s left" in Elements(page).said
    span = stays(run)[-1]
    assert span.open and span.end == 20.0
    assert by_host(run)["00" * 16][0].open
    harmless(run)
    before = halfway(runs["ready"], 0, 0.0)
    assert before.state == "idle" and "has not been started" in before.to_html()


# -- bounded ---------------------------------------------------------------------------------------


def long(run: RunRecord, times: int) -> RunRecord:
    """The run again and again: not one that could be, but with as many steps of every kind."""
    every = run.steps[-1].at
    steps = [
        attrs.evolve(step, at=step.at + n * every) for n in range(times) for step in run.steps[:-2]
    ]
    notes = [
        attrs.evolve(note, at=note.at + n * every) for n in range(times) for note in run.notes[:6]
    ]
    return attrs.evolve(run, steps=steps, notes=notes)


def calls(work: Callable[[RunRecord], Any], run: RunRecord) -> int:
    """How many calls of Python functions a piece of work takes."""
    count = 0

    def look(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(look)
    try:
        work(run)
    finally:
        sys.setprofile(None)
    return count


def test_a_long_run_has_a_bounded_picture_with_all_of_it_counted(
    runs: dict[str, RunRecord],
) -> None:
    run = long(runs["retried"], 450)
    assert len(run.steps) > 10_000
    svg, html, markdown = run.to_svg(), run.to_html(), run.to_markdown()
    assert len(svg) < 400_000 and len(html) < 400_000 and len(markdown) < 60_000
    titles = [
        g.findtext(f"{SVG}title") or "" for g in ET.fromstring(timeline_svg(run)).iter(f"{SVG}g")
    ]
    told = "\n".join(titles)
    for state, each in {"config": 1, "download": 3, "backoff": 2, "placement": 1}.items():
        together = re.findall(rf"^{state}: (one|[\d,]+) times?,", told, re.MULTILINE)
        alone = len(re.findall(rf"^{state}, ", told, re.MULTILINE))
        counts = [1 if n == "one" else int(n.replace(",", "")) for n in together]
        assert sum(counts) + alone == 450 * each, state
    table = Elements(html).said
    assert f"{len(run.steps):,}" in table and f"{len(run.steps) - 120:,} more" in table


def test_the_work_is_linear_in_the_length_of_the_run(runs: dict[str, RunRecord]) -> None:
    short, longer = long(runs["retried"], 30), long(runs["retried"], 120)
    for draw in (RunRecord.to_svg, RunRecord.to_markdown):  # a page is made of the same parts
        draw(short)  # what is made once only
        few, many = calls(draw, short), calls(draw, longer)
        assert many <= 4.4 * few, draw.__name__


def test_of_many_hosts_those_that_matter_have_lanes(runs: dict[str, RunRecord]) -> None:
    run = runs["ready"]
    notes = [
        Note("progress", 1 + n / 1000, {"node_id": f"h{n:03}", "done": done, "total": 9})
        for done in (1, 9)
        for n in range(300)
    ]
    many = attrs.evolve(run, notes=[*notes, *run.notes])
    drawn = timeline_svg(many)
    assert drawn.count('<g class="called">') == MOST_LANES + 1
    assert f"and {302 - MOST_LANES} more hosts" in drawn


# -- hostile ---------------------------------------------------------------------------------------


def told_by(machine: Definition, events: list[tuple[Event, str]]) -> RunRecord:
    """A run of a machine to which these events happen, with hostile texts wherever there is one."""
    core = Core(machine, Policy())
    snapshot = core.initial(None)
    steps: list[Step] = []
    notes = [
        Note("cluster", 0.0, {"nodes": [{"node_id": "h1", "name": EVIL, "total": {"GPU": 2},
              "available": {"GPU": 1}, "labels": {EVIL: EVIL}}], "groups": []}),
        Note("progress", 0.5, {"node_id": "h1", "done": 1, "total": 3, "stage": EVIL, "note": EVIL}),
    ]  # fmt: skip
    for number, (event, text) in enumerate([(Event.START, ""), *events]):
        visit = snapshot.visit if event not in (Event.START, Event.CANCEL) else None
        phase = snapshot.state if visit is not None else None
        held = Held(text, f"{text}-h1", snapshot.state, snapshot.visit)
        reason = Reason("error", text, snapshot.state, temporary=True)
        occurred = Occurred(event, phase, visit, reason=reason)
        if event in BOOKKEEPING:
            occurred = Occurred(event, phase, visit, held=held, reason=reason)
        step = core.step(snapshot, occurred)
        hook = HookRun(text, text, 0.25, {text: text}, text or None)
        steps.append(attrs.evolve(step, at=number * 0.7, hooks=(hook,)))
        snapshot = step.after
    began = datetime(2026, 1, 2, tzinfo=UTC)
    return RunRecord(machine, Policy(), steps, notes, EVIL, began, EVIL, now=99.0)


_EVENTS = st.lists(
    st.tuples(st.sampled_from(list(Event)), st.sampled_from([EVIL, "a", "\ud800\n|`*_[x](y)"])),
    max_size=12,
)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(definitions().filter(lambda m: all(p.state for p in m.phases)), _EVENTS)
def test_no_text_of_anybody_does_anything(
    machine: Definition, events: list[tuple[Event, str]]
) -> None:
    harmless(told_by(machine, events))


def hostile_run() -> RunRecord:
    """A run with a hostile text in every place that has one."""
    every = [Event.ACQUIRING, Event.ERRORED, Event.RETRY, Event.DONE, Event.ERRORED, Event.LOST]
    return told_by(SMALL, [(event, EVIL) for event in [*every, Event.CANCEL, Event.ABANDONED]])


def test_everything_hostile_is_there_to_be_seen() -> None:
    run = hostile_run()
    harmless(run)
    said = Elements(run.to_html()).said
    assert said.count("document.title='pwned'") > 10


# -- where things are ------------------------------------------------------------------------------


def boxes(svg: str) -> Iterator[tuple[float, float, float, float]]:
    for rect in ET.fromstring(svg).iter(f"{SVG}rect"):
        x, y, w, h = (float(rect.get(name, 0)) for name in ("x", "y", "width", "height"))
        yield x, y, x + w, y + h


@pytest.mark.parametrize("width", [320.0, 960.0, 1500.0])
@pytest.mark.parametrize("name", SCRIPTS)
def test_bars_are_on_the_page_and_beside_each_other(
    runs: dict[str, RunRecord], name: str, width: float
) -> None:
    svg = timeline_svg(runs[name], width=width)
    root = ET.fromstring(svg)
    w, h = (float(root.get(name, 0)) for name in ("width", "height"))
    assert w == width
    for left, top, right, bottom in boxes(svg):
        assert 0 <= left < right <= w + 0.1 and 0 <= top < bottom <= h + 0.1
    texts = [t for t in root.iter(f"{SVG}text") if t.get("text-anchor") != "end"]
    assert all(0 <= float(text.get("x", 0)) <= w for text in texts)


@pytest.mark.slow
def test_the_journal_of_a_host_that_flaps_ten_thousand_steps(tmp_path: Path) -> None:
    run = read_run(scripts.flapping(tmp_path / "flapping.jsonl"))
    assert len(run.steps) >= 10_000
    harmless(run)
    assert len(run.to_svg()) < 400_000 and len(run.to_html()) < 400_000
    lost = sum(step.occurred.event is Event.LOST for step in run.steps)
    assert f"lost {lost - 24} times" in Elements(run.to_html()).said.replace(",", "")
