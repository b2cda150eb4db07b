"""Which hook comes after which, and what is there when it comes."""

from __future__ import annotations

from typing import Any

from nodeinit import CallbackCtx
from tests.mutants.registry import buggy
from tests.mutants.world import Act, World

LOST = World((2, 2), acts=(Act(20, "kill", "a"),))
NO_ROOM = World((1,))


class Client:
    """Talks to a registry of models."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def report(self, line: str) -> None:
        self.lines.append(line)


class ReportsToRegistry:
    """As it was meant."""

    client: Client | None = None

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        self.client = Client()

    def on_init_failed(self, ctx: CallbackCtx) -> Any:
        if self.client is not None:
            self.client.report("failed")


@buggy("ordering", "H3", difficulty=2, shown_in=NO_ROOM, twin=ReportsToRegistry)
class ReportsWithoutAClient(ReportsToRegistry):
    """`on_init_failed` uses what `on_before_download` made; it may never have come to that."""

    def on_init_failed(self, ctx: CallbackCtx) -> Any:
        self.client.report("failed")  # type: ignore[union-attr]


class NamesHosts:
    """As it was meant."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_before_init(self, ctx: CallbackCtx) -> Any: ...

    def on_init_failed(self, ctx: CallbackCtx) -> Any:
        self.told = list(ctx.plan.hosts) if ctx.plan else []


@buggy("ordering", "H3", difficulty=2, shown_in=NO_ROOM, twin=NamesHosts)
class NamesHostsOfNoPlan(NamesHosts):
    """Tells which hosts failed, also when it failed before there was a plan."""

    def on_init_failed(self, ctx: CallbackCtx) -> Any:
        self.told = list(ctx.plan.hosts)  # type: ignore[union-attr]


class ClosesItsClient:
    """As it was meant."""

    def __init__(self) -> None:
        self.client = Client()

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        self.client.report("download")

    def on_after_init(self, ctx: CallbackCtx) -> Any: ...


@buggy("ordering", "H3", events=1, difficulty=3, shown_in=LOST, twin=ClosesItsClient)
class ClosesItsClientTooSoon(ClosesItsClient):
    """Closes in `on_after_init` what it needs again when a ready node is healed."""

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        self.client = None  # type: ignore[assignment]


class UsesItsScratch:
    """As it was meant."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(custom_data=ctx.custom_data.set("scratch", [1, 2]))

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        scratch = ctx.custom_data.get("scratch", ())
        return ctx.evolve(custom_data=ctx.custom_data.set("scratch", [*scratch, 3]))

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(custom_data=ctx.custom_data.discard("scratch"))


@buggy("ordering", "H3", events=1, difficulty=3, shown_in=LOST, twin=UsesItsScratch)
class DropsItsScratchTooSoon(UsesItsScratch):
    """Drops its key when ready, and looks for it again when a ready node is healed."""

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        scratch = ctx.custom_data["scratch"]
        return ctx.evolve(custom_data=ctx.custom_data.set("scratch", [*scratch, 3]))


class NotesItsSteps:
    """As it was meant."""

    WAY = ("init", "download", "placement", "ready")

    def __init__(self) -> None:
        self.at = 0

    def _step(self, name: str) -> None:
        self.at = self.WAY.index(name)

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        self._step("init")

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        self._step("download")

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        self._step("placement")

    def on_after_init(self, ctx: CallbackCtx) -> Any:
        self._step("ready")


@buggy("ordering", "H3", events=1, difficulty=2, shown_in=LOST, twin=NotesItsSteps)
class KnowsOneWayOnly(NotesItsSteps):
    """Checks that its hooks come in order, and knows of no way back from ready."""

    def _step(self, name: str) -> None:
        assert self.WAY[self.at % 4] == name, f"{name} out of order"
        self.at += 1


class ReadsThePlanLate:
    """As it was meant."""

    def on_before_download(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(custom_data=ctx.custom_data.set("hosts", ctx.plan.hosts))  # type: ignore[union-attr]


@buggy("ordering", "H3", twin=ReadsThePlanLate)
class ReadsThePlanEarly:
    """Asks for the plan's hosts in the hook that comes before there is a plan."""

    def on_before_init(self, ctx: CallbackCtx) -> Any:
        return ctx.evolve(custom_data=ctx.custom_data.set("hosts", ctx.plan.hosts))  # type: ignore[union-attr]


class SumsReports:
    """As it was meant."""

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> Any:
        return ctx.evolve(custom_data=ctx.custom_data.set(f"files-{node_id}", 4))

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        files = sum(ctx.custom_data[f"files-{node_id}"] for node_id in ctx.nodes)
        return ctx.evolve(custom_data=ctx.custom_data.set("files", files))


@buggy("ordering", "H3", difficulty=2, twin=SumsReports)
class ReadsWhatHostsKept(SumsReports):
    """Keeps on `self` what a host reports, and reads it in the driver, which has another instance."""

    def __init__(self) -> None:
        self.files: dict[str, int] = {}

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> Any:
        self.files[node_id] = 4

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        files = sum(self.files[node_id] for node_id in ctx.nodes)
        return ctx.evolve(custom_data=ctx.custom_data.set("files", files))


@buggy("ordering", "H3", difficulty=3, shown_in=NO_ROOM, twin=NamesHosts)
class BlamesTheModel(NamesHosts):
    """Writes the model's revision into its report; there is none before it is planned."""

    def on_init_failed(self, ctx: CallbackCtx) -> Any:
        if ctx.plan is None and ctx.attempt == 1:
            self.told = [ctx.model.revision]  # type: ignore[union-attr]
