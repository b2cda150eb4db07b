"""The formats that a report can be written in, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from nodeinit.diagram.writing import write_text
from nodeinit.errors import ConfigError, Fault, nearest
from nodeinit.testing.reporting.as_json import render_json
from nodeinit.testing.reporting.html import render_html
from nodeinit.testing.reporting.junit import render_junit
from nodeinit.testing.reporting.mermaid import render_mermaid
from nodeinit.testing.reporting.paste import name_of
from nodeinit.testing.reporting.pytest_file import render_pytest
from nodeinit.testing.reporting.text import report_text

if TYPE_CHECKING:
    from nodeinit.testing.report import CheckReport

Reporter: TypeAlias = "Callable[[CheckReport], dict[str, str]]"
"""Makes of a report files, by their names. The same report must give the same bytes."""

_reporters: dict[str, Reporter] = {
    "text": lambda report: {"report.txt": report_text(report) + "\n"},
    "json": lambda report: {"report.json": render_json(report)},
    "junit": lambda report: {"junit.xml": render_junit(report)},
    "html": lambda report: {"report.html": render_html(report)},
    "mermaid": render_mermaid,
    "pytest": lambda report: {f"{name_of(report.callback, 'laws')}.py": render_pytest(report)},
}


def formats() -> tuple[str, ...]:
    """The names of all formats, ours first."""
    return tuple(_reporters)


def register(format: str, reporter: Reporter) -> None:
    """Add a format of one's own. Raises `ValueError` for a name that is taken by another."""
    if _reporters.setdefault(format, reporter) is not reporter:
        raise ValueError(f"format {format!r} has a reporter already; choose another name")


def known(names: Sequence[str]) -> None:
    """Raises `ConfigError` for a format that there is not, with the nearest that there is."""
    for name in names:
        if name not in _reporters:
            hint = nearest(name, formats())
            remedy = f"did you mean {hint!r}?" if hint else f"known: {', '.join(formats())}"
            raise ConfigError(Fault("--report", "is not a format", repr(name), remedy))


def files(report: CheckReport, format: str) -> dict[str, str]:
    """The files of a report in a format, by their names. Raises `ConfigError` as `known` does."""
    known([format])
    return _reporters[format](report)


def render(report: CheckReport, format: str) -> str:
    """A report in a format, as one text. Raises `ConfigError` as `known` does."""
    return "\n".join(files(report, format).values())


def write(report: CheckReport, formats: Sequence[str], directory: Path | str) -> list[Path]:
    """Write a report in these formats, and say which files those are.

    Raises `ConfigError` for a format that there is not, and for what cannot be written.
    """
    known(formats)
    made = []
    for format in formats:
        for name, text in files(report, format).items():
            path = Path(directory) / name
            write_text(path, text)
            made.append(path)
    return made
