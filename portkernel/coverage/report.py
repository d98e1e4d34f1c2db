"""The report as a table on the terminal, as Markdown, and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .model import LEGEND, Cell, Outcome, State
from .run import Report

BEGIN, END = "<!-- coverage table: begin -->", "<!-- coverage table: end -->"
_STYLE = {
    State.RUN: "green", State.EMULATED: "cyan", State.COMPILED: "blue", State.EMITTED: "dim",
    State.UNSUPPORTED: "yellow", State.FAILED: "bold red",
}  # fmt: skip
COLUMNS = ("kernel", "dtype", "backend", "state", "error / bound", "time", "of NumPy's")
_WIDTH = 130
"""Columns taken where standard output is not a terminal."""


def duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"


def error_text(outcome: Outcome | None) -> str:
    if outcome is None or outcome.error is None:
        return ""
    return "exact" if outcome.error == 0 else f"{outcome.error:.2g}"


def ratio_text(outcome: Outcome | None) -> str:
    """Our time as a multiple of NumPy's: below 1 is faster."""
    if outcome is None or not outcome.seconds or not outcome.numpy_seconds:
        return ""
    ratio = outcome.seconds / outcome.numpy_seconds
    return f"{ratio:.2g}×" if ratio < 10 else f"{ratio:.0f}×"


def row(cell: Cell) -> tuple[str, ...]:
    """One cell as the texts of :data:`COLUMNS`."""
    found = cell.measured
    time = duration(found.seconds) if found is not None and found.seconds else ""
    return cell.kernel, cell.dtype, cell.backend, cell.describe(), error_text(found), time, ratio_text(found)


def legend(report: Report) -> list[str]:
    """What the states that occur mean, and what the numbers are."""
    present = {o.state for c in report.cells for _, o in c.outcomes}
    lines = [f"{state.value}: {LEGEND[state]}." for state in State if state in present]
    return [
        *lines,
        "error / bound: the largest error over the cases checked, as a multiple of the bound that the kernel states (float64 "
        "reference); at most 1 passes, exact means equal.",
        "time: median of the whole launch on the first case, outputs allocated beforehand; of NumPy's: that time divided by "
        "the time of the same operation written in NumPy (below 1 is faster; blank where NumPy has no word for it).",
    ]


def totals(report: Report) -> str:
    counts = Counter(c.state for c in report.cells)
    parts = [f"{counts[state]} {state.value}" for state in State if counts[state]]
    took = f" ({report.seconds:.0f} s)" if report.seconds else ""
    return f"{len(report.cells)} cells{took}: " + ", ".join(parts)


def console() -> Console:
    made = Console()
    return made if made.is_terminal else Console(width=_WIDTH)


def print_report(report: Report, out: Console) -> None:
    table = Table(
        box=box.SIMPLE_HEAD, title=f"portkernel coverage · {escape(report.machine)} · {report.day}", pad_edge=False
    )
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in COLUMNS[4:] else "left", no_wrap=name != "state")
    before: tuple[str, str] = ("", "")
    for cell in report.cells:
        texts = list(row(cell))
        if before[0] and cell.kernel != before[0]:
            table.add_section()
        if (cell.kernel, cell.dtype) == before:
            texts[0] = texts[1] = ""
        before = (cell.kernel, cell.dtype)
        style = _STYLE[cell.state]
        table.add_row(
            *(escape(t) for t in texts[:3]), f"[{style}]{escape(texts[3])}[/]", *(escape(t) for t in texts[4:])
        )
    out.print(table)
    for line in legend(report):
        out.print(f"[dim]{escape(line)}[/]")
    for reason, cells in _reasons(report).items():
        out.print(f"{escape(', '.join(cells))}: {escape(reason)}")
    out.print(f"[bold]{escape(totals(report))}[/]")


def _reasons(report: Report) -> dict[str, list[str]]:
    """Why cells failed or were refused, alike ones together."""
    found: dict[str, list[str]] = {}
    for cell in report.cells:
        if cell.state in (State.FAILED, State.UNSUPPORTED, State.EMITTED) and cell.reason:
            found.setdefault(cell.reason, []).append(f"{cell.kernel} {cell.dtype} {cell.backend}")
    return found


def to_json(report: Report) -> str:
    cells = [
        {
            "kernel": cell.kernel,
            "dtype": cell.dtype,
            "backend": cell.backend,
            "state": cell.state.value,
            "steps": [
                {
                    "mode": step.mode,
                    "target": step.target,
                    "where": outcome.where,
                    "state": outcome.state.value,
                    "reason": outcome.reason,
                    "error_over_bound": outcome.error,
                    "worst_case": outcome.case,
                    "cases": outcome.cases,
                    "seconds": outcome.seconds,
                    "numpy_seconds": outcome.numpy_seconds,
                    "took": round(outcome.took, 3),
                }
                for step, outcome in cell.outcomes
            ],
        }
        for cell in report.cells
    ]
    found = {"machine": report.machine, "day": report.day, "devices": dict(report.devices), "cells": cells}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def to_markdown(report: Report) -> str:
    """One row for each kernel and dtype, one column for each backend."""
    backends = list(dict.fromkeys(c.backend for c in report.cells))
    rows: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in report.cells:
        rows.setdefault((cell.kernel, cell.dtype), {})[cell.backend] = cell
    lines = [
        f"Measured on {report.machine}, {report.day}. {totals(report)}.",
        "",
        "| kernel | dtype | " + " | ".join(backends) + " |",
        "|---|---|" + "---|" * len(backends),
    ]
    for (kernel, dtype), cells in rows.items():
        texts = [_markdown_cell(cells[b]) if b in cells else "" for b in backends]
        lines.append(f"| {kernel} | {dtype} | " + " | ".join(texts) + " |")
    return "\n".join([*lines, "", *(f"* {line}" for line in legend(report))]) + "\n"


def _markdown_cell(cell: Cell) -> str:
    _, _, _, state, error, time, ratio = row(cell)
    numbers = [f"error {error}" if error else "", time, f"{ratio} NumPy" if ratio else ""]
    return "<br>".join([state.replace("|", "/"), ", ".join(n for n in numbers if n)]).removesuffix("<br>")


def write_between_markers(path: Path, text: str) -> None:
    """Replace what stands between the table's two markers in a file. Raises ``ValueError`` if they are not there."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path}: expected the markers {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")
