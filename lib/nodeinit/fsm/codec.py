"""How contexts get into a journal and back: a port, because the machine does not know its context."""

from __future__ import annotations

from typing import Any, Protocol


class Codec(Protocol):
    """Turns contexts into JSON and back.

    `load(dump(ctx))` and `apply(before, changes(before, after))` give contexts whose dump is equal,
    not always the same objects: a live handle comes back as a description of itself.
    """

    def dump(self, ctx: Any) -> dict[str, Any]:
        """A whole context as JSON."""
        ...

    def load(self, data: dict[str, Any]) -> Any:
        """The context of a dump."""
        ...

    def changes(self, before: Any, after: Any) -> dict[str, Any]:
        """The fields of `after` that differ from `before`, as JSON."""
        ...

    def apply(self, ctx: Any, changes: dict[str, Any]) -> Any:
        """`ctx` with these changes."""
        ...
