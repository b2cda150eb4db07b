"""Whether hosts that fetched one model really have one and the same."""

from __future__ import annotations

from collections.abc import Iterable

from nodeinit.context import NodeReport
from nodeinit.errors import PermanentError


def check_alike(reports: Iterable[NodeReport]) -> None:
    """Raise unless all hosts have the model at one path, and the same bytes of it.

    Where a source gives no sha256, each host believes what came first: two may have been given
    different bytes under one version. Trying again would only find what is published now.
    """
    firsts: dict[str, NodeReport] = {}
    path: NodeReport | None = None
    for report in reports:
        path = path or report
        if report.path != path.path:
            raise PermanentError(
                f"unsupported: the model is at {path.path} on host {path.node_id} and at "
                f"{report.path} on host {report.node_id}; use a store that has one path on all hosts"
            )
        if not report.digest:
            continue
        first = firsts.setdefault(report.mode, report)
        if report.digest != first.digest:
            raise PermanentError(
                f"corrupted: host {first.node_id} and host {report.node_id} have different bytes of "
                f"revision {report.revision} (sha256 {first.digest[:12]}… and "
                f"{report.digest[:12]}…); remove {report.path} on both, or use a source that gives "
                "checksums"
            )
