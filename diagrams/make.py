"""Writes what this directory holds: `python -m diagrams.make`, or `--check` to see whether it is so.

But for `compared/`, which needs other libraries: see `compared/draw.py`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from diagrams import changes, runs

from nodeinit.diagram.files import committed
from nodeinit.diagram.writing import write_text
from nodeinit.fsm.registry import machines

HERE = Path(__file__).resolve().parent


def wanted() -> dict[Path, str]:
    """Everything that is generated here, by path: of our machines, not of others' beside them."""
    ours = [
        name for name, point in machines().items() if point.module.startswith("nodeinit_machines.")
    ]
    return {
        **committed(HERE, ours),
        **runs.files(HERE / "runs"),
        **changes.files(HERE / "changes"),
    }


def drifted() -> dict[Path, str]:
    """The files that are not what the code says, with what they should be."""
    return {
        path: text
        for path, text in wanted().items()
        if not path.exists() or path.read_bytes() != text.encode()
    }


def main() -> int:
    """Write what differs, or with `--check` say what does; the exit status is 1 then."""
    parser = argparse.ArgumentParser("python -m diagrams.make", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    found = drifted()
    for path, text in found.items():
        if not check:
            write_text(path, text)
        print(f"{path.relative_to(HERE)} differs" if check else f"wrote {path.relative_to(HERE)}")
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main())
