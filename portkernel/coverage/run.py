"""Performs a worklist and gathers the cells."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import SettingError
from . import places
from .journal import Journal
from .model import Cell, Column, Outcome, ProbeResult, Report, Row, Step
from .percentages import percentages
from .places import Found
from .pool import Batch, Pool
from .probes import degrade, result
from .provenance import made, now
from .worklist import Selection, Worklist, make_worklist

Progress = Callable[[float, Step], None]
"""Called after each step with how far the run is, from 0 to 1, and the step."""
TIMING = 0.15
"""The share of the time that is kept for timing."""
WEIGHT = {"run": 2, "compile": 4, "measure": 1, "probe": 2}
"""About how long a step of a mode takes, relative to another."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a worklist is performed: ``seconds`` bounds each step, ``budget`` the whole; ``command`` are the options, for the record."""

    workers: int = 2
    seconds: float = 60.0
    budget: float = math.inf
    command: tuple[str, ...] = ()


class Run:
    """One run over ``rows``. :meth:`perform` may be interrupted; :meth:`report` says what was found until then."""

    def __init__(
        self, rows: Sequence[Row], found: Mapping[str, Found], selection: Selection, journal: Journal, options: Options
    ) -> None:
        self._start, self._clock = time.time(), time.perf_counter()
        self._rows = [row for row in rows if selection.row(row)]
        self._found, self._selection, self._journal, self._options = found, selection, journal, options
        self._columns = places.columns(found)
        self._outcomes: dict[str, tuple[Outcome, str]] = dict(journal.done)
        self._scratch = tempfile.TemporaryDirectory(prefix="portkernel-coverage-")
        self.worklist: Worklist = make_worklist(self._rows, self._columns, selection, Path(self._scratch.name))
        self.complete = False
        # A backend without a device here has no column: its reason is in the report. A column that is not here is a mistake.
        nowhere = [name for name in selection.nowhere(self._columns) if "/" in name]
        if nowhere:
            raise SettingError(
                f"--backends: expected a column of this machine, got {', '.join(nowhere)}",
                hint=f"the columns are {', '.join(column.id for column in self._columns)}",
            )
        selection.check_cells(step.id for step in self.worklist.steps)

    def perform(self, progress: Progress | None = None) -> None:
        """Perform what is not done yet. KeyboardInterrupt leaves what was found in place and in the journal."""
        total = sum(WEIGHT[s.mode] for s in self.worklist.steps)
        work = sum(WEIGHT[s.mode] for s in self.worklist.steps if s.key in self._outcomes)

        def done(step: Step, outcome: Outcome) -> None:
            nonlocal work
            date = now()
            self._outcomes[step.key] = outcome, date
            self._journal.note(step, outcome, date)
            work += WEIGHT[step.mode]
            if progress is not None:
                spent = (time.perf_counter() - self._clock) / self._options.budget
                progress(min(1.0, max(work / total, spent)), step)

        try:
            limit, end = self._options.seconds, self._clock + self._options.budget
            Pool(self._left(self.worklist.probes), 1, limit).run(done)
            lying = {p.column for p in self._probes() if p.degraded}
            enough = end - TIMING * self._options.budget if self.worklist.measured and end < math.inf else end
            Pool(self._left(self.worklist.checked, lying), self._options.workers, limit, enough).run(done)
            Pool(self._left(self._worth_measuring()), 1, limit, end).run(done)
            self.complete = True
        finally:
            self._journal.close(all(s.key in self._outcomes for b in self.worklist.checked for s in b.steps))
            self._scratch.cleanup()

    def _left(self, batches: Sequence[Batch], lying: set[str] = frozenset()) -> list[Batch]:  # type: ignore[assignment]
        """What is not done yet; on columns that a probe caught, cells say what they use."""
        left = [
            replace(batch, steps=tuple(replace(s, explain=s.column.id in lying) for s in batch.steps if s.key not in self._outcomes))
            for batch in batches
        ]  # fmt: skip
        return [batch for batch in left if batch.steps]

    def _worth_measuring(self) -> list[Batch]:
        """Only what was seen to be right is timed."""
        right = {s.cell for s, (o, _) in self._known("run") if o.state.ran}
        kept = [replace(b, steps=tuple(s for s in b.steps if s.cell in right)) for b in self.worklist.measured]
        return [batch for batch in kept if batch.steps]

    def _known(self, *modes: str) -> list[tuple[Step, tuple[Outcome, str]]]:
        return [(s, self._outcomes[s.key]) for s in self.worklist.steps if s.mode in modes and s.key in self._outcomes]

    def _probes(self) -> list[ProbeResult]:
        return [result(s, o) for s, (o, _) in self._known("probe")]

    def report(self) -> Report:
        """Everything found so far; what was not reached is untested."""
        cells = gather(self._rows, self._columns, self.worklist, self._outcomes)
        reachable = sum(len(batch.steps) for batch in self.worklist.checked)
        probes = self._probes()
        cells = degrade(cells, probes)
        seconds = time.perf_counter() - self._clock
        shown = [c for c in self._columns if self._selection.column(c)]
        return Report(
            made=made(self._start, seconds, self.complete, self._options.command),
            rows=self._rows,
            columns=shown,
            cells=cells,
            probes=probes,
            percentages=percentages(self._rows, shown, cells),
            left_out=self.worklist.left_out + reachable - len(cells),
            missing=places.missing(self._found),
        )


def gather(
    rows: Sequence[Row], columns: Sequence[Column], worklist: Worklist, outcomes: Mapping[str, tuple[Outcome, str]]
) -> tuple[Cell, ...]:
    """A cell for each row, dtype and column that was reached, in that order; a measurement joins the run that it measured."""
    times = {s.cell: outcomes[s.key][0] for b in worklist.measured for s in b.steps if s.key in outcomes}
    cells: list[Cell] = []
    for step in (s for batch in worklist.checked for s in batch.steps if s.key in outcomes):
        outcome, date = outcomes[step.key]
        cell = Cell(*step.cell, outcome, date)
        timed = times.get(step.cell)
        cells.append(cell.timed(timed) if timed is not None and timed.state.ran and cell.state.ran else cell)
    row_place = {row.id: i for i, row in enumerate(rows)}
    column_place = {column.id: i for i, column in enumerate(columns)}
    dtypes = {(row.id, d): i for row in rows for i, d in enumerate(row.dtypes)}
    return tuple(sorted(cells, key=lambda c: (row_place[c.row], dtypes[c.row, c.dtype], column_place[c.column])))
