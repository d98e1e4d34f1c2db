"""Interleaved timing: every round runs each contestant once, so that what else the machine does hits all alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence

from .model import Interval, Run

MIN_ROUNDS = 9
MAX_ROUNDS = 400
WARM_UP = 2


def interval(samples: Sequence[float]) -> Interval:
    """The median and its 95 % confidence interval, from the order statistics of ``samples``: no distribution is assumed."""
    ordered = sorted(samples)
    n = len(ordered)
    half = 0.98 * math.sqrt(n)
    low, high = math.floor(n / 2 - half), math.ceil(n / 2 + half)
    return Interval(statistics.median(ordered), ordered[max(low, 0)], ordered[min(high, n - 1)])


def rounds(contestants: Mapping[str, Run], seconds: float) -> dict[str, list[float]]:
    """The times of each contestant by round. The order turns with every round; the first runs do not count."""
    names = list(contestants)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(WARM_UP):
        for name in names:
            contestants[name]()
    end = time.perf_counter() + seconds
    done = 0
    while done < MIN_ROUNDS or (done < MAX_ROUNDS and time.perf_counter() < end):
        turn = done % len(names)
        for name in (*names[turn:], *names[:turn]):
            run = contestants[name]
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
        done += 1
    return taken


def speeds(taken: Mapping[str, Sequence[float]], ours: str = "ours") -> dict[str, Interval]:
    """Each peer's time as a multiple of ours, round by round."""
    own = taken[ours]
    return {
        name: interval([theirs / mine for theirs, mine in zip(times, own, strict=True)])
        for name, times in taken.items()
        if name != ours
    }
