"""What a run came to, in a sentence and a few facts: what stands at the top of every view."""

from __future__ import annotations

import textwrap

import attrs

from nodeinit.amounts import grouped, seconds
from nodeinit.diagram.run.progress import Together, progress_of
from nodeinit.diagram.run.record import RunRecord
from nodeinit.fsm.events import Frame

_LOOKS = {
    Frame.READY: "good",
    Frame.RELEASED: "good",
    Frame.FAILED: "bad",
    Frame.CANCELLED: "warn",
    Frame.BACKOFF: "warn",
    Frame.RELEASING: "warn",
}


@attrs.frozen
class Headline:
    """The sentence, what there is to add to it, how it looks (`good`, `bad`, `warn`, `now`), facts."""

    sentence: str
    more: str
    look: str
    state: str
    facts: tuple[tuple[str, str], ...]
    progress: Together | None = None


def headline(run: RunRecord) -> Headline:
    """The top of a view of a run."""
    sentence, _, more = run.explain().partition("\n")
    config = getattr(run.ctx, "llm_config", None)
    facts = [("node", run.name), ("model", getattr(config, "model_id", ""))]
    facts.append(("machine", run.machine.name))
    if run.began is not None:
        facts.append(("began", f"{run.began:%Y-%m-%d %H:%M:%S %Z}"))
    facts.append(("took" if run.over else "for", seconds(run.until)))
    facts.append(("steps", grouped(len(run.steps))))
    facts.append(("journal", run.source))
    if run.torn:
        facts.append(("note", "the last line of the journal is torn, and left out"))
    if run.left:
        facts.append(("note", "nobody runs it any more: it was killed before its end"))
    return Headline(
        sentence,
        textwrap.dedent(more).strip(),
        "bad" if run.left else str(_LOOKS.get(run.state, "now")),  # type: ignore[call-overload]
        run.state,
        tuple((name, value) for name, value in facts if value),
        progress_of(run) if run.machine.phase(run.state) is not None else None,
    )
