"""Every error that nodeinit raises, in one place so that no import loop can form.

Two of them are the whole vocabulary of a hook or an activity that wants to say what should happen
next: `TemporaryError` (try again) and `PermanentError` (do not). Everything else tells a caller
what went wrong and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from nodeinit.fsm.events import Reason


class NodeInitError(Exception):
    """The root of all errors of nodeinit.

    All of them can be pickled, whatever their constructors take: they come back from other hosts.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from what the error carries, not by calling its constructor with its message."""
        return _restored, (type(self), self.args, self.__dict__)


class TemporaryError(NodeInitError):
    """Raised by a hook or an activity: this attempt failed, a later one may succeed.

    `delay` (seconds) overrides the policy's backoff when the source said how long to wait
    (`Retry-After`, for example).
    """

    def __init__(self, message: str, *, delay: float | None = None) -> None:
        super().__init__(message)
        self.delay = delay


class PermanentError(NodeInitError):
    """Raised by a hook or an activity: trying again cannot help."""


@attrs.frozen
class Fault:
    """One thing that is wrong in a user's input.

    `where` is the path of the key (`llm_configs[0].engine_kwargs.tensor_parallel_size`), `value`
    the offending value as the user wrote it, `problem` what is wrong with it, `remedy` what to
    write instead, `line` the 1-based line of the file, if it came from one.
    """

    where: str
    problem: str
    value: str | None = None
    remedy: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.where} (line {self.line})" if self.line is not None else self.where
        shown = f" = {self.value}" if self.value is not None else ""
        advice = f"; {self.remedy}" if self.remedy else ""
        return f"{place}{shown}: {self.problem}{advice}"


class ConfigError(NodeInitError):
    """A config, a command line or a callback specification cannot be used.

    All faults that were found are in `faults`, not only the first; `source` names the file.
    """

    def __init__(self, faults: Sequence[Fault] | Fault, *, source: str | None = None) -> None:
        self.faults = (faults,) if isinstance(faults, Fault) else tuple(faults)
        self.source = source
        head = source or "config"
        if len(self.faults) == 1:
            text = f"{head}: {self.faults[0]}"
        else:
            lines = "".join(f"\n  - {fault}" for fault in self.faults)
            text = f"{head}: {len(self.faults)} faults{lines}"
        super().__init__(text)


class HookError(PermanentError):
    """A hook broke its contract: it raised, hung, or answered what it may not.

    Names the `callback` (its class), the `hook`, and where it applies the `field` and the `rule`
    that was broken. `temporary` is set when the hook itself raised `TemporaryError`.
    """

    def __init__(
        self,
        callback: str,
        hook: str,
        rule: str,
        *,
        field: str | None = None,
        temporary: bool = False,
        delay: float | None = None,
    ) -> None:
        at = f"{callback}.{hook}"
        super().__init__(f"{at}: {rule}")
        self.callback = callback
        self.hook = hook
        self.field = field
        self.rule = rule
        self.temporary = temporary
        self.delay = delay


class FrozenContextError(AttributeError):
    """Somebody assigned to a field of a frozen context; the message says how to change it."""


class InfeasibleError(PermanentError):
    """No placement exists for the request on this cluster, however long one waits."""


class NoCapacityError(TemporaryError):
    """The request fits this cluster, but not what is free of it now."""


class DefinitionError(NodeInitError):
    """A machine's definition is not sound; `problems` lists every reason."""

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        self.name = name
        self.problems = tuple(problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"machine {name!r} is not sound:{lines}")


class JournalError(NodeInitError):
    """A journal cannot be read or does not belong to this machine."""


class InitializationFailed(NodeInitError):
    """The node ended in `failed`; `reason` says why, `journal` names the file with every step."""

    def __init__(self, reason: Reason, *, journal: str | None = None) -> None:
        self.reason = reason
        self.journal = journal
        where = f" (journal: {journal})" if journal else ""
        super().__init__(f"{reason}{where}")


class InitializationCancelled(InitializationFailed):
    """The node ended in `cancelled`: somebody asked for it."""


def _restored(
    kind: type[NodeInitError], args: tuple[Any, ...], state: dict[str, Any]
) -> NodeInitError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to a misspelt one, or `None` when nothing is close."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None
