"""The committed pictures of machines: what a directory should hold, and whether it does.

`python -m nodeinit.diagram.files diagrams` writes them anew; with `--check` it writes nothing and
fails if they differ from what the code says.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from nodeinit.diagram.embed import embedded
from nodeinit.diagram.gallery import with_machine
from nodeinit.diagram.registry import render
from nodeinit.diagram.writing import write_text
from nodeinit.errors import ConfigError, Fault
from nodeinit.fsm.registry import load_machine, machines

FORMATS = ("svg", "mmd", "dot", "md", "json")
"""What is committed of each machine: two pictures, a table, and the canonical form."""

GALLERY = "README.md"


def committed(directory: Path, names: Iterable[str] | None = None) -> dict[Path, str]:
    """The files that `directory` should hold, with their texts.

    For the named machines, or for all that are installed: one file per format, and the gallery.
    Raises `ConfigError` for a machine that is not installed or cannot be loaded.
    """
    page = directory / GALLERY
    gallery = _read(page) or ""
    texts: dict[Path, str] = {}
    drawn = tuple(machines() if names is None else names)
    for name in drawn:
        definition = load_machine(name)
        for format in FORMATS:
            texts[directory / f"{_file_name(name)}.{format}"] = render(definition, format)
        gallery = with_machine(gallery, name)
    return {**texts, **embedded(gallery, page, load_machine, only=drawn)}


def check(directory: Path, names: Iterable[str] | None = None) -> list[Path]:
    """The files of `directory` that differ from what the code says, are missing, or belong to none.

    Raises `ConfigError` as `committed` does.
    """
    texts = committed(directory, names)
    drifted = [path for path, text in texts.items() if _read(path) != text]
    return sorted([*drifted, *_strays(directory, texts)])


def update(directory: Path, names: Iterable[str] | None = None) -> list[Path]:
    """Write what differs or is missing, and say which files those were. Nothing is deleted.

    Raises `ConfigError` as `committed` does, and where a file cannot be written.
    """
    changed = {p: text for p, text in committed(directory, names).items() if _read(p) != text}
    for path, text in changed.items():
        write_text(path, text)
    return sorted(changed)


def _strays(directory: Path, texts: Iterable[Path]) -> set[Path]:
    """Files of a machine that there is no longer. They may be anybody's, so nobody deletes them."""
    found = (path for format in FORMATS for path in directory.glob(f"*.{format}"))
    return set(found).difference(texts)


def _read(path: Path) -> str | None:
    return path.read_bytes().decode("utf-8", "replace") if path.exists() else None


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[\w.-]+", name) or f"{name}.md".lower() == GALLERY.lower():
        remedy = "give its entry point a name of letters, digits, `_`, `-` or `.`"
        raise ConfigError(Fault("machine", "cannot be the name of a file", repr(name), remedy))
    return name


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module; the exit status is 1 where something drifted."""
    parser = argparse.ArgumentParser("python -m nodeinit.diagram.files", description=check.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    parser.add_argument("directory", type=Path)
    parser.add_argument("machines", nargs="*", help="all that are installed, if none is named")
    given = parser.parse_args(arguments)
    names = given.machines or None
    try:
        if not given.check:
            for path in update(given.directory, names):
                print(f"wrote {path}")
        drifted = check(given.directory, names)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    for path in drifted:
        print(f"{path} does not match the code", file=sys.stderr)
    return 1 if drifted else 0


if __name__ == "__main__":
    sys.exit(main())
