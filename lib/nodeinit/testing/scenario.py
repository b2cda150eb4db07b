"""What one run is made of, as a value: the world, what goes wrong in it, who acts from outside.

A scenario is the one currency of the kit: it is drawn, run, shrunk, printed, pasted and stored.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import attrs

from nodeinit.clusters.simulated import RayLike, SimCluster, SimFault, sim_host
from nodeinit.config import LLMConfig
from nodeinit.errors import ConfigError, Fault
from nodeinit.placement.labels import ACCELERATOR_TYPE
from nodeinit.placement.request import PlacementRequest
from nodeinit.placement.topology import Bundle, Host

__all__ = ["Act", "Other", "Scenario", "SimFault"]

FOREIGN = "somebody-else"
RAY = RayLike()


@attrs.frozen
class Act:
    """Something that happens from outside at a moment (virtual seconds since the start).

    `what` is `cancel`, `release`, `kill` (the host `node_id` dies), `steal` (somebody takes all that
    is free on it), `join` (a host like the first one comes to the cluster, as `node_id`), or
    `disk_full` (the journal of the node cannot be written any more). `rounds` puts it off by so many
    turns of the event loop, which take no time; -1 is before the first step, right after `start`.
    """

    at: float
    what: str
    node_id: str = ""
    rounds: int = 0


@attrs.frozen
class Other:
    """Another callback of the same config, after this one, fails in its `call`-th call of a hook.

    `kind` is `temporary` or `permanent`.
    """

    hook: str
    kind: str
    call: int = 0


@attrs.frozen
class Scenario:
    """A cluster, a request, and what happens; by default nothing goes wrong.

    `gpus` are those of each host (`a`, `b`, …), `taken` how many of them somebody else holds, `kinds`
    the accelerator that it has (`H100`), `labels` its labels (`rack=r1 zone=z`). The workers are `tp`
    times `pp`, each with `gpu` GPUs and `cpu` CPUs of its own. `heal` is the policy for a ready node
    that lost a host, `pin` how much of the plan Ray is told; `kind` is the accelerator that the
    config asks for, and `strategy`, `topology` and `span_tp` are the config's too.
    """

    gpus: tuple[int, ...] = (8, 8)
    tp: int = 2
    pp: int = 1
    heal: bool = True
    pin: str = "node"
    taken: tuple[int, ...] = ()
    faults: tuple[SimFault, ...] = ()
    acts: tuple[Act, ...] = ()
    others: tuple[Other, ...] = ()
    labels: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    kind: str = ""
    gpu: float = 1.0
    cpu: float = 0.0
    strategy: str = ""
    topology: str = ""
    span_tp: bool = False

    @property
    def node_ids(self) -> tuple[str, ...]:
        """The ids of the hosts, in order."""
        return tuple("abcdefgh"[: len(self.gpus)])

    @property
    def size(self) -> int:
        """How much there is to read in it; shrinking makes it smaller."""
        events = len(self.faults) + len(self.acts) + len(self.others)
        odd = sum(bool(getattr(self, n) != getattr(_USUAL, n)) for n in ODD)
        return 10 * events + len(self.gpus) + self.tp * self.pp + 2 * len(self.taken) + 2 * odd

    def cluster(self, *, ray: RayLike = RAY, bandwidth: float = 1_000_000.0) -> SimCluster:
        """The hosts, and the group of somebody else who holds what is taken."""
        hosts = [self.host(node_id) for node_id in self.node_ids]
        made = SimCluster(hosts, faults=self.faults, bandwidth=bandwidth, ray=ray)
        held = [(n, t) for n, t in zip(self.node_ids, self.taken, strict=False) if t]
        if held:
            bundles = [Bundle.of(GPU=1) for _, taken in held for _ in range(taken)]
            made.make_group(bundles, [n for n, t in held for _ in range(t)], name=FOREIGN)
        return made

    def host(self, node_id: str) -> Host:
        """A host as it is in the beginning; one that joins is like the first."""
        ids = self.node_ids
        i = ids.index(node_id) if node_id in ids else 0
        labels = dict(pair.split("=", 1) for pair in (*self.labels, *[""] * 8)[i].split())
        kind = (*self.kinds, *[""] * 8)[i]
        amounts: dict[str, float] = {"GPU": self.gpus[i], "CPU": 32}
        if kind:
            amounts[f"accelerator_type:{kind}"] = 1
            labels[ACCELERATOR_TYPE] = kind
        return _host(node_id, tuple(labels.items()), tuple(amounts.items()))

    def config(self, source: str = "/models/sim", store: str = "") -> LLMConfig:
        """The config of the node. `source` and `store` are directories."""
        usual = (self.gpu, self.cpu, self.strategy) == (1, 0, "")
        of_worker = {} if usual else {"GPU": self.gpu, "CPU": self.cpu}
        return config_of(
            self.tp,
            self.pp,
            self.pin,
            source,
            store,
            kind=self.kind,
            worker=tuple((name, value) for name, value in of_worker.items() if value),
            strategy=self.strategy,
            topology=self.topology,
            span_tp=self.span_tp,
        )

    def to_python(self) -> str:
        """An expression to paste: only what differs from the default is said."""
        return expression(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: only what differs from the default is said."""
        found: dict[str, Any] = _plain(self)
        return found

    def to_json(self) -> str:
        """One line of JSON; `from_json` reads it."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Scenario:
        """The scenario that `to_json` wrote. Raises `ConfigError` for anything else."""
        try:
            return cls.from_dict(json.loads(text))
        except (ValueError, TypeError, KeyError, ConfigError) as error:
            raise unreadable(text, str(error)) from None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scenario:
        """The scenario of plain data; `TypeError` or `ValueError` for what is none."""
        if not isinstance(data, Mapping):
            raise TypeError(f"a {type(data).__name__}, not an object")
        fields: dict[str, Any] = dict(data)
        for name, kind in (("faults", SimFault), ("acts", Act), ("others", Other)):
            if name in fields:
                fields[name] = tuple(kind(**item) for item in fields[name])
        for name, plain in (("gpus", int), ("taken", int), ("labels", str), ("kinds", str)):
            if name in fields:
                fields[name] = tuple(plain(item) for item in fields[name])
        made = cls(**fields)
        if not 1 <= len(made.gpus) <= 8 or made.tp < 1 or made.pp < 1:
            raise ValueError("it needs 1 to 8 hosts, and at least one worker")
        made.host(made.node_ids[0])
        PlacementRequest.from_config(made.config())
        return made


@functools.cache
def _host(
    node_id: str, labels: tuple[tuple[str, str], ...], amounts: tuple[tuple[str, float], ...]
) -> Host:
    return sim_host(node_id, labels=dict(labels), **dict(amounts))


_USUAL = Scenario()
ODD = ("labels", "kinds", "kind", "gpu", "cpu", "strategy", "topology", "span_tp")


def unreadable(text: str, why: str) -> ConfigError:
    """The error of a text that was to be a scenario."""
    remedy = "give what a report of `nodeinit check` printed"
    return ConfigError(Fault("--scenario", f"is no scenario: {why}", repr(text), remedy))


def said(value: Any) -> dict[str, Any]:
    """The fields of a value that differ from their defaults."""
    return {
        field.name: found
        for field in attrs.fields(type(value))
        if (found := getattr(value, field.name)) != field.default
    }


def _plain(value: Any) -> Any:
    if attrs.has(type(value)):
        return {name: _plain(item) for name, item in said(value).items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def expression(value: Any) -> str:
    """A value of a scenario as Python: only what differs from the default is said."""
    if attrs.has(type(value)):
        inside = ", ".join(f"{name}={expression(item)}" for name, item in said(value).items())
        return f"{type(value).__name__}({inside})"
    if isinstance(value, tuple):
        inside = ", ".join(map(expression, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value)


@functools.cache
def config_of(
    tp: int,
    pp: int,
    pin: str,
    source: str = "/models/sim",
    store: str = "",
    *,
    kind: str = "",
    worker: tuple[tuple[str, float], ...] = (),
    strategy: str = "",
    topology: str = "",
    span_tp: bool = False,
) -> LLMConfig:
    """The config of a scenario's node. `source` and `store` are directories."""
    settings = {"pin": pin, "store": store, "topology": topology, "span_tp": span_tp}
    group = {"bundle_per_worker": dict(worker), "strategy": strategy}
    return LLMConfig(
        accelerator_type=kind or None,
        placement_group_config={name: value for name, value in group.items() if value} or None,
        model_id="sim/model",
        model_source=source,
        engine_kwargs={"tensor_parallel_size": tp, "pipeline_parallel_size": pp},
        nodeinit={name: value for name, value in settings.items() if value},
    )
