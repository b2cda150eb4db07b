"""What a host is told of how to fetch."""

from __future__ import annotations

import attrs

from nodeinit.download.strategy import Choice, Strategy


@attrs.frozen
class Way:
    """How a host fetches: what was chosen, and the secret of the swarm if there is one.

    `sign` is what was left in stores to see whether they are one; it is not needed any more.
    """

    choice: Choice
    token: str = ""
    sign: str = ""

    @property
    def is_swarm(self) -> bool:
        """Whether it takes part in a swarm."""
        return self.choice.strategy is Strategy.SWARM
