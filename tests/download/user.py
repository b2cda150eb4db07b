"""A process that uses a model until it is told otherwise: `python -m tests.download.user`.

Reads one line, `{"root": …, "model": …, "revision": …, "who": …}`, marks that revision, says `held`
and waits for another line; then it gives the mark back.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nodeinit.download import marks
from nodeinit.download.store import Shelf


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    shelf = Shelf(Path(asked["root"]), asked["model"], asked["revision"])
    with marks.using(shelf, asked["who"]):
        print(json.dumps("held"), flush=True)
        sys.stdin.readline()
    print(json.dumps("given back"), flush=True)


if __name__ == "__main__":
    main()
