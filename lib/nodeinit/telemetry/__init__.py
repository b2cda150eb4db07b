"""What operators see of nodes: metrics, spans and structured logs, all taken from the same steps."""

from nodeinit.telemetry.logs import JsonFormatter
from nodeinit.telemetry.observing import observe

__all__ = ["JsonFormatter", "observe"]
