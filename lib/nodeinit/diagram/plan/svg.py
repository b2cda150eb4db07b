"""A plan as an SVG: hosts as boxes, devices as cells, and beside them what does not fit, and why."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from nodeinit.diagram.plan import legend, reasons
from nodeinit.diagram.plan.canvas import Box, Canvas, number
from nodeinit.diagram.plan.cells import Cells, count, device
from nodeinit.diagram.plan.hosts import Hosts
from nodeinit.diagram.plan.sections import Section, sections
from nodeinit.diagram.plan.style import ROOT, sheet
from nodeinit.diagram.plan.text import fitted, shown, wrapped
from nodeinit.diagram.plan.tips import Tips
from nodeinit.diagram.plan.words import head, outcome, refusals, several
from nodeinit.diagram.sheets import SIZES
from nodeinit.placement.planned import Planned
from nodeinit.placement.topology import amount

WIDTH = 1200.0
"""The pixels that a drawing is at most wide, unless said otherwise."""

_MARGIN, _APART, _LINE = 20.0, 12.0, 18.0
_SIDE, _NARROW, _LEAST = 380.0, 860.0, 520.0
_NAMESPACE = "http://www.w3.org/2000/svg"
_NOTE = "Cells are counts: Ray chooses which GPU of a host a bundle gets."


def plan_svg(planned: Planned, *, width: float = WIDTH, heading: str = "") -> str:
    """The text of an SVG of a plan: the same for the same plan, and for a light or a dark page.

    `width` is how many pixels it may take; explanations stand below the hosts where that is too
    little to have them beside. Of very many hosts only some are drawn with labels, and of still
    more only their number is told. The `heading` says what came of it, if it is more than a plan.
    """
    return _Drawing(planned, max(width, 320.0), heading).text()


class _Drawing:
    """One drawing while it is made, from top to bottom."""

    def __init__(self, planned: Planned, page: float, heading: str = "") -> None:
        self.planned = planned
        self.heading = heading
        self.cells = Cells(planned)
        self.sections = sections(planned, self.cells)
        self.full = [host for section in self.sections for host in section.full]
        self.tips = Tips.of(planned, self.cells)
        self.hosts = Hosts.of(self.tips, self.cells, self.full)
        self.canvas = Canvas()
        beside = bool(planned.refused) and page >= _NARROW
        room = page - 2 * _MARGIN - (_SIDE + _APART if beside else 0)
        # A host with many wide cells may need more than there is.
        self.room = max(min(room, max(_LEAST, self._widest(room))), self.hosts.width)
        self.beside = beside
        self.y = _MARGIN

    def text(self) -> str:
        """The whole of it."""
        self._header()
        top = self.y
        for section in self.sections:
            self._section(section)
        if not self.planned.snapshot.hosts:
            self._say("The cluster has no hosts.")
        if self.planned.refused and not self.beside:
            self.y = self._reasons(Box(_MARGIN, self.y, self.room, 0)) + _APART
        self._legend()
        wide, bottom = 2 * _MARGIN + self.room, self.y
        if self.planned.refused and self.beside:
            left = _MARGIN + self.room + _APART
            bottom = max(bottom, self._reasons(Box(left, top, _SIDE, 0)))
            wide += _APART + _SIDE
        return self._document(wide, bottom + _MARGIN)

    def _document(self, wide: float, high: float) -> str:
        size = f'width="{number(wide)}" height="{number(high)}"'
        view = f'viewBox="0 0 {number(wide)} {number(high)}"'
        rest = 'style="max-width:100%;height:auto" role="img"'
        desc = "\n".join(map(shown, self._description()))
        return "\n".join(
            [
                f'<svg xmlns="{_NAMESPACE}" class="{ROOT}" {size} {view} {rest}>',
                f"<title>{escape(shown(self._title()))}</title>",
                f"<desc>{escape(desc)}</desc>",
                f"<style>\n{sheet()}\n</style>",
                f'<rect class="page" width="{number(wide)}" height="{number(high)}"/>',
                str(self.canvas),
                "</svg>\n",
            ]
        )

    # -- words -----------------------------------------------------------------------------------

    def _title(self) -> str:
        hosts = several(len(self.planned.snapshot.hosts), "host")
        return f"Placement of {several(len(self.planned.answers), 'replica')} on {hosts}"

    def _description(self) -> Iterator[str]:
        yield self.heading or outcome(self.planned)
        placed = self.planned.placed
        yield from (f"{letter}, {r.name}: {head(p)}." for letter, r, p in placed[: legend.MOST])
        yield from (f"{which}: {why.reason}." for which, why in list(refusals(self.planned))[:6])

    def _header(self) -> None:
        kind = "good" if self.planned.feasible else "bad"
        kind = kind if self.planned.answers and not self.heading else ""
        self._say(self.heading or outcome(self.planned), f"h1 {kind}".strip(), _LINE + 8)
        self._say(self._balance())
        self.y += 4

    def _balance(self) -> str:
        """What there is, and what will be left of it."""
        hosts = self.planned.snapshot.hosts
        alive = [host for host in hosts if host.alive]
        parts = []
        for kind in sorted({device(host) for host in alive if count(host)}):
            having = [host for host in alive if device(host) == kind]
            total = sum(int(host.total.get(kind, 0)) for host in having)
            left = sum(self.cells.left(host) for host in having)
            taken = total - sum(host.free(kind) for host in having)
            planned = total - taken - left
            told = f"{amount(planned):g} planned, {amount(taken):g} taken, {amount(left):g} free"
            parts.append(f"{amount(total):g} {kind}s: {told}")
        dead = len(hosts) - len(alive)
        parts += [f"{several(dead, 'host')} not alive"] if dead else []
        return " · ".join([several(len(hosts), "host"), *parts])

    def _say(self, text: str, kind: str = "note mute", high: float = _LINE) -> None:
        size, bold = SIZES[kind.split()[0]], kind.startswith("h")
        for line in wrapped(text, size * (1.13 if bold else 1), self.room):
            self.canvas.text(_MARGIN, self.y, line, kind)
            self.y += high

    # -- hosts -----------------------------------------------------------------------------------

    def _widest(self, room: float) -> float:
        """How much of the room the hosts take."""
        most = max((len(section.full) for section in self.sections), default=0)
        across = min(most, self._across(self.hosts.width, room))
        full = across * (self.hosts.width + _APART) - _APART
        return room if any(section.small for section in self.sections) else full

    def _across(self, wide: float, room: float, apart: float = _APART) -> int:
        return max(1, int((room + apart) // (wide + apart)))

    def _section(self, section: Section) -> None:
        if len(self.sections) > 1:
            heading = fitted(section.heading, SIZES["h2"], self.room, bold=True)
            self.canvas.text(_MARGIN, self.y + 4, heading, "h2")
            self.y += 26
        across = self._across(self.hosts.width, self.room)
        for start in range(0, len(section.full), across):
            row = section.full[start : start + across]
            high = max(map(self.hosts.height, row))
            for i, host in enumerate(row):
                x = _MARGIN + i * (self.hosts.width + _APART)
                self.hosts.draw(self.canvas, host, Box(x, self.y, self.hosts.width, high))
            self.y += high + _APART
        if section.small:
            self._small(section)
        if section.left_out:
            used = sum(map(self.cells.used, section.left_out))
            what = (
                f"{used} with something planned on them" if used else "with nothing planned on them"
            )
            self._say(f"and {several(len(section.left_out), 'more host')}, {what}")
            self.y += 6

    def _small(self, section: Section) -> None:
        more = "more host" if section.full else "host"
        used = sum(map(self.cells.used, section.small))
        what = f"{used} of them with something planned" if used else "with nothing planned on them"
        self._say(f"{several(len(section.small), more)}, {what}, a square for each device:")
        wide, high = self.hosts.small_size(section.small)
        across = self._across(wide, self.room, 4)
        for i, host in enumerate(section.small):
            row, column = divmod(i, across)
            place = Box(_MARGIN + column * (wide + 4), self.y + row * (high + 4), wide, high)
            self.hosts.draw_small(self.canvas, host, place)
        self.y += -(-len(section.small) // across) * (high + 4) + _APART

    # -- around ----------------------------------------------------------------------------------

    def _reasons(self, box: Box) -> float:
        """Draw the explanations from the top of a box on, and say where they end."""
        found = reasons.lines(self.planned, box)
        high = reasons.height(found, box)
        reasons.draw(self.canvas, found, Box(box.x, box.y, box.w, high))
        return box.y + high

    def _legend(self) -> None:
        found = legend.entries(self.planned, self.cells, self.full)
        if not found:
            return
        self.y += 6
        box = Box(_MARGIN, self.y, self.room, legend.height(found, self.room))
        legend.draw(self.canvas, found, box)
        self.y += box.h + 2
        if any(self.cells.devices(host) for host in self.full):
            self._say(_NOTE)
