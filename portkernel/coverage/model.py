"""What the report is made of: rows, columns, the steps that are tried, and the cells that they fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .states import State

KERNELS = "kernels/"
"""The ids of kernels' rows begin with it."""
Key = tuple[str, str, str]
"""Row, dtype and column of a cell."""


@dataclass(frozen=True, slots=True)
class Row:
    """An operator (or a kernel that no operator reaches) in one of its variants. ``variant`` is empty for the plain call."""

    name: str
    variant: str = ""
    kind: str = "operator"
    """``operator`` or ``kernel``."""
    dtypes: tuple[str, ...] = ()
    follows: str = ""
    """Whose names and semantics it has: ``numpy`` or ``torch.nn.functional``."""
    kernels: tuple[str, ...] = ()
    aten: tuple[str, ...] = ()
    """The overloads of core ATen that it serves."""

    @property
    def id(self) -> str:
        """``matmul``, ``matmul[transposed]``, ``kernels/matmul``: an operator and a kernel may have the same name."""
        if self.kind == "kernel":
            return KERNELS + self.name
        return f"{self.name}[{self.variant}]" if self.variant else self.name


@dataclass(frozen=True, slots=True)
class Column:
    """A place where kernels run, are interpreted, or are compiled for.

    ``kind`` is ``device`` (executes), ``interpreter`` (executes the text on the CPU), ``compiler`` (compiles for
    ``target``, runs nothing) or ``profile`` (static: see :mod:`.static`).
    """

    id: str
    backend: str
    kind: str
    device: str = ""
    """What ``device=`` of a launch takes, where something is launched."""
    name: str = ""
    """The device string, as its driver gives it."""
    target: str = ""
    arch: str = ""
    driver: str = ""
    compiler: str = ""

    @property
    def call(self) -> Mapping[str, str]:
        """``backend=`` and ``device=`` of a call that goes there."""
        return {"backend": self.backend, **({"device": self.device} if self.device else {})}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to try in a worker process. ``mode`` is run, measure, compile or probe."""

    row: str
    dtype: str
    column: Column
    mode: str
    cases: int = 0
    """How many cases to check at most; 0 for all."""
    kind: str = "operator"
    explain: bool = False
    """Whether to say what the kernels use: asked where a probe found a column short of precision."""

    @property
    def cell(self) -> tuple[str, str, str]:
        return self.row, self.dtype, self.column.id

    @property
    def id(self) -> str:
        """The test id: ``--cell`` takes it and tries that cell alone."""
        return cell_id(*self.cell)

    @property
    def key(self) -> str:
        """Identifies the step within a run."""
        return f"{self.mode} {self.kind} {self.id}"


def cell_id(row: str, dtype: str, column: str) -> str:
    """``matmul[transposed]:float16@opencl/pocl``."""
    return f"{row}:{dtype}@{column}"


@dataclass(frozen=True, slots=True)
class Errors:
    """The largest errors over all cases. ``of_bound`` is a multiple of the bound of its element; ``bound`` is absolute.

    ``relative`` and ``ulp`` are against the float64 reference, in units in the last place of the output's dtype; both
    are 0 for exact results.
    """

    of_bound: float = 0.0
    absolute: float = 0.0
    relative: float = 0.0
    ulp: float = 0.0
    bound: float = 0.0
    case: str = ""
    cases: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step came to. Times are seconds; ``took`` is that of the whole step in its worker."""

    state: State
    reason: str = ""
    errors: Errors | None = None
    how: str = ""
    """Of ``emulated``: by what."""
    declared: str = ""
    executed: str = ""
    """Of ``degraded``: the declared and the executed dtype."""
    to: str = ""
    """Of ``fallback``: what computed instead."""
    launches: Mapping[str, int] = field(default_factory=dict)
    """The evidence: launches of our kernels on the column's backend, by kernel."""
    route: str = ""
    """The kernels of the first call with the sizes chosen for the device, and the device."""
    uses: tuple[str, ...] = ()
    """What the kernels consist of that a precision probe speaks of: ``dot``, ``accumulate``."""
    seconds: float | None = None
    peer: str = ""
    peer_seconds: float | None = None
    value: float | None = None
    """Of a precision probe: the number that came out."""
    took: float = 0.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One row on one dtype on one column."""

    row: str
    dtype: str
    column: str
    outcome: Outcome
    date: str = ""

    @property
    def state(self) -> State:
        return self.outcome.state

    @property
    def key(self) -> tuple[str, str, str]:
        return self.row, self.dtype, self.column

    @property
    def id(self) -> str:
        return cell_id(*self.key)

    @property
    def ratio(self) -> float | None:
        """Our time as a multiple of the peer's: below 1 is faster."""
        ours, theirs = self.outcome.seconds, self.outcome.peer_seconds
        return ours / theirs if ours and theirs else None

    def timed(self, measured: Outcome) -> Cell:
        """This cell with the times of a measurement."""
        found = replace(self.outcome, seconds=measured.seconds, peer=measured.peer, peer_seconds=measured.peer_seconds)
        return replace(self, outcome=found)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a precision probe found on a column, with a cold or a warm compile cache."""

    column: str
    probe: str
    cache: str
    declared: str
    executed: str
    value: float | None
    expected: float
    uses: str = ""
    """Which cells of ``declared`` it speaks of: those that use this; all where empty."""
    reason: str = ""

    @property
    def degraded(self) -> bool:
        return self.executed not in ("", self.declared)


@dataclass(frozen=True, slots=True)
class Percentage:
    """A share with its denominator in words. ``column`` is empty for that of all columns together."""

    of: str
    what: str
    column: str
    numerator: int
    denominator: int

    @property
    def percent(self) -> float:
        return 100.0 * self.numerator / self.denominator if self.denominator else 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """A cell whose state is another than before. ``before`` is None for a new one, ``after`` for one that is gone."""

    key: Key
    before: State | None
    after: State | None
    reason: str = ""

    def __str__(self) -> str:
        name = cell_id(*self.key)
        before, after = (s.value if s is not None else "not there" for s in (self.before, self.after))
        return f"{name}: {before} → {after}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed. ``unmeasured`` were in the baseline and not measured now: no device, no compiler, left out."""

    improved: tuple[Change, ...] = ()
    regressed: tuple[Change, ...] = ()
    new: tuple[Change, ...] = ()
    gone: tuple[Change, ...] = ()
    unmeasured: tuple[Change, ...] = ()

    def counts(self) -> str:
        names = ("improved", "regressed", "new", "gone")
        text = ", ".join(f"{len(getattr(self, name))} {name}" for name in names)
        return text + (f"; {len(self.unmeasured)} not measured here" if self.unmeasured else "")


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a run found. ``made`` says when, where, by which versions and from which commit."""

    made: Mapping[str, object]
    rows: Sequence[Row]
    columns: Sequence[Column]
    cells: Sequence[Cell]
    probes: Sequence[ProbeResult] = ()
    percentages: Sequence[Percentage] = ()
    missing: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Backends without a device here: why, and what would give them one."""
    left_out: int = 0
    """Cells of the rows, dtypes and columns that the run left out or did not reach: untested, and not among ``cells``."""
    comparison: Comparison | None = None
    """What changed since the baseline, where there was one."""

    @property
    def untested(self) -> int:
        """How many cells were not tried, whatever the reason."""
        return self.left_out + sum(c.state is State.UNTESTED for c in self.cells)

    @property
    def wrong(self) -> tuple[Cell, ...]:
        return tuple(c for c in self.cells if c.state is State.WRONG)
