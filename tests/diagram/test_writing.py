"""Files are whole or not there, whatever was there before."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nodeinit.diagram import writing
from nodeinit.errors import ConfigError


def test_a_file_is_replaced_at_once_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.svg"
    writing.write_text(path, "one\n")
    path.chmod(0o640)
    with path.open() as reader:
        writing.write_text(path, "äöü\n")
        assert reader.read() == "one\n"
    assert path.read_bytes() == "äöü\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [file.name for file in path.parent.iterdir()] == ["x.svg"]


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.svg"
    path.write_text("kept")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ConfigError, match=r"x\.svg.*cannot be written: No space left on device"):
        writing.write_text(path, "new")
    assert path.read_text() == "kept"
    assert [file.name for file in tmp_path.iterdir()] == ["x.svg"]


def test_a_name_as_long_as_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".svg")
    writing.write_text(path, "new")
    assert path.read_text() == "new"


def test_links_and_pipes_are_written_to(tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    (tmp_path / "file").write_text("old")
    link.symlink_to("file")
    writing.write_text(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "file").read_text() == "new"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writing.write_text(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
