"""Time, measured so that contenders can be compared within one run."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable


def microseconds(
    contenders: dict[str, Callable[[], object]],
    rounds: int = 40,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, float]:
    """Median time of each contender per call, measured in turns so that noise hits all alike.

    For what never waits, `time.process_time_ns` is the fairer clock.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    gc.collect()
    for _ in range(rounds):
        for name, run in contenders.items():
            began = clock()
            run()
            times[name].append((clock() - began) / 1_000)
    return {name: statistics.median(values) for name, values in times.items()}
