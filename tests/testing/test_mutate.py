"""Mutants of a callback: what no check minds is listed, and is minded once a property says so."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from nodeinit import CallbackCtx, ConfigError
from nodeinit.testing import CallbackFailed, MutationReport, ensures, mutate
from nodeinit.testing.mutating.operators import changed, places
from nodeinit.testing.mutating.source import mutant, source_of
from tests.testing import mutable

FEW = 6


def lines(report: MutationReport) -> set[str]:
    return {survivor.line for survivor in report.survivors}


def line_of(text: str) -> str:
    source = Path(mutable.__file__).read_text().splitlines()
    [number] = [n for n, line in enumerate(source, 1) if text in line]
    return f"mutable.py:{number}"


def test_a_line_survives_until_a_property_says_what_it_is_for() -> None:
    @ensures("on_before_download")
    def workers_get_a_tokenizer(before: CallbackCtx, after: CallbackCtx) -> None:
        assert after.worker_node_download_model == "TOKENIZER_ONLY"

    where = line_of("TOKENIZER_ONLY")
    alone = mutate(mutable.Labels, sequences=FEW)
    assert {where} == lines(alone)
    assert f"{where}\n  - return ctx.evolve(worker_node_download_model" in alone.text()
    assert "  + return ctx.evolve()    (drop worker_node_download_model=)" in alone.text()
    assert "1 line(s) that no check constrains" in alone.text()

    said = mutate(mutable.Labels, sequences=FEW, properties=[workers_get_a_tokenizer])
    assert set() == lines(said)
    assert len(alone.mutants) == len(said.mutants) == said.killed
    assert "every line is constrained" in said.text()
    assert {"prop:workers_get_a_tokenizer", "H3-raised"} == {m.killed_by for m in said.mutants}


def test_cleaning_up_is_minded_by_the_laws() -> None:
    report = mutate(mutable.Tidies, sequences=40)

    killed = {m.line: m.killed_by for m in report.mutants if m.killed_by}
    assert killed[line_of("task.cancel()")] in ("R4-tasks", "R2-leak")


def test_equivalent_mutants_are_left_out() -> None:
    report = mutate(mutable.Says, sequences=FEW)

    assert report.equivalent > 0
    assert not [m for m in report.mutants if m.says == "return ctx unchanged"]


def test_the_same_bytes_every_time_and_no_file_is_touched() -> None:
    before = Path(mutable.__file__).read_bytes()
    one, other = (mutate("tests.testing.mutable:Labels", sequences=FEW) for _ in range(2))

    assert one.text() == other.text()
    assert one.to_dict() == other.to_dict()
    assert "tests.testing.mutable:Labels" == one.callback
    assert before == Path(mutable.__file__).read_bytes()
    assert not [name for name in sys.modules if name.endswith("__mutant")]


def test_a_class_that_knows_itself_and_has_arguments() -> None:
    report = mutate(mutable.Named, kwargs={"key": "mine"}, sequences=FEW)

    otherwise = [m for m in report.mutants if m.line == line_of("type(self) is Named")]
    assert ["H3-raised"] == [m.killed_by for m in otherwise]
    # A mutant that is another class to itself would fail everywhere, and none would survive.
    assert {line_of("custom_data.set(self.key")} == lines(report)


def test_an_instance_of_a_mutant_can_be_pickled() -> None:
    source = source_of(mutable.Labels, {})
    place = next(iter(places(source.tree)))
    with mutant(source, source.code(changed(source.tree, place))) as make:
        made = make()
        assert type(made) is not mutable.Labels
        assert type(pickle.loads(pickle.dumps(made))) is type(made)


def test_what_is_broken_already_is_not_mutated() -> None:
    with pytest.raises(CallbackFailed, match="H3-raised"):
        mutate(mutable.Broken, sequences=FEW)


def test_what_cannot_be_mutated() -> None:
    class Local(mutable.Labels):
        pass

    with pytest.raises(ConfigError, match="top level of a module"):
        mutate(Local)
    with pytest.raises(ConfigError, match="is no class"):
        mutate(lambda: mutable.Labels())
