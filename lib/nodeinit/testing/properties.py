"""Properties of the author's own, checked in every run beside the laws that hold for everybody."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import attrs


@attrs.frozen
class Property:
    """What must hold after a hook (`hook`), or at the end of a run that got to a state (`state`).

    `check` raises when it does not hold (an `assert`, say). Its id is `prop:NAME`.
    """

    check: Callable[..., Any]
    hook: str | None = None
    state: str | None = None

    @property
    def id(self) -> str:
        """What reports and `expected_failures` call it."""
        return f"prop:{getattr(self.check, '__name__', 'property')}"

    @property
    def home(self) -> str:
        """Where it can be imported from, as `module:name`."""
        return f"{self.check.__module__}:{self.check.__qualname__}"


def ensures(hook: str) -> Callable[[Callable[..., Any]], Property]:
    """`@ensures("on_before_download")`: after each return of a hook, given `(before, after)`."""
    return lambda function: Property(function, hook=hook)


def finally_(*, state: str) -> Callable[[Callable[..., Any]], Property]:
    """`@finally_(state="ready")`: whenever a run enters a state, given `(ctx)` or `(ctx, trace)`.

    `trace` is the `Trial` so far: its `states`, its `driver.steps`, its `cluster`.
    """
    return lambda function: Property(function, state=state)


def broken(found: Property, *arguments: Any) -> str | None:
    """How a property does not hold, given these arguments (as many as it takes)."""
    wanted = len(inspect.signature(found.check).parameters)
    try:
        found.check(*arguments[:wanted])
    except Exception as error:
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return None
