"""What happened in this process: ``pk.stats()``."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass, field

from .observation import OBSERVED

_log = logging.getLogger("portkernel")


@dataclass(slots=True)
class Stats:
    """Counters since the process began, or since :func:`reset`.

    ``launches`` counts by (kernel, backend), ``operators`` those of the operators of ``portkernel.ops`` by (operator, kernel,
    backend); ``compilations`` are runs of a device compiler; ``memory_hits`` and ``disk_hits`` are what made one
    unnecessary; ``bytes_copied`` went between host and device memory. ``fallbacks`` counts by reason, and
    ``operator_fallbacks`` by (operator, reason): how often such a route was chosen, not how often it was taken again.
    """

    launches: dict[tuple[str, str], int] = field(default_factory=dict)
    operators: dict[tuple[str, str, str], int] = field(default_factory=dict)
    lowerings: int = 0
    compilations: int = 0
    memory_hits: int = 0
    disk_hits: int = 0
    bytes_copied: int = 0
    fallbacks: dict[str, int] = field(default_factory=dict)
    operator_fallbacks: dict[tuple[str, str], int] = field(default_factory=dict)


class Counters:
    """The counters behind :func:`snapshot`. Plans of launches count in cells of their own and cost no lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        self.lowerings = self.compilations = self.disk_hits = self.bytes_copied = 0
        self.misses = 0
        self.fallbacks: Counter[str] = Counter()
        self.operator_fallbacks: Counter[tuple[str, str]] = Counter()
        self.cells: dict[tuple[str, str], list[int]] = {}
        self.operator_cells: dict[tuple[str, str, str], list[int]] = {}

    def cell(self, kernel: str, backend: str) -> list[int]:
        """The one-element list that launches of ``kernel`` on ``backend`` count in."""
        with self.lock:
            return self.cells.setdefault((kernel, backend), [0])

    def operator_cell(self, operator: str, kernel: str, backend: str) -> list[int]:
        """As :meth:`cell`, for the launches of an operator."""
        key = (operator, kernel, backend)
        found = self.operator_cells.get(key)
        if found is None:
            with self.lock:
                found = self.operator_cells.setdefault(key, [0])
        return found

    def add(self, counter: str, amount: int = 1) -> None:
        with self.lock:
            setattr(self, counter, getattr(self, counter) + amount)

    def fallback(self, reason: str) -> None:
        """Count a fallback, and log it the first time."""
        with self.lock:
            self.fallbacks[reason] += 1
            if OBSERVED.operator:
                self.operator_fallbacks[OBSERVED.operator, reason] += 1
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
        operators = {key: cell[0] for key, cell in c.operator_cells.items() if cell[0]}
        return Stats(
            launches, operators, c.lowerings, c.compilations, hits, c.disk_hits, c.bytes_copied, dict(c.fallbacks),
            dict(c.operator_fallbacks),
        )  # fmt: skip


def reset() -> None:
    """Set every counter to zero."""
    with COUNTERS.lock:
        cells, operator_cells = COUNTERS.cells, COUNTERS.operator_cells
        for cell in (*cells.values(), *operator_cells.values()):
            cell[0] = 0
        COUNTERS.clear()
        COUNTERS.cells, COUNTERS.operator_cells = cells, operator_cells
