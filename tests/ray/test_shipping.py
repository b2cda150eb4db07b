"""What travels between the driver and hosts. No Ray runs here."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest
from ray import cloudpickle

from nodeinit import errors
from nodeinit.callbacks import CallbackSpec
from nodeinit.clusters.base import FetchJob
from nodeinit.errors import ConfigError, Fault, HookError, PermanentError, TemporaryError
from nodeinit.fsm.events import Reason
from nodeinit.ray.hosts import unique_names
from nodeinit.ray.shipping import Parcel, pack, pack_outcome, portable, unpack

Jobs = Callable[..., FetchJob]

EVERY_KIND = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == errors.__name__
]
WITH_MORE = [
    TemporaryError("later", delay=2.5),
    ConfigError([Fault("a.b", "is wrong", "1", "write 2", 3), Fault("c", "too")], source="x.yaml"),
    HookError("m:C", "on_x", "raised", field="plan", temporary=True, delay=1.0),
    errors.DefinitionError("mine", ["a dead end", "no way out"]),
    errors.InitializationFailed(Reason("error", "no"), journal="j"),
    errors.InitializationCancelled(Reason("cancelled", "stop")),
]
PLAIN = [kind("why") for kind in EVERY_KIND if kind not in {type(error) for error in WITH_MORE}]


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
@pytest.mark.parametrize("error", PLAIN + WITH_MORE, ids=lambda error: type(error).__name__)
def test_errors_survive_the_journey_with_all_that_they_carry(
    error: Exception, dumps: Callable[[Any], bytes]
) -> None:
    error.add_note("where it came from")
    back = pickle.loads(dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


class OwnError(TemporaryError):
    def __init__(self, host: str, code: int) -> None:
        super().__init__(f"{host} answered {code}")
        self.code = code


def test_an_error_of_a_users_own_kind_survives_too() -> None:
    back = pickle.loads(pickle.dumps(OwnError("h", 503)))
    assert (type(back), str(back), back.code) == (OwnError, "h answered 503", 503)


def test_an_error_that_cannot_travel_arrives_as_its_message() -> None:
    error = PermanentError("the disk is full")
    error.handle = (n for n in ())  # type: ignore[attr-defined]
    assert str(portable(error)) == "the disk is full"
    assert str(portable(KeyError("x"))) == "KeyError: 'x'"
    assert type(portable(KeyError("x"))) is PermanentError


def test_an_answer_that_cannot_travel_names_what_is_in_its_way() -> None:
    @attrs.frozen
    class Report:
        custom_data: dict[str, Any]

    back = cloudpickle.loads(pack_outcome(Report({"fine": 1, "bad": (n for n in ())})))
    assert isinstance(back, PermanentError)
    assert "custom_data['bad'], a generator" in str(back)


class Stateful:
    shared: list[int] = []  # noqa: RUF012

    def on_node_download(self, ctx: Any, node_id: str) -> None: ...


def test_a_module_that_is_there_is_not_doubled(job: Jobs) -> None:
    """By its name: what the class shares in a process, it shares still."""
    back = unpack(pack(job("fetch", hooks=(CallbackSpec(Stateful),))))
    assert back.hooks[0].target is Stateful
    assert back == job("fetch", hooks=(CallbackSpec(Stateful),))


def test_a_module_that_is_not_there_is_brought_along(job: Jobs) -> None:
    parcel = pack(job("fetch", hooks=(CallbackSpec(Stateful),)))
    by_name = parcel.by_name.replace(__name__.encode(), b"x" * len(__name__))
    back = unpack(attrs.evolve(parcel, by_name=by_name))
    assert back.hooks[0].target.__name__ == "Stateful"


class Leisurely:
    """Lets other threads run while it is pickled."""

    def __reduce__(self) -> Any:
        time.sleep(0.001)
        return (str, ("done",))


def test_jobs_that_are_packed_side_by_side_are_all_packed_twice(job: Jobs) -> None:
    spec = CallbackSpec(Stateful, {"first": Leisurely(), "second": Leisurely()})
    jobs = [job(f"fetch-{n}", hooks=(spec, CallbackSpec(Stateful))) for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        parcels = list(pool.map(pack, jobs))
    for parcel in parcels:
        assert __name__.encode() in parcel.by_name
        assert b"on_node_download" not in parcel.by_name
        assert parcel.by_value is not None
        assert b"on_node_download" in parcel.by_value  # the method itself


def test_what_can_neither_be_named_nor_brought_is_explained(job: Jobs) -> None:
    parcel = pack(job("fetch", hooks=(CallbackSpec(Stateful),)))
    by_name = parcel.by_name.replace(__name__.encode(), b"x" * len(__name__))
    with pytest.raises(PermanentError, match=r"needs a module that is not there.*why.*runtime_env"):
        unpack(Parcel(by_name, None, " (why)"))


def test_a_job_without_classes_travels_once(job: Jobs) -> None:
    parcel = pack(job("fetch", hooks=(CallbackSpec("pkg:Class"),)))
    assert parcel.by_value is None
    assert unpack(parcel) == job("fetch", hooks=(CallbackSpec("pkg:Class"),))


class Slotted:
    __slots__ = ("guard",)

    def __init__(self) -> None:
        self.guard = (n for n in ())

    def on_node_download(self, ctx: Any, node_id: str) -> None: ...


def test_the_part_of_a_job_that_cannot_travel_is_named(job: Jobs, tmp_path: Path) -> None:
    stuck = (n for n in ())  # not a lock: Ray Serve teaches the pickling of these to its process
    custom = attrs.evolve(job("f").ctx, custom_data={"ok": 1, "bad": stuck})
    for changes, says in (
        ({"hooks": (CallbackSpec(Slotted()),)}, r":Slotted .*its attribute 'guard' is a generator"),
        (
            {"hooks": (CallbackSpec(Stateful, {"a": 1, "b": stuck}),)},
            r":Stateful .*its callback_kwargs 'b' is a generator",
        ),
        ({"ctx": custom}, r"ctx.custom_data\['bad'\] \(a generator\)"),
    ):
        with pytest.raises(PermanentError, match=says):
            pack(job("fetch", **changes))


def row(node_id: str, host: str, name: str | None = None, ip: str = "10.0.0.1") -> dict[str, Any]:
    return {
        "NodeID": node_id,
        "NodeManagerHostname": host,
        "NodeManagerAddress": ip,
        "NodeName": name or ip,
    }


def test_hosts_have_names_that_tell_them_apart() -> None:
    rows = [
        row("a" * 56, "gpu-1"),
        row("b" * 56, "box"),
        row("c" * 56, "box"),
        row("d" * 56, "box", name="given"),
        row("e" * 56, "", ip="10.0.0.9"),
    ]
    assert list(unique_names(rows).values()) == [
        "gpu-1",
        "box#bbbbbb",
        "box#cccccc",
        "given",
        "10.0.0.9",
    ]
