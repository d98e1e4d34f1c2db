"""Interleaved timing: contestants take turns, so that what else the machine does hits all alike.

A turn begins on an idle process and with runs that do not count: pools of threads that wait for work by spinning
(OpenMP's, OpenBLAS's) would take a core from whoever comes next; threads that were asleep share a core for some
milliseconds until the system spreads them; and each contestant's data are where they are when it is called again and again.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence

from .model import Interval, Run

MIN_ROUNDS = 9
MAX_ROUNDS = 400
CERTAIN = 0.1
"""Rounds go on while an interval is wider than this part of its ratio …"""
LONGER = 4
"""… for at most so many times the time that was asked for."""
WARM_UP = 2
TURN = 0.005
PAUSE = 0.016
PATIENCE = 0.4


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
            taken[name].append(_turn(contestants[name]))
    return taken


def _certain(taken: Mapping[str, Sequence[float]]) -> bool:
    return all(found.spread <= CERTAIN for found in speeds(taken, next(iter(taken))).values())


def _turn(run: Run) -> float:
    """The median time of runs for about ``TURN`` seconds, one at least, after as many that do not count."""
    _rest()
    _times(run)
    return statistics.median(_times(run))


def _times(run: Run) -> list[float]:
    times: list[float] = []
    while sum(times) < TURN:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def _rest() -> None:
    """Wait until this process is idle: no thread of it ran for ``PAUSE`` seconds."""
    for _ in range(round(PATIENCE / PAUSE)):
        before = time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - before < PAUSE / 4:
            return


def speeds(taken: Mapping[str, Sequence[float]], ours: str = "ours") -> dict[str, Interval]:
    """Each peer's time as a multiple of ours, round by round."""
    own = taken[ours]
    return {
        name: interval([theirs / mine for theirs, mine in zip(times, own, strict=True)])
        for name, times in taken.items()
        if name != ours
    }
