"""A real browser, with the fonts that are there: no text lies on another, or leaves its card.

Places are planned by estimates of how wide text is at most; here they are held against real glyphs.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nodeinit.diagram import to_svg
from nodeinit.diagram.diff import compare
from nodeinit.diagram.great import machine_svg
from nodeinit_machines.node_init import NODE_INIT
from tests.diagram.machines import SMALL
from tests.diagram.test_great import BACK, ODD

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
MEASURE = """
const boxes = nodes => nodes.map(n => [n.textContent, n.getBBox()]);
const found = [];
const texts = boxes([...document.querySelectorAll("svg text")]);
texts.forEach(([one, a], i) => texts.slice(i + 1).forEach(([two, b]) => {
  const w = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const h = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  if (w > 1 && h > 3) found.push([one, "lies on", two]);
}));
for (const card of document.querySelectorAll("g[data-state]")) {
  const box = card.querySelector("rect").getBBox();
  for (const [text, a] of boxes([...card.querySelectorAll("text")]))
    if (a.x < box.x || a.x + a.width > box.x + box.width) found.push([text, "leaves its card"]);
}
const said = document.createElement("pre");
said.id = "found";
said.textContent = JSON.stringify([texts.length, found]);
document.body.appendChild(said);
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]


@pytest.mark.parametrize("font", ["", "DejaVu Sans"])
@pytest.mark.parametrize(
    "svg",
    [
        pytest.param(to_svg(NODE_INIT), id="node_init"),
        pytest.param(to_svg(ODD), id="odd names"),
        pytest.param(to_svg(BACK), id="back"),
        pytest.param(machine_svg(compare(SMALL.to_dict(), BACK.to_dict())), id="compared"),
    ],
)
def test_no_text_lies_on_another_or_leaves_its_card(svg: str, font: str, tmp_path: Path) -> None:
    count, found = measured(svg, font, tmp_path)

    assert count == svg.count("<text ") and not found


def test_it_would_find_one_that_does(tmp_path: Path) -> None:
    worse = to_svg(SMALL).replace(">fetch<", f">{'fetch ' * 40}<")
    _, found = measured(worse, "", tmp_path)

    assert any(how == "leaves its card" for _, how, *_ in found)


def measured(svg: str, font: str, work: Path) -> tuple[int, list[list[str]]]:
    """How many texts there are, and which of them are where they should not be."""
    style = f"svg text{{font-family:'{font}'!important}}" if font else ""
    page = work / "page.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><style>{style}</style>"
        f"<body style='width:20000px'>{svg}<script>{MEASURE}</script>",
        "utf-8",
    )
    assert BROWSER is not None
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={work / 'profile'}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    said = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert said, done.stderr[-2000:]
    count, found = json.loads(html.unescape(said[1]))
    return count, found
