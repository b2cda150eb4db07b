"""The report as one JSON object, for programs and for `nodeinit replay`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodeinit.testing.report import CheckReport


def render_json(report: CheckReport) -> str:
    """What `nodeinit check --json` prints."""
    return json.dumps(report.to_dict(), indent=2) + "\n"
