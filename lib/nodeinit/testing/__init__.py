"""The test kit: property-test callbacks of your own, and run nodes in virtual time.

    from nodeinit.testing import check_callback

    def test_my_callback():
        check_callback(MyCallback)

That needs nothing but nodeinit itself. The extra `nodeinit[testing]` brings pytest, where
`callback_checks` makes a test of each check, and Hypothesis, for `machine_for` and
`nodeinit.testing.strategies`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nodeinit.testing.check import CallbackFailed, check_callback
    from nodeinit.testing.exploring import Exploration, explore
    from nodeinit.testing.items import callback_checks
    from nodeinit.testing.machine import machine_for
    from nodeinit.testing.mutating import MutationReport, mutate
    from nodeinit.testing.profiles import Profile
    from nodeinit.testing.properties import Property, ensures, finally_, sometimes
    from nodeinit.testing.replaying import replay
    from nodeinit.testing.report import CheckReport, Failure
    from nodeinit.testing.scenario import Act, Other, Scenario, SimFault
    from nodeinit.testing.single import run_scenario

__all__ = [
    "Act",
    "CallbackFailed",
    "CheckReport",
    "Exploration",
    "Failure",
    "MutationReport",
    "Other",
    "Profile",
    "Property",
    "Scenario",
    "SimFault",
    "callback_checks",
    "check_callback",
    "ensures",
    "explore",
    "finally_",
    "machine_for",
    "mutate",
    "replay",
    "run_scenario",
    "sometimes",
]

_HOMES = {
    "check": ("CallbackFailed", "check_callback"),
    "exploring": ("Exploration", "explore"),
    "items": ("callback_checks",),
    "machine": ("machine_for",),
    "mutating.survivors": ("MutationReport", "mutate"),
    "profiles": ("Profile",),
    "properties": ("Property", "ensures", "finally_", "sometimes"),
    "replaying": ("replay",),
    "report": ("CheckReport", "Failure"),
    "scenario": ("Act", "Other", "Scenario", "SimFault"),
    "single": ("run_scenario",),
}
_MODULE_OF = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value
