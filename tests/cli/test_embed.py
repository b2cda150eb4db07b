"""`nodeinit diagram --embed`: pages brought up to date, or only looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nodeinit.cli.main import cli

PLACE = "<!-- nodeinit diagram node_init mmd -->\n<!-- nodeinit end -->\n"
PICTURE = "<!-- nodeinit diagram node_init n.svg -->\n<!-- nodeinit end -->\n"


def diagram(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["diagram", *map(str, arguments)])


def test_it_writes_the_page_and_its_pictures_and_then_they_are_up_to_date(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PLACE + PICTURE)

    assert diagram("--embed", page, "--check").exit_code == 1
    assert page.read_text() == PLACE + PICTURE
    written = diagram("--embed", page)
    assert written.exit_code == 0 and f"wrote {page}\nwrote {tmp_path / 'n.svg'}" in written.stderr
    assert "stateDiagram-v2" in page.read_text()
    again = diagram("--embed", page, "--check")
    assert (again.exit_code, again.stderr) == (0, "up to date\n")

    (tmp_path / "n.svg").write_text("old")
    drifted = diagram("--embed", page, "--check")
    assert drifted.exit_code == 1 and f"{tmp_path / 'n.svg'} differs" in drifted.stderr


def test_a_fault_in_one_page_leaves_all_as_they_are(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text(PLACE)
    bad.write_text("nothing\n")
    refused = diagram("--embed", good, "--embed", bad)

    assert refused.exit_code == 2 and "bad.md: page: has no place" in refused.stderr
    assert good.read_text() == PLACE


@pytest.mark.parametrize("arguments", [["--check"], ["--embed", "not-there.md"]])
def test_bad_usage_is_told(arguments: list[str]) -> None:
    assert diagram(*arguments).exit_code == 2
