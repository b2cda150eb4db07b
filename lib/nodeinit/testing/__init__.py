"""The test kit: property-test callbacks of your own, and run nodes in virtual time.

    from nodeinit.testing import check_callback

    def test_my_callback():
        check_callback(MyCallback)

It needs nothing but nodeinit itself: the extra `nodeinit[testing]` brings pytest and Hypothesis for
your own tests.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nodeinit.testing.check import CallbackFailed, Profile, check_callback
    from nodeinit.testing.mutating import MutationReport, mutate
    from nodeinit.testing.properties import Property, ensures, finally_
    from nodeinit.testing.replaying import replay
    from nodeinit.testing.report import CheckReport, Failure
    from nodeinit.testing.scenario import Act, Other, Scenario, SimFault

__all__ = [
    "Act",
    "CallbackFailed",
    "CheckReport",
    "Failure",
    "MutationReport",
    "Other",
    "Profile",
    "Property",
    "Scenario",
    "SimFault",
    "check_callback",
    "ensures",
    "finally_",
    "mutate",
    "replay",
]

_HOMES = {
    "check": ("CallbackFailed", "Profile", "check_callback"),
    "mutating.survivors": ("MutationReport", "mutate"),
    "properties": ("Property", "ensures", "finally_"),
    "replaying": ("replay",),
    "report": ("CheckReport", "Failure"),
    "scenario": ("Act", "Other", "Scenario", "SimFault"),
}
_MODULE_OF = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value
