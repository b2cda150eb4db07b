"""Where the program writes for people."""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """A console for plain text: nothing in it is taken for markup, a number or an emoji."""
    return _Lasting(stderr=stderr, highlight=False, markup=False, emoji=False)


class _Lasting(Console):
    """Goes quiet when its reader has gone (`| head`): that must not end a run half-way."""

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except BrokenPipeError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        self.quiet = True
        # What the interpreter still has in its buffers goes nowhere, instead of failing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
