"""What is known of one run, from its journal or from the node itself: all that is drawn of it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from nodeinit.fsm.events import FINALS
from nodeinit.fsm.explain import explain
from nodeinit.fsm.journal import Note, load_policy
from nodeinit.fsm.policy import Policy
from nodeinit.fsm.replay import Replay
from nodeinit.fsm.snapshot import Snapshot, Step

if TYPE_CHECKING:
    from nodeinit.fsm.definition import Definition


@attrs.frozen(slots=False)
class RunRecord:
    """One run as it is known at one moment.

    `now` is that moment in seconds since the run's start; where it is `None`, the last thing that
    was seen. `began` is when the run did, on the wall's clock, `source` where all this was read.
    `left` says that nobody runs it any more though it came to no end.
    """

    machine: Definition
    policy: Policy
    steps: Sequence[Step]
    notes: Sequence[Note] = ()
    name: str = ""
    began: datetime | None = None
    source: str = ""
    now: float | None = None
    torn: bool = False
    left: bool = False

    @classmethod
    def of(cls, machine: Definition, found: Replay, **more: Any) -> RunRecord:
        """The run that a journal tells of; `more` are fields that it does not tell."""
        header = found.header
        return cls(
            machine=machine,
            policy=load_policy(header["policy"]),
            steps=found.steps,
            notes=found.notes,
            name=str(header.get("node", "")),
            began=_moment(header.get("began")),
            source=found.path,
            torn=found.torn,
            **more,
        )

    @property
    def snapshot(self) -> Snapshot:
        """Where the machine stands; before the first step without a context."""
        return self.steps[-1].after if self.steps else Snapshot(self.machine.initial, None)

    @property
    def state(self) -> str:
        """The state that it is in."""
        return self.snapshot.state

    @property
    def over(self) -> bool:
        """Whether it has come to its end."""
        return self.state in FINALS

    @property
    def ctx(self) -> Any:
        """The context as it was last, `None` before the first step."""
        return self.snapshot.ctx

    @functools.cached_property
    def until(self) -> float:
        """Up to when it is drawn, in seconds since its start."""
        last = self.steps[-1].at if self.steps else 0.0
        if self.over:
            return last
        noted = self.notes[-1].at if self.notes else 0.0
        return max(last, noted, self.now or 0.0)

    def explain(self) -> str:
        """One sentence: where the node is and why it is not further."""
        return explain(self.steps, self.policy)

    def to_svg(self) -> str:
        """The run as one picture: the machine with what it did, its timeline, its placement."""
        from nodeinit.diagram.run.whole import run_svg

        return run_svg(self)

    def to_html(self) -> str:
        """The run as a page that needs nothing else."""
        from nodeinit.diagram.run.pages import run_html

        return run_html(self)

    def to_markdown(self) -> str:
        """The run as Markdown, for a comment or an issue."""
        from nodeinit.diagram.run.markdown import run_markdown

        return run_markdown(self)

    def _repr_html_(self) -> str:
        from nodeinit.diagram.run.pages import run_fragment

        return run_fragment(self)


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
