"""Interleaved timing: contestants take turns (:mod:`portkernel.runtime.turns`) until their ratios are certain."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence

from ..runtime.turns import turn
from .model import Interval, Run

MIN_ROUNDS = 9
MAX_ROUNDS = 400
CERTAIN = 0.1
"""Rounds go on while an interval is wider than this part of its ratio …"""
LONGER = 4
"""… for at most so many times the time that was asked for."""
WARM_UP = 2


def interval(samples: Sequence[float]) -> Interval:
    """The median and its 95 % confidence interval, from the order statistics of ``samples``: no distribution is assumed."""
    ordered = sorted(samples)
    n = len(ordered)
    half = 0.98 * math.sqrt(n)
    low, high = math.floor(n / 2 - half), math.ceil(n / 2 + half)
    return Interval(statistics.median(ordered), ordered[max(low, 0)], ordered[min(high, n - 1)])


def rounds(contestants: Mapping[str, Run], seconds: float) -> dict[str, list[float]]:
    """The times of each contestant by round. The order turns with every round; the first runs do not count.

    Rounds go on for ``seconds``, and up to ``LONGER`` times as long where other load leaves the ratios uncertain.
    """
    names = list(contestants)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(WARM_UP):
        for name in names:
            contestants[name]()
    begin = time.perf_counter()
    for done in range(MAX_ROUNDS):
        passed = time.perf_counter() - begin
        if done >= MIN_ROUNDS and passed >= seconds and (passed >= LONGER * seconds or _certain(taken)):
            break
        first = done % len(names)
        for name in (*names[first:], *names[:first]):
            taken[name].append(turn(contestants[name]))
    return taken


def _certain(taken: Mapping[str, Sequence[float]]) -> bool:
    return all(found.spread <= CERTAIN for found in speeds(taken, next(iter(taken))).values())


def speeds(taken: Mapping[str, Sequence[float]], ours: str = "ours") -> dict[str, Interval]:
    """Each peer's time as a multiple of ours, round by round."""
    own = taken[ours]
    return {
        name: interval([theirs / mine for theirs, mine in zip(times, own, strict=True)])
        for name, times in taken.items()
        if name != ours
    }
