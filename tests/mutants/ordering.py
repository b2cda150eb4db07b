"""Which hook comes after which, and what is there when it comes."""

from __future__ import annotations

from typing import Any

from nodeinit import CallbackCtx
from nodeinit.clusters.simulated import SimFault
from tests.mutants.registry import buggy
from tests.mutants.world import Act, World

LOST = World((2, 2), acts=(Act(20, "kill", "a"),))
NO_MANIFEST = World(faults=(SimFault("manifest", "permanent"),))
EARLY_CANCEL = World(acts=(Act(0.015, "cancel"),))


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


@buggy("ordering", "H3", events=1, difficulty=2, shown_in=EARLY_CANCEL, twin=ReportsToRegistry)
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


@buggy("ordering", "H3", events=1, difficulty=2, shown_in=EARLY_CANCEL, twin=NamesHosts)
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

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> Any:
        self.seen[node_id] = len(ctx.plan.hosts)  # type: ignore[union-attr]

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        if not self.seen.keys() >= set(ctx.plan.hosts):  # type: ignore[union-attr]
            raise AssertionError("a host did not report")


@buggy(
    "ordering",
    "H3",
    events=1,
    difficulty=3,
    shown_in=World((1, 1, 1), tp=1, pp=2, acts=(Act(20, "kill", "a"),)),
    twin=SumsReports,
)
class ExpectsEveryReportOnce(SumsReports):
    """Expects as many reports as the plan has hosts, but a healed node's hosts report again."""

    def __init__(self) -> None:
        self.reports = 0

    def on_node_download(self, ctx: CallbackCtx, node_id: str) -> Any:
        self.reports += 1

    def on_before_placement(self, ctx: CallbackCtx) -> Any:
        if self.reports != len(ctx.plan.hosts):  # type: ignore[union-attr]
            raise AssertionError(f"{self.reports} reports")


@buggy("ordering", "H3", events=1, difficulty=3, shown_in=NO_MANIFEST, twin=NamesHosts)
class BlamesTheModel(NamesHosts):
    """Writes the model's revision into its report; a manifest that cannot be read has none."""

    def on_init_failed(self, ctx: CallbackCtx) -> Any:
        if ctx.plan is None and ctx.attempt == 1:
            self.told = [ctx.model.revision]  # type: ignore[union-attr]
