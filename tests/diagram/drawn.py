"""Reads a drawing of a plan back: its boxes, its texts and what lies in what."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import attrs

from nodeinit.diagram.plan.text import width

SVG = "{http://www.w3.org/2000/svg}"


@attrs.frozen
class Area:
    """What something takes of the page."""

    left: float
    top: float
    right: float
    bottom: float
    what: str = attrs.field(default="", eq=False)

    def holds(self, other: Area, by: float = 0.2) -> bool:
        return (
            self.left - by <= other.left
            and self.top - by <= other.top
            and other.right <= self.right + by
            and other.bottom <= self.bottom + by
        )

    def meets(self, other: Area, by: float = 0.2) -> bool:
        """Whether they have more than an edge in common."""
        return (
            min(self.right, other.right) - max(self.left, other.left) > by
            and min(self.bottom, other.bottom) - max(self.top, other.top) > by
        )


@attrs.frozen(eq=False)
class Group:
    """A `<g>`: its kind, its data, its first box, and what is in it."""

    kind: str
    data: dict[str, str]
    title: str
    box: Area | None
    texts: tuple[Area, ...]
    paths: tuple[Area, ...]
    groups: tuple[Group, ...]

    def everything(self) -> Iterator[Group]:
        yield self
        for group in self.groups:
            yield from group.everything()


@attrs.frozen
class Drawn:
    """A whole drawing."""

    page: Area
    root: Group
    title: str
    desc: str
    style: str

    @classmethod
    def of(cls, svg: str) -> Drawn:
        root = ET.fromstring(svg)
        assert root.tag == f"{SVG}svg"
        assert root.get("role") == "img"
        assert [child.tag for child in root][:3] == [
            f"{SVG}{n}" for n in ("title", "desc", "style")
        ]
        _, _, wide, high = map(float, root.get("viewBox", "").split())
        style = root[2].text or ""
        sizes = {m[1]: float(m[2]) for m in re.finditer(r"\.([\w-]+)\{font-size:([\d.]+)px", style)}
        bold = set(re.findall(r"\.([\w-]+)\{[^}]*font-weight:600", style))
        return cls(
            Area(0, 0, wide, high),
            _group(root, sizes, bold),
            root[0].text or "",
            root[1].text or "",
            style,
        )

    def groups(self, kind: str) -> list[Group]:
        return [g for g in self.root.everything() if kind in g.kind.split()]


def _group(element: ET.Element, sizes: dict[str, float], bold: set[str]) -> Group:
    known = {f"{SVG}{name}" for name in ("title", "desc", "style", "rect", "path", "text", "g")}
    assert {child.tag for child in element} <= known
    rects = [_rect(child) for child in element.findall(f"{SVG}rect")]
    return Group(
        element.get("class", ""),
        {name[5:]: value for name, value in element.items() if name.startswith("data-")},
        element.findtext(f"{SVG}title") or "",
        rects[0] if rects else None,
        tuple(_text(child, sizes, bold) for child in element.findall(f"{SVG}text")),
        tuple(_path(child) for child in element.findall(f"{SVG}path")),
        tuple(_group(child, sizes, bold) for child in element.findall(f"{SVG}g")),
    )


def _rect(element: ET.Element) -> Area:
    x, y = float(element.get("x", 0)), float(element.get("y", 0))
    wide, high = float(element.attrib["width"]), float(element.attrib["height"])
    assert wide > 0
    assert high > 0
    return Area(x, y, x + wide, y + high, element.get("class", ""))


def _text(element: ET.Element, sizes: dict[str, float], bold: set[str]) -> Area:
    (kind,) = [name for name in element.get("class", "").split() if name in sizes]
    size, text = sizes[kind], element.text or ""
    wide = width(text, size, bold=kind in bold)
    x, baseline = float(element.attrib["x"]), float(element.attrib["y"])
    left = x - {"start": 0, "middle": wide / 2, "end": wide}[element.get("text-anchor", "start")]
    return Area(left, baseline - 0.78 * size, left + wide, baseline + 0.22 * size, text)


def _path(element: ET.Element) -> Area:
    """The area of a path of the few steps that are used: M, L, h, v, l and z."""
    x = y = 0.0
    xs, ys = [], []
    for step, rest in re.findall(r"([MLhvlz])([^MLhvlz]*)", element.attrib["d"]):
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", rest)]
        if step in "ML":
            x, y = numbers
        elif step == "h":
            x += numbers[0]
        elif step == "v":
            y += numbers[0]
        elif step == "l":
            x, y = x + numbers[0], y + numbers[1]
        xs.append(x)
        ys.append(y)
    return Area(min(xs), min(ys), max(xs), max(ys), "path")
