"""What a hook may answer with, and what of the context is not its own."""

from __future__ import annotations

from typing import Any

import attrs

from nodeinit import CallbackCtx
from tests.mutants.registry import buggy
from tests.mutants.world import Act, World

TWO_HOSTS = World((2, 2), pp=2)
SECOND_PLAN = World((2, 2), acts=(Act(20, "kill", "a"),))


class TagsRun:
    """As it was meant."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(custom_data=ctx.custom_data.set("tagger.run", "blue"))


@buggy("contract", "H1", twin=TagsRun)
class AnswersWithItsData:
    """Returns the new `custom_data` instead of a context that has it."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.custom_data.set("tagger.run", "blue")


@buggy("contract", "H7", twin=TagsRun)
class ForgetsTheNeighbours:
    """Puts a new mapping in the place of `custom_data`: what other callbacks wrote is gone."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(custom_data={"tagger.run": "blue"})


@buggy("contract", "H2", difficulty=2, twin=TagsRun)
class WritesAroundTheFreeze:
    """Gets around the frozen class with `object.__setattr__`, as it saw somewhere."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        object.__setattr__(ctx, "custom_data", ctx.custom_data.set("tagger.run", "blue"))
        return ctx


class StagesNote:
    """As it was meant."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        if len(ctx.nodes) > 1:
            return ctx.evolve(custom_data=ctx.custom_data.set("stages.hosts", len(ctx.nodes)))
        return ctx


@buggy("contract", "H1", difficulty=2, shown_in=TWO_HOSTS, twin=StagesNote)
class TrailingComma(StagesNote):
    """A comma too many makes a tuple of the answer, where there are several hosts."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        if len(ctx.nodes) > 1:
            return (ctx.evolve(custom_data=ctx.custom_data.set("stages.hosts", len(ctx.nodes))),)
        return ctx


class Announces:
    """As it was meant."""

    def _say(self, text: str) -> bool:
        return bool(text)

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        if ctx.attempt > 1:
            self._say(f"plan {ctx.attempt}")
        return ctx


@buggy("contract", "H1", events=1, difficulty=2, shown_in=SECOND_PLAN, twin=Announces)
class AnswersWithTheLogger(Announces):
    """Returns what its log function returns, from the second plan on."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        if ctx.attempt > 1:
            return self._say(f"plan {ctx.attempt}")
        return ctx


@buggy("contract", "H3", twin=TagsRun)
class AssignsToTheContext:
    """Writes to a field as it was done with the mutable context of old."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        ctx.custom_data = ctx.custom_data.set("tagger.run", "blue")  # type: ignore[misc]
        return ctx


class LeavesModesAlone:
    """As it was meant."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        return None


@buggy("contract", "H7", difficulty=2, shown_in=TWO_HOSTS, twin=LeavesModesAlone)
class ChangesTheModeTooLate:
    """Once it knows that there are several hosts, the download of it is over."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        if len(ctx.plan.hosts) > 1:  # type: ignore[union-attr]
            return attrs.evolve(ctx, worker_node_download_model="TOKENIZER_ONLY")
        return None


@buggy("contract", "H7", events=1, difficulty=2, shown_in=SECOND_PLAN, twin=Announces)
class CountsFromOneAgain:
    """Sets `attempt` back, so that its dashboards do not show a second plan."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(attempt=1) if ctx.attempt > 1 else ctx


class PortFromTheStart:
    """As it was meant."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("port", 7000))

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(extra_init_kwargs=ctx.extra_init_kwargs.set("hosts", len(ctx.nodes)))


@buggy("contract", "H7", difficulty=2, twin=PortFromTheStart)
class AnswersWithAnOlderContext(PortFromTheStart):
    """Goes on from the context that its first hook made: plan, model and nodes are undone."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        self.ctx = super().on_before_init(ctx)
        return self.ctx

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        return super().on_before_placement(self.ctx)


class RemembersTheMode:
    """As it was meant."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(worker_node_download_model="EXCLUDE_SAFETENSORS")


@buggy("contract", "H7", events=1, difficulty=3, shown_in=SECOND_PLAN, twin=RemembersTheMode)
class KeepsItsFirstAnswer(RemembersTheMode):
    """Gives its first answer again for every later plan, with the plan and attempt of the first."""

    answer: CallbackCtx | None = None

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        if self.answer is None:
            self.answer = super().on_before_download(ctx)
        return self.answer


class TidiesUp:
    """As it was meant."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(custom_data=ctx.custom_data.set("tidy.scratch", 1))

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(custom_data=ctx.custom_data.discard("tidy.scratch"))


@buggy("contract", "H7", difficulty=2, twin=TidiesUp)
class TidiesUpTooMuch(TidiesUp):
    """Means to drop its own scratch keys in the end and drops all but those that it wants to keep."""

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        keep = {k: v for k, v in ctx.custom_data.items() if k.startswith("tidy.result")}
        return ctx.evolve(custom_data=keep)


class Tally:
    """Numbers of a run. Hashable by identity, as any class is, so the context takes it."""

    def __init__(self) -> None:
        self.downloads = 0

    def __repr__(self) -> str:
        return f"Tally({self.downloads})"


class HandsOverTally:
    """As it was meant."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(custom_data=ctx.custom_data.set("tally.downloads", ctx.attempt))


@buggy("contract", "H2 H10", difficulty=3, twin=HandsOverTally)
class MutatesWhatItHandedOver:
    """Keeps the object that it put into `custom_data`, and goes on counting in it."""

    def __init__(self) -> None:
        self.tally = Tally()

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(custom_data=ctx.custom_data.set("tally", self.tally))

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        self.tally.downloads += 1


class LogsSteps:
    """As it was meant."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(custom_data=ctx.custom_data.set("log", ()))

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        log = (*ctx.custom_data["log"], "download")
        return ctx.evolve(custom_data=ctx.custom_data.set("log", log))

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(custom_data=ctx.custom_data.set("first", ctx.custom_data["log"][0]))


@buggy("contract", "H3", difficulty=2, twin=LogsSteps)
class AppendsToAListThatWasCopied(LogsSteps):
    """Keeps the list that it put into `custom_data` and appends to it; the context has a copy."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(custom_data=ctx.custom_data.set("log", self.log))

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        self.log.append("download")
