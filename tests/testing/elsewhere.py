"""Code outside a hook's own file, as a library's is: much of it to run, or without an end."""

from __future__ import annotations


def imports(lines: int) -> int:
    """Run at least as many lines, as the import of a large package does."""
    done = 0
    while done < lines:
        done += 1
    return done


def spins() -> None:
    """Never come back."""
    while True:
        pass
