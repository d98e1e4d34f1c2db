"""The report on a terminal: one line for each row, or with details for each cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..model import Percentage, Report
from ..states import LETTERS, State
from .words import (
    duration,
    error_text,
    legend,
    names_of,
    percentage_text,
    ratio_text,
    reasons,
    state_text,
    totals,
    tried_columns,
)

STYLE = {
    State.NATIVE: "green", State.EMULATED: "cyan", State.COMPILED: "blue", State.EMITTED: "dim", State.DEGRADED: "magenta",
    State.FALLBACK: "yellow", State.UNSUPPORTED: "yellow", State.WRONG: "bold red", State.UNTESTED: "dim",
}  # fmt: skip
WORST = (State.WRONG, State.DEGRADED, State.FALLBACK)
JUDGED = (State.UNSUPPORTED, State.EMITTED, State.COMPILED)
"""Whose reasons are the answer where a profile is judged and nothing runs."""
_WIDTH = 150
"""Columns taken where standard output is not a terminal."""


def console() -> Console:
    made = Console()
    return made if made.is_terminal else Console(width=_WIDTH)


def print_report(report: Report, out: Console, details: bool = False) -> None:
    if details:
        out.print(_details(report))
    else:
        table, is_narrow = _overview(report, out.width)
        out.print(table)
        if is_narrow:
            out.print(f"[dim]{', '.join(f'{LETTERS[s]} {s.value}' for s in State if _occurs(s, report))}[/]")
    for line in legend(report):
        out.print(f"[dim]{escape(line)}[/]")
    static = any(column.kind == "profile" for column in report.columns)
    judged = JUDGED if static else ()
    for (state, reason), cells in reasons(report.cells, (*WORST, *judged)).items():
        if not reason:
            continue
        out.print(f"[{STYLE[state]}]{state.value}[/] {escape(names_of(cells))}: {escape(reason)}")
    for name, found in report.missing.items():
        where = "" if static else "not measured on a device here: "
        line = f"{name}: {where}{found['why']}" + (f" ({found['hint']})" if found["hint"] else "")
        out.print(f"[dim]{escape(line)}[/]")
    _print_probes(report, out)
    whole = [share for share in report.percentages if _is_of_the_whole(share, report)]
    out.print(_shares([share for share in report.percentages if share not in whole]))
    for what in dict.fromkeys(share.what for share in report.percentages if share not in whole):
        out.print(f"[dim]{escape(what)}[/]")
    for share in whole:
        out.print(f"{percentage_text(share)} [dim]{escape(share.what)}[/]")
    out.print(f"[bold]{escape(totals(report))}[/]")


def _title(report: Report) -> str:
    commit = str(report.made["commit"])[:10]
    return escape(
        f"portkernel coverage · {report.made['machine']} · {report.made['date']}" + (f" · {commit}" if commit else "")
    )


def _is_of_the_whole(share: Percentage, report: Report) -> bool:
    """Whether no column of the report has a share of the kind, where others have."""
    kinds = {other.of for other in report.percentages if other.column}
    return bool(kinds) and share.of not in kinds


def _shares(shares: Sequence[Percentage]) -> Table:
    """How much is covered: a line for each column, a column for each denominator."""
    kinds = list(dict.fromkeys(share.of for share in shares))
    table = Table("covered", *kinds, box=box.SIMPLE_HEAD, pad_edge=False)
    for place in dict.fromkeys(share.column for share in shares):
        found = {share.of: percentage_text(share) for share in shares if share.column == place}
        table.add_row(place or "all columns", *(found.get(kind, "") for kind in kinds))
    return table


def _occurs(state: State, report: Report) -> bool:
    return state is not State.UNTESTED and any(cell.state is state for cell in report.cells)


_GAP = 3
"""Between two columns of a table."""


def _overview(report: Report, room: int) -> tuple[Table, bool]:
    """A line for each row that was tried: how many dtypes are in which state on each column; by letters where ``room`` is too
    narrow for words, which is said."""
    columns = tried_columns(report)
    found: dict[tuple[str, str], Counter[State]] = {}
    for cell in report.cells:
        if cell.state is not State.UNTESTED:
            found.setdefault((cell.row, cell.column), Counter())[cell.state] += 1
    rows = [row.id for row in report.rows if any((row.id, column.id) in found for column in columns)]
    width = max(map(len, ["operator", *rows]))
    for column in columns:
        parts = [_part(n, s, False) for row in rows for s, n in found.get((row, column.id), {}).items()]
        width += _GAP + max(map(len, [*column.id.split("/"), *parts]))
    is_narrow = width > room
    gap = (0, 1, 0, 0) if is_narrow else (0, 1)
    table = Table(box=box.SIMPLE_HEAD, title=_title(report), pad_edge=False, padding=gap)
    table.add_column("operator", no_wrap=not is_narrow, overflow="fold")
    for column in columns:
        table.add_column(column.id.replace("/", "\n", 1), overflow="fold")
    for row in rows:
        table.add_row(escape(row), *(_coloured(found.get((row, c.id), Counter()), is_narrow) for c in columns))
    return table, is_narrow


def _part(n: int, state: State, by_letter: bool) -> str:
    return f"{n}{LETTERS[state]}" if by_letter else f"{n} {state.value}"


def _coloured(counts: Counter[State], by_letter: bool) -> str:
    """``6 native 2 emulated``, or ``6N 2E``, each in its colour."""
    return " ".join(f"[{STYLE[s]}]{_part(counts[s], s, by_letter)}[/]" for s in State if counts[s])


def _details(report: Report) -> Table:
    """A line for each cell that was tried."""
    table = Table(box=box.SIMPLE_HEAD, title=_title(report), pad_edge=False)
    for name in ("operator", "dtype", "column", "state", "error", "time", "ratio"):
        table.add_column(
            name, no_wrap=name != "state", justify="right" if name in ("error", "time", "ratio") else "left"
        )
    columns = {column.id: column for column in report.columns}
    for cell in report.cells:
        if cell.state is State.UNTESTED:
            continue
        seconds = cell.outcome.seconds
        table.add_row(
            escape(cell.row),
            cell.dtype,
            cell.column,
            f"[{STYLE[cell.state]}]{escape(state_text(cell, columns[cell.column]))}[/]",
            error_text(cell),
            duration(seconds) if seconds else "",
            ratio_text(cell),
        )
    return table


def _print_probes(report: Report, out: Console) -> None:
    for probe in report.probes:
        if probe.degraded:
            what = f"{probe.declared} executed as {probe.executed}: {probe.value} instead of {probe.expected}"
            out.print(
                f"[magenta]{escape(probe.column)}: {escape(what)} ({escape(probe.probe)}, {probe.cache} cache)[/]"
            )
        elif probe.reason:
            out.print(
                f"[dim]{escape(probe.column)}: probe “{escape(probe.probe)}” could not run: {escape(probe.reason)}[/]"
            )
    ran = [p for p in report.probes if p.executed]
    if ran and not any(p.degraded for p in ran):
        out.print(
            f"{len(ran)} precision probes on {len({p.column for p in ran})} columns: every dtype is what it claims to be"
        )
