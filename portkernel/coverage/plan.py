"""Which cells there are, and which of them a run tries."""

from __future__ import annotations

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
    """How much a run tries."""

    QUICK = "quick"
    USUAL = "usual"
    FULL = "full"


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

    def row(self, row: Row) -> bool:
        return not self.operators or row.name in self.operators or row.id in self.operators

    def column(self, column: Column) -> bool:
        return not self.backends or column.backend in self.backends or column.id in self.backends


@dataclass(frozen=True, slots=True)
class Plan:
    """``probes`` come first, one worker at a time; ``checked`` may run side by side; ``measured`` steps run alone, last.

    ``skipped`` are the cells of the selection that this depth does not try.
    """

    probes: tuple[Batch, ...]
    checked: tuple[Batch, ...]
    measured: tuple[Batch, ...]
    skipped: tuple[Step, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(s for batches in (self.probes, self.checked, self.measured) for b in batches for s in b.steps)


MODE = {"device": "run", "interpreter": "run", "compiler": "compile"}
"""How a column of a kind is tried."""


def make_plan(rows: Iterable[Row], columns: Sequence[Column], selection: Selection, scratch: Path) -> Plan:
    """The steps for ``rows`` on ``columns``. ``scratch`` holds the compile caches of the probes."""
    here = [column for column in columns if selection.column(column)]
    checked: list[Batch] = []
    measured: list[Batch] = []
    skipped: list[Step] = []
    for row in filter(selection.row, rows):
        for dtype in row.dtypes:
            if selection.dtypes and dtype not in selection.dtypes:
                continue
            cells = [Step(row.id, dtype, c, MODE[c.kind], selection.cases, row.kind) for c in here]
            if selection.cells:
                cells = [s for s in cells if s.id in selection.cells]
            tried = tuple(s for s in cells if _is_tried(row, s, columns, selection))
            skipped += [s for s in cells if s not in tried]
            timed = tuple(_measurement(s) for s in tried if _is_measured(row, s, selection))
            checked += [Batch(tried)] if tried else []
            measured += [Batch(timed)] if timed else []
    probes = () if selection.cells else tuple(_probes(here, selection, scratch))
    return Plan(probes, tuple(checked), tuple(measured), tuple(skipped))


def _is_tried(row: Row, step: Step, columns: Sequence[Column], selection: Selection) -> bool:
    """A quick run keeps the plain call on the first dtype and one architecture of each backend; the usual one leaves
    variants out where nothing runs at speed, but for the first dtype, and other architectures than the first."""
    if selection.depth is Depth.FULL or selection.cells:
        return True
    plain = not row.variant
    wanted = [d for d in row.dtypes if not selection.dtypes or d in selection.dtypes]
    first_dtype = step.dtype == wanted[0]
    compiled = [c.id for c in columns if c.backend == step.column.backend and c.kind == "compiler"]
    first_place = step.column.id not in compiled[1:]
    if selection.depth is Depth.QUICK:
        return plain and first_dtype and first_place
    if step.column.kind == "device":
        return True
    if step.column.kind == "interpreter":
        return plain or first_dtype
    return plain and (first_place or first_dtype)


def _is_measured(row: Row, step: Step, selection: Selection) -> bool:
    if step.column.kind != "device" or (row.variant and selection.depth is not Depth.FULL):
        return False
    return selection.depth is not Depth.QUICK or bool(selection.cells)


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
