"""Which cells there are, and which of them a run tries."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .model import Column, Row, Step
from .places import ROUTES
from .pool import IN_PROCESS, Batch
from .probes import PROBES

__all__ = ["ROUTES", "Depth", "Plan", "Selection", "make_plan"]


class Depth(Enum):
    """How much a run tries; the value is the time that it gives itself, in seconds, unless told otherwise."""

    QUICK = 50.0
    USUAL = 165.0
    FULL = math.inf


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for; an empty tuple selects everything. ``cases`` bounds the cases of each cell (0: all)."""

    operators: tuple[str, ...] = ()
    """Names or ids of rows."""
    dtypes: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    """Backends or ids of columns."""
    cells: tuple[str, ...] = ()
    depth: Depth = Depth.USUAL
    cases: int = 3

    @property
    def last_tier(self) -> int:
        """The last tier that is tried: see :func:`_tier`. What is asked for by name is tried in full."""
        if self.depth is Depth.QUICK:
            return 1
        return 6 if self.depth is Depth.FULL or self.operators else 5

    @property
    def timed(self) -> tuple[int, ...]:
        """The tiers whose cells on devices are timed."""
        return {Depth.QUICK: (), Depth.USUAL: (0,), Depth.FULL: (0, 2, 3, 6)}[self.depth]

    def row(self, row: Row) -> bool:
        return not self.operators or row.name in self.operators or row.id in self.operators

    def column(self, column: Column) -> bool:
        return not self.backends or column.backend in self.backends or column.id in self.backends


@dataclass(frozen=True, slots=True)
class Plan:
    """``probes`` come first, one worker at a time; ``checked`` may run side by side; ``measured`` steps run alone, last.

    ``left_out`` counts the cells of the selection that this depth does not try.
    """

    probes: tuple[Batch, ...]
    checked: tuple[Batch, ...]
    measured: tuple[Batch, ...]
    left_out: int

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(s for batches in (self.probes, self.checked, self.measured) for b in batches for s in b.steps)


COMMON = ("float32", "float16", "float64", "int32", "bfloat16", "int8", "int64", "bool", "uint8")
"""The dtypes that most work is done in, in the order in which they are tried."""
MODE = {"device": "run", "interpreter": "run", "compiler": "compile"}
"""How a column of a kind is tried."""


def make_plan(rows: Iterable[Row], columns: Sequence[Column], selection: Selection, scratch: Path) -> Plan:
    """The steps for ``rows`` on ``columns``, the most telling first. ``scratch`` holds the compile caches of the probes."""
    here = [column for column in columns if selection.column(column)]
    firsts = _firsts(columns)
    checked: dict[tuple[int, int], list[Batch]] = {}
    measured: list[Batch] = []
    left_out = 0
    rows = list(rows)
    leading = {row.id for row in {(r.kind, r.name): r for r in reversed(rows)}.values()}
    for row in filter(selection.row, rows):
        wanted = [d for d in row.dtypes if not selection.dtypes or d in selection.dtypes]
        for dtype in wanted:
            steps: dict[int, list[Step]] = {}
            for column in here:
                tier = _tier(row.id in leading, dtype == wanted[0], column, column.id in firsts)
                cases = selection.cases if tier == 0 or selection.depth is Depth.FULL else 1
                step = Step(row.id, dtype, column, MODE[column.kind], cases, row.kind)
                if not selection.cells and tier > selection.last_tier:
                    left_out += 1
                elif not selection.cells or step.id in selection.cells:
                    steps.setdefault(tier, []).append(step)
            for tier, some in steps.items():
                checked.setdefault((tier, _place(dtype)), []).append(Batch(tuple(some)))
                timed = tuple(_measurement(s) for s in some if tier in selection.timed and s.column.kind == "device")
                measured += [Batch(timed)] if timed else []
    probes = () if selection.cells else tuple(_probes(here, selection, scratch))
    ordered = tuple(batch for _, batches in sorted(checked.items()) for batch in batches)
    return Plan(probes, ordered, tuple(measured), left_out)


def _place(dtype: str) -> int:
    """Within a tier all rows come with one dtype before any comes with the next."""
    return COMMON.index(dtype) if dtype in COMMON else len(COMMON)


def _firsts(columns: Sequence[Column]) -> set[str]:
    """The first column of each kind of each backend."""
    return set({(c.backend, c.kind): c.id for c in reversed(columns)}.values())


def _tier(plain: bool, first_dtype: bool, column: Column, first_place: bool) -> int:
    """How soon a cell is tried: what says most of an operator comes first. ``plain`` is its first row.

    0 the plain call on its first dtype where something runs, 1 compiled for one architecture of each backend, 2 on the other
    dtypes, 3 the variants on the first dtype, 4 the other devices, interpreters and compilers on the other dtypes, 5 the
    other architectures, 6 the rest.
    """
    compiles = column.kind == "compiler"
    if plain and first_dtype:
        return 0 if not compiles else 1 if first_place else 5
    if plain:
        return 2 if column.kind == "device" and first_place else 4 if first_place or not compiles else 6
    return 3 if first_dtype and column.kind == "device" else 6


def _measurement(step: Step) -> Step:
    return Step(step.row, step.dtype, step.column, "measure", kind=step.kind)


def _probes(columns: Iterable[Column], selection: Selection, scratch: Path) -> Iterable[Batch]:
    """Each column twice: the second process finds what the first compiled."""
    for column in columns:
        if MODE[column.kind] != "run":
            continue
        folder = str(scratch / column.id.replace("/", "-"))
        for cache in ("cold", "warm"):
            steps = tuple(
                Step(probe.name, probe.dtype, column, "probe", kind=cache)
                for probe in PROBES
                if not selection.dtypes or probe.dtype in selection.dtypes
            )
            if steps:
                yield Batch(steps, {**IN_PROCESS, "PORTKERNEL_CACHE_DIR": folder}, alone=True)
