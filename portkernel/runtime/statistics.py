"""What happened in this process: ``pk.stats()``."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass, field

_log = logging.getLogger("portkernel")


@dataclass(slots=True)
class Stats:
    """Counters since the process began, or since :func:`reset`.

    ``launches`` counts by (kernel, backend); ``compilations`` are runs of a device compiler; ``memory_hits`` and
    ``disk_hits`` are what made one unnecessary; ``bytes_copied`` went between host and device memory;
    ``fallbacks`` counts by reason.
    """

    launches: dict[tuple[str, str], int] = field(default_factory=dict)
    lowerings: int = 0
    compilations: int = 0
    memory_hits: int = 0
    disk_hits: int = 0
    bytes_copied: int = 0
    fallbacks: dict[str, int] = field(default_factory=dict)


class Counters:
    """The counters behind :func:`snapshot`. Plans of launches count in cells of their own and cost no lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        self.lowerings = self.compilations = self.disk_hits = self.bytes_copied = 0
        self.misses = 0
        self.fallbacks: Counter[str] = Counter()
        self.cells: dict[tuple[str, str], list[int]] = {}

    def cell(self, kernel: str, backend: str) -> list[int]:
        """The one-element list that launches of ``kernel`` on ``backend`` count in."""
        with self.lock:
            return self.cells.setdefault((kernel, backend), [0])

    def add(self, counter: str, amount: int = 1) -> None:
        with self.lock:
            setattr(self, counter, getattr(self, counter) + amount)

    def fallback(self, reason: str) -> None:
        """Count a fallback, and log it the first time."""
        with self.lock:
            self.fallbacks[reason] += 1
            first = self.fallbacks[reason] == 1
        if first:
            _log.warning("portkernel: %s", reason)


COUNTERS = Counters()


def snapshot() -> Stats:
    """The counters as they stand; ``pk.reset_stats()`` sets them to zero.

    >>> reset()
    >>> snapshot().compilations
    0
    """
    c = COUNTERS
    with c.lock:
        launches = {key: cell[0] for key, cell in c.cells.items() if cell[0]}
        hits = max(0, sum(launches.values()) - c.misses)
        return Stats(launches, c.lowerings, c.compilations, hits, c.disk_hits, c.bytes_copied, dict(c.fallbacks))


def reset() -> None:
    """Set every counter to zero."""
    with COUNTERS.lock:
        for cell in COUNTERS.cells.values():
            cell[0] = 0
        cells = COUNTERS.cells
        COUNTERS.clear()
        COUNTERS.cells = cells
