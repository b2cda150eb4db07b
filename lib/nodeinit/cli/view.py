"""What a run shows while it is under way; see `lines_view` and `live_view` for the two ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nodeinit.cli.consoles import console
from nodeinit.cli.errors import ExitCode
from nodeinit.cli.outcome import Outcome
from nodeinit.cli.summary import print_end
from nodeinit.clusters.base import Progress
from nodeinit.fsm.snapshot import Step
from nodeinit.placement.topology import ClusterSnapshot

if TYPE_CHECKING:
    from nodeinit.diagram.live import LivePage
    from nodeinit.node.initializer import NodeInitializer


class View:
    """Shows nothing: what `--quiet` gets, and what the others add to."""

    def __init__(self) -> None:
        self.node: NodeInitializer | None = None
        self.page: LivePage | None = None
        self._holding = False
        self._ended = False

    def say(self, text: str) -> None:
        """Say something in a line of its own."""

    def step(self, step: Step) -> None:
        """A step was committed."""

    def progress(self, progress: Progress) -> None:
        """A host got further."""

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Say what is being waited for, until the end of the block."""
        self.say(text)
        yield

    def ready(self, node: NodeInitializer, *, hold: bool) -> None:
        """The node is ready, and is held now if `hold`."""
        self._holding = hold

    @contextmanager
    def shown(self, node: NodeInitializer, cluster: ClusterSnapshot) -> Iterator[None]:
        """Whatever has to be there while a node is watched."""
        yield

    @contextmanager
    def watching(self, node: NodeInitializer, cluster: ClusterSnapshot) -> Iterator[None]:
        """Show a node that is about to begin, until the end of the block."""
        self.node = node

        # Coroutines, so that they are called in the loop's thread and not beside it.
        async def on_step(step: Step) -> None:
            if self.page is not None:
                self.page.touch()
            self.step(step)

        async def on_progress(progress: Any) -> None:
            if self.page is not None:
                self.page.touch()
            if isinstance(progress, Progress):
                self.progress(progress)

        node.subscribe(on_step)
        node.subscribe_progress(on_progress)
        with self.shown(node, cluster):
            yield

    def ended(self, outcome: Outcome) -> None:
        """The node has ended. What went wrong is always told, and on stderr."""
        self._ended = True
        if outcome.exit_code is not ExitCode.READY:
            print_end(console(stderr=True), outcome)

    def interrupted(self, count: int) -> None:
        """Somebody wants to stop, for the `count`-th time."""
        if self._ended:
            self.say("interrupted: stopping already")
        elif self.node is None:
            again = "still waiting for Ray to answer, which cannot be cut short"
            self.say(again if count > 1 else "interrupted: stopping as soon as Ray has answered")
        elif count > 1:
            self.say(f"still giving back what is held, which takes {self._bound()} s at most")
        elif self._holding:
            self.say("interrupted: releasing the node")
        else:
            self.say("interrupted: cancelling, and giving back what is held")

    def _bound(self) -> int:
        """How long the release may take, in seconds."""
        assert self.node is not None
        policy, held = self.node.policy, len(self.node.snapshot.held)
        return round(policy.grace + held * policy.undo_attempts * policy.undo_deadline)
