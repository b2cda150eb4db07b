"""Machines to draw: a small one, and random legal ones with names as odd as people make them."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import attrs
from hypothesis import strategies as st

from nodeinit.fsm.definition import Definition, Edge, Guard, Phase, retries
from nodeinit.fsm.events import Event, Frame
from nodeinit.fsm.guards import attempts_left, ends_in, temporary
from nodeinit.fsm.snapshot import Snapshot

ODD_NAMES = (
    "end", "state", "class", "note", "default", "direction TB", "s1", "phases", "root_start",
    'quoted "name"', "<b>bold</b>", "a|b", "a\\|b", "`tick`", "line\nbreak", "#35;", "ﬂ°°60¶ß",
    "constructor", "__proto__", "🙂", "👩‍👩‍👧", "\ud800", "\u202eright to left", "x" * 60, "", " ",
    " edges ", "a  b", "-->", "%% comment", "%%{init: {}}%%", "; x --> y", "a;b-c:d", "1. list",
    "- list", "$$x$$", "fa:fa-car", "[*]", "<<fork>>", "naïve", "состояние", "{", "}", "a, b",
    "_private_", "end note", "::: x", "<!-- end -->", "```", "---", "&lt;", "www.example.com",
)  # fmt: skip


async def work(ctx: Any, run: Any) -> Any:
    """The activity of every phase here; nothing is run."""
    return ctx


async def give_back(held: Any, cluster: Any) -> None:
    """The undo of everything here."""


def next_plan(snapshot: Snapshot, _occurred: Any) -> Snapshot:
    return snapshot


def passing(name: str) -> Guard:
    return Guard(name, lambda *_: None)


def way_out(*phases: str) -> tuple[Edge, ...]:
    """The edges that every legal machine needs in some form."""
    inside = (Frame.IDLE, *phases, Frame.READY)
    return (
        Edge(inside, (Event.ERRORED, Event.CANCEL), Frame.RELEASING),
        Edge(phases, Event.ELAPSED, Frame.RELEASING),
        Edge(Frame.READY, Event.RELEASE, Frame.RELEASING),
        Edge(Frame.RELEASING, Event.UNDONE, Frame.FAILED, (ends_in(Frame.FAILED),), ("on_failed",),
             observes=True),
        Edge(Frame.RELEASING, Event.UNDONE, Frame.RELEASED),
    )  # fmt: skip


SMALL = Definition(
    name="small",
    phases=(
        Phase("fetch", work, summary="bring the\n  parts; all of them"),
        Phase("build", functools.partial(work, run=None), ("crane", "crew"), "put | together"),
    ),
    undo={"crane": give_back, "crew": give_back},
    host_hooks=("on_site",),
    watch=work,
    edges=(
        Edge(Frame.IDLE, Event.START, "fetch", hooks=("on_start",)),
        Edge("fetch", Event.DONE, "build", hooks=("on_parts", "on_crew")),
        Edge("build", Event.DONE, Frame.READY, (passing("stands"), passing("is_safe"))),
        Edge("build", Event.DONE, "fetch", assign=next_plan),
        Edge(
            ("fetch", "build"),
            (Event.ERRORED, Event.ELAPSED),
            Frame.BACKOFF,
            (temporary, attempts_left),
        ),
        Edge(Frame.BACKOFF, Event.RETRY, "fetch", (retries("fetch"),)),
        Edge(Frame.BACKOFF, Event.RETRY, "build", (retries("build"),)),
        Edge(Frame.BACKOFF, Event.CANCEL, Frame.RELEASING),
        Edge(Frame.READY, Event.LOST, Frame.RELEASING),
        *way_out("fetch", "build"),
    ),
)

_names = st.sampled_from(ODD_NAMES) | st.text(max_size=60) | st.text("ab_", min_size=1, max_size=3)
_hooks = st.lists(_names.map("on_{}".format), max_size=2, unique=True).map(tuple)


def _guards(at_least: int) -> st.SearchStrategy[tuple[Guard, ...]]:
    names = st.lists(_names, min_size=at_least, max_size=2, unique=True)
    return names.map(lambda drawn: tuple(passing(name) for name in drawn))


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Any legal machine: phases in a row, detours before the edges that every machine needs."""
    phases = draw(
        st.lists(
            _names.filter(lambda n: n and n not in set(Frame)), min_size=1, max_size=4, unique=True
        )
    )
    kinds = draw(st.lists(_names, max_size=2, unique=True))
    row = [Frame.IDLE, *phases, Frame.READY]
    edges = [Edge(Frame.IDLE, Event.START, phases[0], hooks=draw(_hooks))]
    edges += [draw(_detour(phases)) for _ in range(draw(st.integers(0, 4)))]
    for source, target in itertools.pairwise(row[1:]):
        guards = draw(_guards(0))
        edges.append(Edge(source, Event.DONE, target, guards, draw(_hooks)))
        if guards:
            edges.append(Edge(source, Event.DONE, draw(st.sampled_from(phases))))
    if any(edge.target == Frame.BACKOFF for edge in edges):
        edges += [Edge(Frame.BACKOFF, Event.RETRY, p, (retries(p),)) for p in phases]
        edges.append(Edge(Frame.BACKOFF, Event.CANCEL, Frame.RELEASING))
    return Definition(
        name=draw(_names),
        phases=tuple(
            Phase(phase, work, tuple(kinds) if draw(st.booleans()) else (), draw(_names))
            for phase in phases
        ),
        edges=(*edges, *way_out(*phases)),
        undo=dict.fromkeys(kinds, give_back),
        host_hooks=draw(_hooks),
        watch=None,
    )


@st.composite
def _detour(draw: st.DrawFn, phases: list[str]) -> Edge:
    """A guarded edge, perhaps out of every phase, perhaps back to where it came from."""
    sources = draw(st.lists(st.sampled_from(phases), min_size=1, unique=True) | st.just(phases))
    events = draw(
        st.lists(
            st.sampled_from([Event.DONE, Event.ERRORED, Event.ELAPSED, Event.DISPLACED]),
            min_size=1,
            max_size=2,
            unique=True,
        )
    )
    target = draw(st.sampled_from([*phases, Frame.BACKOFF, Frame.RELEASING]))
    guards = draw(_guards(1))
    return Edge(tuple(sources), tuple(events), target, guards, draw(_hooks))


@st.composite
def large(draw: st.DrawFn) -> Definition:
    """Any legal machine of up to twelve phases, with detours within detours, and ends of all kinds.

    Names are plain, so that a drawing of one is about its arrows.
    """
    count = draw(st.integers(1, 12))
    phases = [f"phase_{chr(97 + n)}" for n in range(count)]
    guard = st.sampled_from([(), (passing("is_small"),), (passing("is_good"), passing("is_here"))])
    hook = st.sampled_from([(), ("on_way",), ("on_way", "on_the_other_way")])
    states = [*phases, Frame.READY, Frame.BACKOFF, Frame.RELEASING]
    edges = [Edge(Frame.IDLE, Event.START, phases[0], hooks=draw(hook))]
    for _ in range(draw(st.integers(0, 10))):  # inner ones over outer ones, there and back
        one, two = draw(st.sampled_from([*phases, Frame.READY])), draw(st.sampled_from(states))
        event = draw(st.sampled_from([Event.DISPLACED, Event.LOST, Event.ERRORED, Event.ELAPSED]))
        if (one, two) != (Frame.READY, Frame.BACKOFF):  # there would be nothing to try again
            edges.append(Edge(one, event, two, (passing("may"), *draw(guard)), draw(hook)))
    if draw(st.booleans()):
        every = (Event.ERRORED, Event.ELAPSED)
        edges.append(Edge(phases, every, Frame.BACKOFF, (temporary, attempts_left)))
    for source, target in itertools.pairwise([*phases, Frame.READY]):
        edges.append(Edge(source, Event.DONE, target, hooks=draw(hook)))
    if any(edge.target == Frame.BACKOFF for edge in edges):
        edges += [Edge(Frame.BACKOFF, Event.RETRY, phase, (retries(phase),)) for phase in phases]
        edges.append(Edge(Frame.BACKOFF, (Event.CANCEL, Event.ERRORED), Frame.RELEASING))
    edges.append(Edge((*phases, Frame.READY), (Event.DISPLACED, Event.LOST), Frame.RELEASING))
    edges.append(Edge(Frame.READY, Event.ELAPSED, Frame.RELEASING))
    finals = [f for f in (Frame.CANCELLED,) if draw(st.booleans())]
    ends = [Edge(Frame.RELEASING, Event.UNDONE, f, (ends_in(f),), draw(hook)) for f in finals]
    edges += [attrs.evolve(edge, observes=bool(edge.hooks)) for edge in ends]
    kinds = draw(st.lists(st.sampled_from(["lock", "group"]), unique=True))
    return Definition(
        name="large",
        phases=tuple(Phase(p, work, tuple(kinds), f"does what {p} does") for p in phases),
        edges=(*edges, *way_out(*phases)),
        undo=dict.fromkeys(kinds, give_back),
        watch=work if draw(st.booleans()) else None,
    )
