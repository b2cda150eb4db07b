"""The failures as a test file: each test fails while its law is broken, and pins it when mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodeinit.errors import ConfigError, Fault
from nodeinit.testing.reporting.paste import importable, imports
from nodeinit.testing.reporting.words import law

if TYPE_CHECKING:
    from nodeinit.testing.report import CheckReport


def render_pytest(report: CheckReport) -> str:
    """A module of tests. Raises `ConfigError` for a callback that no other module can import."""
    callback = report.callback
    if not importable(callback):
        remedy = "move the class to the top level of a module"
        raise ConfigError(Fault("callback", "cannot be imported by a test", callback, remedy))
    failures = tuple(failure for failure in report.failures if failure.events)
    lines = [f'"""Scenarios in which {callback} broke a law: found by `nodeinit check`."""', ""]
    if failures:
        lines += imports(failures, callback)
    else:
        lines.append("# There is nothing to reproduce.")
    for failure in failures:
        head, *body = failure.paste(callback)
        lines += ["", "", f"# {failure.check}: {law(failure.check)}.", head, *body]
    return "\n".join(lines) + "\n"
