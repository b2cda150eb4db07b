"""The way to what Ray's head knows of nodes, workers and groups, by whatever name a Ray has it."""

from __future__ import annotations

from typing import Any

from ray._private import state


def accessor() -> Any:
    """Ray's `GlobalStateAccessor` of the cluster that this process is connected to."""
    connect = getattr(state.state, "_connect_and_get_accessor", None)
    if connect is not None:
        return connect()
    state.state._check_connected()  # so it was in Ray 2.51
    return state.state.global_state_accessor
