"""Runs from their journals."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nodeinit.diagram.run.record import RunRecord
from nodeinit.errors import JournalError
from nodeinit.fsm.registry import load_machine
from nodeinit.fsm.replay import read_journal, replay

if TYPE_CHECKING:
    from nodeinit.fsm.definition import Definition


def read_run(path: str | os.PathLike[str], machine: Definition | None = None) -> RunRecord:
    """The run that a journal tells of; its machine is the installed one that it names, if not given.

    Raises `JournalError` where there is nothing to read, `ConfigError` for an unknown machine.
    """
    if machine is None:
        header, _, _ = read_journal(path)
        if not header:
            raise JournalError(f"{path}: is empty, so there is no run to read")
        machine = load_machine(header["machine"])
    return RunRecord.of(machine, replay(path, machine))
