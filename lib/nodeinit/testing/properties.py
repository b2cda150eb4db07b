"""Properties of the author's own, checked in every run beside the laws that hold for everybody."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import attrs


@attrs.frozen
class Property:
    """What must hold after a hook (`hook`), or at the end of a run that got to a state (`state`).

    `check` raises when it does not hold (an `assert`, say). Its id is `prop:NAME`. With `sometimes`,
    a description, it has to be true at the end of one run at least, and its id is
    `sometimes:the-description`.
    """

    check: Callable[..., Any]
    hook: str | None = None
    state: str | None = None
    sometimes: str | None = None

    @property
    def id(self) -> str:
        """What reports and `expected_failures` call it."""
        if self.sometimes is not None:
            return "sometimes:" + re.sub(r"\W+", "-", self.sometimes).strip("-").lower()
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


def sometimes(what: str) -> Callable[[Callable[..., Any]], Property]:
    """`@sometimes("ready after a retry")`: must be true at the end of one run of a check at least.

    It is given `(ctx)` or `(ctx, trace)` and answers whether it happened. What never happens was
    never tested: a check that does not see it fails, or is inconclusive if it was cut short.
    """
    return lambda function: Property(function, sometimes=what)


def happened(found: Property, *arguments: Any) -> tuple[bool, str | None]:
    """Whether a `sometimes` is true of these arguments, and if it cannot be told, why not."""
    try:
        return bool(found.check(*_wanted(found, arguments))), None
    except AssertionError:
        return False, None
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"


def broken(found: Property, *arguments: Any) -> str | None:
    """How a property does not hold, given these arguments (as many as it takes)."""
    try:
        found.check(*_wanted(found, arguments))
    except Exception as error:
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return None


def _wanted(found: Property, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return arguments[: len(inspect.signature(found.check).parameters)]
