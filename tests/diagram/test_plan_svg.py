"""The drawing of a plan: well-formed, in its place, complete, and the same every time."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeinit.diagram.plan import Planned, plan_svg
from nodeinit.diagram.plan.text import fitted, shown, width, wrapped
from nodeinit.diagram.sheets import SIZES
from nodeinit.placement.batch import plan_all
from nodeinit.placement.replicas import Replica
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import UNIT, Bundle, ClusterSnapshot, Group, PlacementPlan
from tests.diagram.drawn import Area, Drawn
from tests.strategies import group, host, mixed_requests, requests, snapshots

RUNS = int(os.environ.get("NODEINIT_RUNS", "25"))
WIDTHS = (200, 480, 900, 1200, 2000)
HOSTILE = (
    "<script>alert('x')</script>",
    "]]>&amp;\"'&lt;",
    "a\x00b\x1b[31m\n\tc\u202e\ud800\ufffe",
    "名前" * 60,
    "W" * 300,
    "",
    "🧑‍🚀" * 40,
    "e" + "\u0301" * 500,
)


def planned(snapshot: ClusterSnapshot, *named: tuple[str, int, PlacementRequest]) -> Planned:
    replicas = [Replica(name, i, r) for name, count, r in named for i in range(1, count + 1)]
    found = plan_all([(replica.name, replica.request) for replica in replicas], snapshot)
    return Planned(snapshot, tuple(zip(replicas, (answer for _, answer in found), strict=True)))


def drawn(plan: Planned, page: float = 1200) -> Drawn:
    found = Drawn.of(plan_svg(plan, width=page))
    check_geometry(found)
    return found


def check_geometry(found: Drawn) -> None:
    """Everything is on the page and in its box, and nothing lies on anything else."""
    for each in found.root.everything():
        parts = [*each.texts, *each.paths, *(g.box for g in each.groups if g.box)]
        within = found.page if each is found.root or each.box is None else each.box
        # The line around a tensor-parallel group is wider than its cells, not than its host.
        for part in parts:
            assert within.holds(part), (each.kind, part)
        check_apart([*each.texts, *(g.box for g in each.groups if g.box)])
    free_texts = [t for g in found.root.everything() if g.box is None for t in g.texts]
    check_apart([*free_texts, *(g.box for g in found.groups("host") + found.groups("reasons"))])


def check_apart(areas: Sequence[Area | None]) -> None:
    ordered = sorted((a for a in areas if a is not None), key=lambda a: a.top)
    for i, one in enumerate(ordered):
        for other in ordered[i + 1 :]:
            if other.top >= one.bottom:
                break
            assert not one.meets(other), (one, other)


def bundles_of(plan: Planned) -> Counter[str]:
    """Every bundle that is planned, and how many cells it has: one for each device, or a pill."""
    found: Counter[str] = Counter()
    for letter, _, answer in plan.placed:
        for index, bundle in enumerate(answer.bundles):
            share = bundle.gpu or int(bundle.resources.get("TPU", 0))
            found[f"{letter}:{index}"] += max(1, -(-share // UNIT))
    return found


def bundles_in(found: Drawn) -> Counter[str]:
    return Counter(b for g in found.root.everything() for b in g.data.get("bundle", "").split())


@st.composite
def plans(draw: st.DrawFn) -> Planned:
    batch = draw(st.lists(requests() | mixed_requests(), min_size=0, max_size=4))
    names = draw(st.lists(st.sampled_from(["m", "org/model", *HOSTILE]), min_size=4, max_size=4))
    snapshot = draw(snapshots())
    if draw(st.booleans()):
        called = draw(st.lists(st.sampled_from(HOSTILE), min_size=5, max_size=5))
        pairs = zip(snapshot.hosts, called, strict=False)
        hosts = tuple(attrs.evolve(h, name=name, labels={"zone": name}) for h, name in pairs)
        groups = tuple(attrs.evolve(g, name=called[0]) for g in snapshot.groups)
        snapshot = ClusterSnapshot(hosts, groups)
    return planned(snapshot, *((n, 1, r) for n, r in zip(names, batch, strict=False)))


@settings(max_examples=RUNS, deadline=None)
@given(plans(), st.sampled_from(WIDTHS))
def test_any_plan_is_drawn_whole_and_in_its_place(plan: Planned, page: float) -> None:
    text = plan_svg(plan, width=page)
    assert text == plan_svg(plan, width=page)
    found = Drawn.of(text)
    check_geometry(found)
    assert bundles_in(found) == bundles_of(plan)
    assert {g.data["host"] for g in found.groups("host")} == {
        h.node_id for h in plan.snapshot.hosts
    }
    # Host by host, so that no bundle is drawn where it does not go.
    for each in found.groups("host"):
        here = {b for g in each.everything() for b in g.data.get("bundle", "").split()}
        assert here == {
            f"{letter}:{index}"
            for letter, _, answer in plan.placed
            for index, node_id in enumerate(answer.node_ids)
            if node_id == each.data["host"]
        }
    assert bool(found.groups("reasons")) == bool(plan.refused)


THREE = ClusterSnapshot(
    (
        host("gpu-1", 8, 6, kind="H100"),
        host("gpu-2", 8, kind="H100"),
        host("l4-1", 4, 3.5, kind="L4"),
        host("head", 0),
        host("gone", 8, alive=False, kind="H100"),
    ),
    (group("llm-a", "gpu-1", [1.0, 1.0]),),
)
MODELS = (
    ("tiny", 2, PlacementRequest.of(gpu=0.3)),
    ("big", 2, PlacementRequest.of(2, 2, cpu=2, engine={"CPU": 1})),
    ("huge", 1, PlacementRequest.of(8, 2)),
    ("embed", 1, PlacementRequest.of(1, 3, gpu=0, cpu=1)),
)


def test_all_that_there_is_to_see() -> None:
    plan = planned(THREE, *MODELS)
    found = drawn(plan)
    assert found.title == "Placement of 6 replicas on 5 hosts"
    assert found.desc.split("\n")[0] == "5 of 6 fit."
    assert "huge#1 does not fit: needs 2 times 8 GPUs free" in found.desc
    texts = [t.what for g in found.root.everything() for t in g.texts]
    for told in ("5 of 6 fit.", "H100 · 3 hosts, 24 GPUs", "L4 · one host, 4 GPUs", "other hosts"):
        assert any(text.startswith(told) for text in texts), told
    by_host = {g.data["host"]: g for g in found.groups("host")}
    assert "dead" in by_host["gone"].kind.split()
    assert len(by_host["gone"].paths) == 2  # crossed out
    assert [t.what for t in by_host["gone"].texts] == ["host-gone", "not alive"]
    assert [g.title.split("\n")[0] for g in by_host["gpu-1"].everything() if g.kind == "other"] == [
        "GPU 1 taken by group 'llm-a'"
    ] * 2
    trays = [g for g in found.groups("tp") if g.data["group"].startswith("C")]
    assert [[b for g in t.everything() for b in [g.data.get("bundle")] if b] for t in trays] == [
        ["C:0", "C:1"],
        ["C:2", "C:3"],
    ]
    cells = {g.data["bundle"]: g for g in found.groups("ours") if "bundle" in g.data}
    assert [t.what for t in cells["C:3"].texts] == ["C3", "p1"]
    assert cells["C:3"].title.split("\n") == [
        "C3: worker of rank 3 of big#1, in bundle 3",
        "tensor-parallel group 1, 2 of 2 in it",
        "pipeline stage 1, of 2 from 0",
        "CPU 2, GPU 1",
        f"host host-{plan.placed[2][2].node_ids[3]}",
    ]
    # The engine's bundle has its corner, and says so; the fraction takes its part of a cell.
    assert {b for b, g in cells.items() if g.paths} == {"A:0", "B:0", "C:0", "D:0"}
    assert "here runs the engine" in cells["A:0"].title
    heights = [cells[b].box.bottom - cells[b].box.top for b in ("A:0", "C:0")]
    assert heights[0] == pytest.approx(0.3 * heights[1], abs=0.2)
    pills = found.groups("pill")
    assert [g.data["bundle"] for g in pills] == ["E:0", "E:1", "E:2"]
    (why,) = found.groups("reasons")
    told = " ".join(t.what for t in why.texts)
    assert told.startswith("huge#1 does not fit needs 2 times 8 GPUs free")
    assert all(why.box.left > g.box.right for g in found.groups("host"))
    narrow = drawn(plan, 480)
    (why,) = narrow.groups("reasons")
    assert all(why.box.top > g.box.bottom for g in narrow.groups("host"))


def test_both_themes_have_every_colour_and_nothing_leaks_into_a_page() -> None:
    style = drawn(planned(THREE, *MODELS)).style
    light, dark = style.split("@media (prefers-color-scheme:dark){")
    coloured = {line.split("{")[0] for line in light.split("\n") if "#" in line}
    assert coloured == {line.split("{")[0] for line in dark.split("\n") if "#" in line}
    selectors = [
        s
        for line in (light + dark).split("\n")
        if "{" in line
        for s in line.split("{")[0].split(",")
    ]
    assert all(selector.startswith(".nodeinit-plan ") for selector in selectors)
    assert not re.search(r'\sid="|url\(|<script|href', plan_svg(planned(THREE, *MODELS)))


def test_hosts_are_grouped_by_the_label_that_a_model_asks_for() -> None:
    hosts = [host(f"{zone}{i}", 2, zone=zone) for zone in ("a", "b") for i in range(2)]
    request = PlacementRequest.of(2, labels={"zone": "b"})
    found = drawn(planned(ClusterSnapshot(tuple(hosts)), ("m", 1, request)))
    texts = [t.what for t in found.root.texts]
    assert [t for t in texts if t.startswith("zone")] == [
        "zone=b · 2 hosts, 4 GPUs",
        "zone=a · 2 hosts, 4 GPUs",
    ]


def test_every_data_parallel_rank_has_its_stages_and_its_engine() -> None:
    request = PlacementRequest.of(2, 2, data_parallel_size=2)
    found = drawn(planned(ClusterSnapshot((host("a", 8),)), ("m", 1, request)))
    cells = [g for g in found.groups("ours") if "bundle" in g.data]
    assert [g.texts[1].what for g in cells] == ["p0", "p0", "p1", "p1"] * 2
    assert [g.data["bundle"] for g in cells if g.paths] == ["A:0", "A:4"]
    assert [g.data["group"] for g in found.groups("tp")] == ["A:0", "A:1", "A:2", "A:3"]


def test_a_host_of_chips() -> None:
    tpu = attrs.evolve(host("t", 0), total={"TPU": 4 * UNIT, "CPU": UNIT})
    tpu = attrs.evolve(tpu, available=tpu.total)
    request = PlacementRequest((Bundle.of(TPU=3),))
    answer = PlacementPlan(request.bundles, ("t",))
    plan = Planned(ClusterSnapshot((tpu,)), ((Replica("m", 1, request), answer),))
    found = drawn(plan)
    assert bundles_in(found) == {"A:0": 3}
    assert any(t.what == "1 of 4 free" for g in found.groups("host") for t in g.texts)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_people_call_things_is_escaped_and_cut(text: str) -> None:
    named: dict[str, Any] = {"name": text, "labels": {"zone": text}}
    hosts = (attrs.evolve(host("a", 2, 1), **named), attrs.evolve(host("b", 0), **named))
    groups = (Group(text or "g", text, "CREATED", (Bundle.of(GPU=1),), "PACK", ("a",)),)
    models = ((text, 1, PlacementRequest.of()), (text, 1, PlacementRequest.of(9)))
    for page in WIDTHS:
        drawn(planned(ClusterSnapshot(hosts, groups), *models), page)


@pytest.mark.parametrize("count", [0, 1, 3, 64, 1000, 1150])
def test_however_many_hosts(count: int) -> None:
    hosts = [host(f"n{i}", 8, kind="H100", alive=i % 100 != 7) for i in range(count)]
    models = [("m", 16, PlacementRequest.of(4)), ("n", count // 10, PlacementRequest.of(8))]
    plan = planned(ClusterSnapshot(tuple(hosts)), *models)
    found = drawn(plan)
    full, small = found.groups("host"), found.groups("small")
    texts = [t.what for t in found.root.texts]
    assert len(full) <= 64
    assert len(full) + len(small) == min(count, 64 + 1024, len(full) + 1024)
    if count <= 24:
        assert len(full) == count
    left_out = count - len(full) - len(small)
    assert any(t.startswith(f"and {left_out} more hosts") for t in texts) == (left_out > 0)
    assert any(t.startswith(f"{len(small)} more host") for t in texts) == bool(small)
    assert bundles_in(found) == bundles_of(plan)
    assert len(plan_svg(plan)) < 1000 * (count + 30)


def test_very_many_bundles_without_a_device_are_drawn_as_one() -> None:
    request = PlacementRequest.of(1, 200, gpu=0, cpu=0.1)
    found = drawn(planned(ClusterSnapshot((host("a", 2),)), ("m", 1, request)))
    (pill,) = found.groups("pill")
    assert [t.what for t in pill.texts] == ["A0 … A199"]
    assert len(pill.data["bundle"].split()) == 200


def test_a_host_that_nobody_can_have_is_not_drawn_cell_by_cell() -> None:
    crowd = host("a", 1_000_000)
    plan = planned(ClusterSnapshot((crowd,)), ("m", 1, PlacementRequest.of(2)))
    found = drawn(plan)
    assert bundles_in(found) == {"A:0": 1, "A:1": 1}
    assert len(plan_svg(plan)) < 20_000


def test_a_cell_that_more_was_taken_of_than_it_has() -> None:
    """A cluster may report groups that cannot all be: they are drawn lower, not over each other."""
    groups = tuple(group(f"g{i}", "a", [0.7]) for i in range(3))
    found = drawn(planned(ClusterSnapshot((host("a", 1, 0),), groups)))
    assert len(found.groups("other")) == 3 + 3  # and in the legend


@settings(deadline=None)
@given(st.text(max_size=60), st.floats(8, 20), st.floats(20, 300))
def test_what_is_cut_or_broken_fits(text: str, size: float, room: float) -> None:
    assert width(fitted(text, size, room), size) <= max(room, width("…", size))
    lines = list(wrapped(text, size, room))
    assert "".join(lines).replace(" ", "") == "".join(map(shown, text.split())).replace(" ", "")
    assert all(width(line, size) <= room or len(line) == 1 for line in lines)


# What a browser takes for these, in thousandths of the size: DejaVu Sans and its bold, Liberation
# Sans (as wide as Arial) and its bold.
MEASURED = {
    "gpu-node-0017.internal": (11820, 13363, 10341, 11001),
    "meta-llama/Llama-3.1-70B-Instruct": (17542, 19706, 15395, 16283),
    "WWMM@%": (5653, 6198, 5458, 5418),
    "3.5 of 8 free": (6116, 6918, 5337, 5558),
    "Hj|fi.,:;r-()_[]{}!?'\"": (9014, 10369, 7307, 8157),
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ": (17472, 19627, 17613, 17889),
    "abcdefghijklmnopqrstuvwxyz": (14646, 16539, 12728, 14002),
    "0123456789+#*/<>=~^&$": (14480, 15279, 11397, 11567),
    "×·…→": (2994, 3056, 2862, 2862),
}


@pytest.mark.parametrize("text", MEASURED)
def test_no_common_font_is_wider_than_what_is_reckoned_with(text: str) -> None:
    regular, bold, other, other_bold = MEASURED[text]
    assert max(regular, other) <= width(text, 1000) <= 1.3 * max(regular, other)
    assert max(bold, other_bold) <= width(text, 1000, bold=True)


def test_sizes_are_those_of_the_style_sheet() -> None:
    style = drawn(planned(THREE)).style
    for kind, size in SIZES.items():
        assert f".{kind}{{font-size:{size:g}px" in style
