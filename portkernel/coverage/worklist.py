"""Which cells there are, and which of them a run tries."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from pathlib import Path

from ..errors import SettingError
from .model import Column, Row, Step
from .pool import IN_PROCESS, Batch
from .probes import PROBES


class Tier(IntEnum):
    """How soon a cell is tried: what says most of an operator comes first, and every operator before the next tier.

    An operator leads with its plain call (its first variant, where it has none); the first architecture of a backend and
    its first device stand for the others.
    """

    LEAD = 0
    """The lead on its first dtype wherever something runs."""
    COMPILED = 1
    """The same, compiled for the first architecture of each backend."""
    VARIANTS = 2
    """The variants on their first dtype on every device."""
    DTYPES = 3
    """The lead on its other dtypes on the first device of each backend."""
    PLACES = 4
    """The same on the other devices, in interpreters and by compilers; the variants in interpreters."""
    ARCHITECTURES = 5
    """The lead on its first dtype, compiled for the other architectures."""
    REST = 6


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
    def last_tier(self) -> Tier:
        """The last tier that is tried. What is asked for by name is tried in full."""
        if self.depth is Depth.FULL or self.cells:
            return Tier.REST
        if self.depth is Depth.QUICK:
            return Tier.COMPILED
        return Tier.REST if self.operators else Tier.ARCHITECTURES

    def times(self, tier: Tier) -> bool:
        """Whether the cells of ``tier`` on devices are timed."""
        return self.depth is Depth.FULL or (self.depth is Depth.USUAL and tier is Tier.LEAD)

    def row(self, row: Row) -> bool:
        return not self.operators or row.name in self.operators or row.id in self.operators

    def column(self, column: Column) -> bool:
        return not self.backends or column.backend in self.backends or column.id in self.backends

    def check_cells(self, known: Iterable[str]) -> None:
        """Raises :class:`~portkernel.errors.SettingError` for a cell asked for that is not ``known``."""
        unknown = set(self.cells) - set(known)
        if unknown:
            raise SettingError(
                f"--cell: expected a cell of this machine, got {', '.join(sorted(unknown))}",
                hint="a cell is called row:dtype@column, as matmul[transposed]:float16@opencl/pocl",
            )

    def nowhere(self, columns: Iterable[Column]) -> list[str]:
        """The names in ``backends`` that select none of ``columns``."""
        known = {name for column in columns for name in (column.backend, column.id)}
        return [name for name in self.backends if name not in known]


@dataclass(frozen=True, slots=True)
class Worklist:
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


def make_worklist(rows: Iterable[Row], columns: Sequence[Column], selection: Selection, scratch: Path) -> Worklist:
    """The steps for ``rows`` on ``columns``, by :class:`Tier`; in each, all rows come with one dtype before any comes with the
    next, and each operator with one variant before any comes with two. ``scratch`` holds the compile caches of the probes.
    """
    here = [column for column in columns if selection.column(column)]
    firsts = _firsts(columns)
    checked: dict[tuple[Tier, int, int], list[Batch]] = {}
    measured: list[Batch] = []
    left_out = 0
    for row, turn in in_turn(row for row in rows if selection.row(row)):
        wanted = [d for d in row.dtypes if not selection.dtypes or d in selection.dtypes]
        for dtype in wanted:
            steps: dict[Tier, list[Step]] = {}
            for column in here:
                tier = _tier(turn == 0, dtype == wanted[0], column, column.id in firsts)
                cases = selection.cases if tier is Tier.LEAD or selection.depth is Depth.FULL else 1
                step = Step(row.id, dtype, column, MODE[column.kind], cases, row.kind)
                if tier > selection.last_tier:
                    left_out += 1
                elif not selection.cells or step.id in selection.cells:
                    steps.setdefault(tier, []).append(step)
            for tier, some in steps.items():
                checked.setdefault((tier, _common(dtype), turn), []).append(Batch(tuple(some)))
                timed = tuple(_measurement(s) for s in some if selection.times(tier) and s.column.kind == "device")
                measured += [Batch(timed)] if timed else []
    probes = () if selection.cells else tuple(_probes(here, selection, scratch))
    ordered = tuple(batch for _, batches in sorted(checked.items()) for batch in batches)
    return Worklist(probes, ordered, tuple(measured), left_out)


def in_turn(rows: Iterable[Row]) -> Iterator[tuple[Row, int]]:
    """Each row with its place among those of its operator: 0 for the one that leads."""
    seen: Counter[tuple[str, str]] = Counter()
    for row in rows:
        yield row, seen[row.kind, row.name]
        seen[row.kind, row.name] += 1


def _common(dtype: str) -> int:
    """How early a dtype comes."""
    return COMMON.index(dtype) if dtype in COMMON else len(COMMON)


def _firsts(columns: Sequence[Column]) -> set[str]:
    """The first column of each kind of each backend."""
    return set({(c.backend, c.kind): c.id for c in reversed(columns)}.values())


def _tier(leads: bool, first_dtype: bool, column: Column, first_place: bool) -> Tier:
    """The tier of a cell of a row that leads its operator, or is a later variant of it."""
    compiles = column.kind == "compiler"
    if not leads:
        if compiles or not first_dtype:
            return Tier.REST
        return Tier.VARIANTS if column.kind == "device" else Tier.PLACES
    if compiles and not first_place:
        return Tier.ARCHITECTURES if first_dtype else Tier.REST
    if first_dtype:
        return Tier.COMPILED if compiles else Tier.LEAD
    return Tier.DTYPES if column.kind == "device" and first_place else Tier.PLACES


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
