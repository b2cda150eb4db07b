"""Mutation testing of a callback: which of its lines could be otherwise, and no check would mind.

    from nodeinit.testing import mutate

    print(mutate(MyCallback).text())

What survives is no bug. It is a line about which nobody has said what it is for: say it with
`@ensures`, `@finally_`, or leave it.
"""

from __future__ import annotations

from nodeinit.testing.mutating.survivors import Mutant, MutationReport, mutate

__all__ = ["Mutant", "MutationReport", "mutate"]
