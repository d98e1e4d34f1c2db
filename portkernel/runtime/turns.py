"""Interleaved timing: contestants take turns, so that what else the machine does hits all alike.

A turn begins on an idle process and with runs that do not count: pools of threads that wait for work by spinning
(OpenMP's, OpenBLAS's) would take a core from whoever comes next; threads that were asleep share a core for some
milliseconds until the system spreads them; and each contestant's data are where they are when it is called again and again.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

Run = Callable[[], object]

TURN = 0.005
PAUSE = 0.016
PATIENCE = 0.4


def turn(run: Run) -> float:
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


def in_turns(runs: Sequence[Run], seconds: float, least: int) -> list[float]:
    """The median time of each of ``runs``, over rounds for ``seconds`` and at least ``least`` of them. The order turns with
    every round; the first run of each does not count."""
    taken: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    begin = time.perf_counter()
    while len(taken[0]) < least or time.perf_counter() - begin < seconds:
        first = len(taken[0]) % len(runs)
        for place in (*range(first, len(runs)), *range(first)):
            taken[place].append(turn(runs[place]))
    return [statistics.median(times) for times in taken]
