"""A run as one SVG: what it came to, and its pictures, one below the other."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

from nodeinit.diagram.plan.canvas import number
from nodeinit.diagram.plan.text import fitted, shown, wrapped
from nodeinit.diagram.run.headline import headline
from nodeinit.diagram.run.over import machine_of_run
from nodeinit.diagram.run.placed import placement_svg
from nodeinit.diagram.run.record import RunRecord
from nodeinit.diagram.run.style import PAGE
from nodeinit.diagram.run.timeline import timeline_svg
from nodeinit.diagram.sheets import FONT, SIZES

_NAMESPACE = "http://www.w3.org/2000/svg"
_MARGIN, _LINE, _MOST = 24.0, 24.0, 1500.0
_ROOT = "nodeinit-whole"  # its rules hold for its own children only, not within the pictures


def run_svg(run: RunRecord) -> str:
    """The text of the SVG: the same for the same run, well-formed, for light and dark."""
    machine = machine_of_run(run)
    width = max(_size(machine)[0], 900.0)
    beside = min(width, _MOST)
    pictures = [machine, timeline_svg(run, width=beside), placement_svg(run, width=beside)]
    top = headline(run)
    lines = list(wrapped(top.sentence, 18 * 1.13, width - 2 * _MARGIN))
    facts = fitted(
        " · ".join(f"{name} {value}" for name, value in top.facts), 11, width - 2 * _MARGIN
    )
    y = _MARGIN + _LINE * len(lines) + 24
    look = "bad" if top.look == "bad" else ""
    drawn = [
        f'<text x="{number(_MARGIN)}" y="{number(_MARGIN + 14 + n * _LINE)}" class="h1 {look}">'
        f"{escape(shown(line))}</text>"
        for n, line in enumerate(lines)
    ]
    drawn.append(
        f'<text x="{number(_MARGIN)}" y="{number(y - 14)}" class="note mute">{escape(facts)}</text>'
    )
    for picture in filter(None, pictures):
        drawn.append(_placed(picture, y))
        y += _size(picture)[1] + 8
    w, h = number(width), number(y)
    return "\n".join(
        [
            f'<svg xmlns="{_NAMESPACE}" class="{_ROOT}" viewBox="0 0 {w} {h}" width="{w}" '
            f'height="{h}" style="max-width:100%;height:auto" role="img">',
            f"<title>{escape(shown(f'{run.name or run.machine.name}: {top.state}'))}</title>",
            f"<desc>{escape(shown(top.sentence))}</desc>",
            f"<style>{_sheet()}</style>",
            f'<rect class="page" width="{w}" height="{h}"/>',
            *drawn,
            "</svg>\n",
        ]
    )


def _sheet() -> str:
    of = f".{_ROOT}>"
    sizes = "".join(
        f"{of}.{kind}{{font:{weight} {SIZES[kind]:g}px {FONT};white-space:pre}}"
        for kind, weight in (("h1", 600), ("note", 400))
    )

    def colours(theme: int) -> str:
        page, text, mute, bad = (PAGE[name][theme] for name in ("page", "text", "mute", "bad"))
        return (
            f"{of}.page{{fill:{page}}}{of}text{{fill:{text}}}"
            f"{of}.mute{{fill:{mute}}}{of}.bad{{fill:{bad}}}"
        )

    return f"{sizes}{colours(0)}@media (prefers-color-scheme:dark){{{colours(1)}}}"


def _size(picture: str) -> tuple[float, float]:
    found = re.match(r'<svg [^>]*?viewBox="0 0 ([\d.]+) ([\d.]+)"', picture)
    assert found is not None
    return float(found[1]), float(found[2])


def _placed(picture: str, y: float) -> str:
    """A picture within another one: at its place, and without what fits it to a page."""
    w, h = map(number, _size(picture))
    kind = re.search(r'class="([\w-]+)"', picture)
    assert kind is not None
    place = f'x="0" y="{number(y)}" width="{w}" height="{h}"'
    start = f'<svg class="{kind[1]}" {place} viewBox="0 0 {w} {h}">'
    return start + picture[picture.index(">") + 1 :].rstrip()
