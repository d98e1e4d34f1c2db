"""Cells, times and errors in words: what the terminal, Markdown and the summary share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..model import Cell, Column, Percentage, Report
from ..states import MEANING, State

REASONED = (State.WRONG, State.DEGRADED, State.FALLBACK, State.UNSUPPORTED, State.EMITTED)
"""States that want a reason."""


def duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"


def error_text(cell: Cell) -> str:
    """The largest error as a multiple of the bound."""
    errors = cell.outcome.errors
    if errors is None:
        return ""
    return "exact" if errors.of_bound == 0 else f"{errors.of_bound:.2g}"


def ratio_text(cell: Cell) -> str:
    """Our time as a multiple of the peer's: below 1 is faster."""
    ratio = cell.ratio
    if ratio is None:
        return ""
    return f"{ratio:.2g}× {cell.outcome.peer}" if ratio < 10 else f"{ratio:.0f}× {cell.outcome.peer}"


def state_text(cell: Cell, column: Column) -> str:
    """The state with what belongs to it: ``degraded (float64 → float32)``, ``compiled (triton 3.9.0, sm_90)``."""
    found = cell.outcome
    bound = error_text(cell)
    more = {
        State.EMULATED: [found.how, f"error {bound} of the bound" if bound not in ("", "exact") else bound],
        State.DEGRADED: [f"{found.declared} → {found.executed}"],
        State.FALLBACK: [f"to {found.to}"],
        State.WRONG: [found.reason],
        State.COMPILED: [column.compiler, column.arch],
        State.UNSUPPORTED: [found.reason],
    }.get(cell.state, [])
    shown = ", ".join(part for part in more if part)
    return f"{cell.state.value} ({shown})" if shown else cell.state.value


def tally(cells: Iterable[Cell], skip: Sequence[State] = ()) -> str:
    """``6 native, 2 emulated``, best first."""
    counts = Counter(cell.state for cell in cells)
    return ", ".join(f"{counts[state]} {state.value}" for state in State if counts[state] and state not in skip)


def tried_columns(report: Report) -> list[Column]:
    """The columns that have a cell to show."""
    places = {cell.column for cell in report.cells if cell.state is not State.UNTESTED}
    return [column for column in report.columns if column.id in places]


def totals(report: Report) -> str:
    """How many cells there are, in which states, and what it took."""
    seconds = report.made["seconds"]
    unfinished = "" if report.made["complete"] else "; interrupted"
    tried = [cell for cell in report.cells if cell.state is not State.UNTESTED]
    rest = f"; {report.untested} more untested" if report.untested else ""
    return f"{len(tried)} cells tried ({seconds:.0f} s{unfinished}): {tally(tried)}{rest}"


def percentage_text(share: Percentage) -> str:
    return f"{share.percent:.1f} % ({share.numerator} of {share.denominator})"


def legend(report: Report) -> list[str]:
    """What the states that occur mean, and what the numbers are."""
    present = {cell.state for cell in report.cells}
    lines = [f"{state.value}: {MEANING[state]}." for state in State if state in present]
    if any(cell.outcome.errors for cell in report.cells):
        lines.append(
            "error: the largest over the cases tried, as a multiple of the bound that the operator states (float64 reference); "
            "at most 1 passes, exact means equal."
        )
    if any(cell.outcome.seconds for cell in report.cells):
        lines.append(
            "time: the median call of the first case, small enough that it is mostly what a call costs; ratio: that time "
            "divided by the peer's for the same call in the same process (below 1 is faster)."
        )
    return lines


def reasons(cells: Iterable[Cell], states: Sequence[State] = REASONED) -> dict[tuple[State, str], list[Cell]]:
    """Cells of ``states`` by state and reason, alike ones together, the worst state first."""
    found: dict[tuple[State, str], list[Cell]] = {}
    for state in reversed([s for s in State if s in states]):
        for cell in cells:
            if cell.state is state:
                found.setdefault((state, cell.outcome.reason), []).append(cell)
    return found


def names_of(cells: Sequence[Cell], most: int = 6) -> str:
    """The ids of some cells, the rest counted."""
    shown = ", ".join(cell.id for cell in cells[:most])
    return shown if len(cells) <= most else f"{shown} and {len(cells) - most} more"


def plain_table(rows: Sequence[Sequence[str]], widest: int = 0) -> str:
    """Text in columns under the first row; what is wider than ``widest`` (0: no limit) is cut, and says so."""
    kept = [[text if not 0 < widest < len(text) else text[: widest - 1] + "…" for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*kept, strict=True)]
    lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in kept]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
