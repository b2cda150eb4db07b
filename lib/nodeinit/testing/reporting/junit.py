"""The report as JUnit XML, which every CI shows: one test case for each check."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from nodeinit.testing.checks import SET
from nodeinit.testing.reporting.words import law

if TYPE_CHECKING:
    from nodeinit.testing.report import CheckReport

# What XML cannot hold, not even as an entity.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(report: CheckReport) -> str:
    """A suite of the checks: failed, skipped (inconclusive or excluded), or passed."""
    verdicts = list(report.checks.values())
    counts = {
        "tests": str(len(verdicts)),
        "failures": str(verdicts.count("failed")),
        "errors": "0",
        "skipped": str(sum(verdict in ("inconclusive", "excluded") for verdict in verdicts)),
    }
    suites = ET.Element("testsuites", {"name": "nodeinit check", **counts})
    suite = ET.SubElement(suites, "testsuite", {"name": _clean(report.callback), **counts})
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("checks", SET),
        ("profile", report.profile),
        ("seed", report.seed),
        ("sequences", report.sequences),
        ("complete", str(report.complete).lower()),
    ):
        ET.SubElement(properties, "property", {"name": name, "value": _clean(str(value))})
    failures = {failure.check: failure for failure in report.failures}
    for check, verdict in report.checks.items():
        case = {"classname": _clean(report.callback), "name": _clean(f"{check}: {law(check)}")}
        element = ET.SubElement(suite, "testcase", case)
        if verdict == "failed":
            found = failures[check]
            message = _clean(found.message.split("\n", 1)[0])
            failed = ET.SubElement(element, "failure", {"message": message, "type": _clean(check)})
            failed.text = _clean(found.text(report.callback))
        elif verdict in ("inconclusive", "excluded"):
            ET.SubElement(element, "skipped", {"message": verdict})
    out = ET.SubElement(suite, "system-out")
    out.text = _clean("\n".join(note.strip() for note in report.notes))
    ET.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, "unicode") + "\n"


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
