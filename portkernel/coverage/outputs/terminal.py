"""The report on a terminal: one line for each row, or with details for each cell."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..model import Cell, Report
from ..states import State
from .words import (
    duration,
    error_text,
    legend,
    names_of,
    percentage_text,
    ratio_text,
    reasons,
    state_text,
    tally,
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
    out.print(_details(report) if details else _overview(report))
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
    out.print(_shares(report))
    for what in dict.fromkeys(share.what for share in report.percentages):
        out.print(f"[dim]{escape(what)}[/]")
    out.print(f"[bold]{escape(totals(report))}[/]")


def _title(report: Report) -> str:
    commit = str(report.made["commit"])[:10]
    return escape(
        f"portkernel coverage · {report.made['machine']} · {report.made['date']}" + (f" · {commit}" if commit else "")
    )


def _shares(report: Report) -> Table:
    """How much is covered: a line for each column, a column for each denominator."""
    kinds = list(dict.fromkeys(share.of for share in report.percentages))
    table = Table("covered", *kinds, box=box.SIMPLE_HEAD, pad_edge=False)
    for place in dict.fromkeys(share.column for share in report.percentages):
        found = {share.of: percentage_text(share) for share in report.percentages if share.column == place}
        table.add_row(place or "all columns", *(found.get(kind, "") for kind in kinds))
    return table


def _overview(report: Report) -> Table:
    """A line for each row that was tried: how many dtypes are in which state on each column."""
    table = Table(box=box.SIMPLE_HEAD, title=_title(report), pad_edge=False)
    table.add_column("operator", no_wrap=True)
    columns = tried_columns(report)
    for column in columns:
        table.add_column(column.id, overflow="fold")
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in report.cells:
        found.setdefault((cell.row, cell.column), []).append(cell)
    for row in report.rows:
        texts = [_coloured(found.get((row.id, column.id), ())) for column in columns]
        if any(texts):
            table.add_row(escape(row.id), *texts)
    return table


def _coloured(cells: Sequence[Cell]) -> str:
    """``6 native 2 emulated``, each in its colour; what was not tried is left out."""
    by_state = {state: [c for c in cells if c.state is state] for state in State if state is not State.UNTESTED}
    return " ".join(f"[{STYLE[state]}]{escape(tally(some))}[/]" for state, some in by_state.items() if some)


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
