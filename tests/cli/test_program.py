"""The program itself: its help, how fast it starts, its examples and its schema."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import Result

from nodeinit.cli.examples import names
from nodeinit.cli.main import cli

Nodeinit = Callable[..., Result]
HEAVY = ("ray", "rich", "transitions", "jsonschema", "cattrs", "yaml", "asyncio")


def test_help_imports_nothing_that_takes_time() -> None:
    """A fresh interpreter: in this one everything has been imported."""
    script = (
        "import sys\nfrom nodeinit.cli.main import cli\n"
        "try:\n    cli(['--help'], prog_name='nodeinit')\n"
        f"finally:\n    print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    for command in (
        "run",
        "plan",
        "snapshot",
        "machine",
        "replay",
        "diagram",
        "examples",
        "schema",
    ):
        assert f"  {command} " in done.stdout
    assert "3  it does not fit the cluster" in done.stdout


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


@pytest.mark.parametrize("path", commands(cli), ids=" ".join)
def test_every_command_and_option_says_what_it_does(
    nodeinit: Nodeinit, path: tuple[str, ...]
) -> None:
    result = nodeinit(*path, "--help")
    assert result.exit_code == 0
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    assert command.get_short_help_str(limit=79).endswith(".")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_version(nodeinit: Nodeinit) -> None:
    from nodeinit import __version__

    assert nodeinit("--version").stdout == f"nodeinit, version {__version__}\n"


def test_schema(nodeinit: Nodeinit) -> None:
    from nodeinit.config import json_schema

    assert json.loads(nodeinit("schema").stdout) == json_schema()


def test_examples_are_listed_with_a_line_each(nodeinit: Nodeinit) -> None:
    lines = nodeinit("examples").stdout.splitlines()
    listed = [line.split()[0] for line in lines]
    assert listed == list(names())
    assert {"custom_download", "custom_placement", "full_custom", "metrics"} <= set(listed)
    assert all(line.rstrip().endswith(".") and len(line) <= 120 for line in lines)


@pytest.mark.parametrize("name", names())
def test_the_source_of_an_example_can_be_copied(nodeinit: Nodeinit, name: str) -> None:
    source = nodeinit("examples", name).stdout
    ast.parse(source)
    assert f"nodeinit run --example {name}" in source
    assert f"nodeinit examples {name} >" in source


def test_an_example_that_there_is_not(nodeinit: Nodeinit) -> None:
    result = nodeinit("examples", "custom-download")
    assert result.exit_code == 2
    assert "did you mean 'custom_download'?" in result.stderr


def test_an_unexpected_error_is_one_line_unless_debugging(
    nodeinit: Nodeinit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise KeyError("oops")

    monkeypatch.setattr("nodeinit.config.json_schema", broken)
    result = nodeinit("schema")
    assert result.exit_code == 4
    assert result.stderr.startswith("Error: KeyError: 'oops' (this was not expected")
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" in nodeinit("schema", "--debug").stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`nodeinit schema | head -1`, in a process of its own."""
    script = "from nodeinit.cli.main import main; import sys; sys.argv[1:] = ['schema']; main()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
