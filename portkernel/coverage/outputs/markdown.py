"""The report as Markdown: a table of operators and columns, and what is not covered with its reason."""

from __future__ import annotations

from collections.abc import Callable

from ..model import Cell, Report
from ..states import State
from .words import REASONED, legend, names_of, percentage_text, reasons, tally, totals, tried_columns

TABLE = "coverage table"
"""The part of a page that ``--update`` writes."""


def to_markdown(report: Report) -> str:
    """Everything: shares, operators with their variants, reasons, probes, legend."""
    parts = [_heading(report), shares(report), table(report), "## Not covered", *_reasons(report), *_missing(report),
             "## Precision probes", *_probes(report), "## What the words mean",
             "\n".join(f"* {line}" for line in legend(report))]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def to_compact(report: Report) -> str:
    """Shares and one line for each dtype: for a README."""
    return "\n\n".join([_heading(report), shares(report), _dtypes(report)]) + "\n"


def _heading(report: Report) -> str:
    return f"Measured on {report.made['machine']}, {str(report.made['date'])[:10]}. {totals(report)}."


def shares(report: Report) -> str:
    """One row for each column of the report, one column for each denominator."""
    lines = ["| column | device | of our operators | of core ATen |", "|---|---|---|---|"]
    places = {column.id: column.name or f"{column.compiler}, nothing executed" for column in tried_columns(report)}
    for place, name in [("", "every column where it was tried"), *places.items()]:
        found = {p.of: percentage_text(p) for p in report.percentages if p.column == place}
        lines.append(f"| {place or 'all'} | {name} | {found.get('operators', '')} | {found.get('aten-core', '')} |")
    whole = [f"{percentage_text(p)}: {p.what}." for p in report.percentages if p.of == "onnx"]
    return "\n".join(lines) + "".join(f"\n\n{line}" for line in whole)


def table(report: Report) -> str:
    """A line for each row, with the cells of each column counted by state."""
    return _counted(report, "operator", lambda cell: cell.row)


def _dtypes(report: Report) -> str:
    """A line for each dtype, with the cells of all rows counted by state."""
    return _counted(report, "dtype", lambda cell: cell.dtype)


def _counted(report: Report, title: str, line_of: Callable[[Cell], str]) -> str:
    columns = [column.id for column in tried_columns(report)]
    lines = [f"| {title} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    found: dict[str, dict[str, list[Cell]]] = {}
    for cell in report.cells:
        if cell.state is not State.UNTESTED:
            found.setdefault(line_of(cell), {}).setdefault(cell.column, []).append(cell)
    for name, cells in found.items():
        lines.append(f"| {name} | " + " | ".join(tally(cells.get(c, ())) for c in columns) + " |")
    return "\n".join(lines)


def _reasons(report: Report) -> list[str]:
    found = [
        f"* **{state.value}** {_plain(names_of(cells))}: {_plain(reason)}"
        for (state, reason), cells in reasons(report.cells, REASONED).items()
    ]
    return ["\n".join(found) or "Everything that was tried is covered."]


def _missing(report: Report) -> list[str]:
    """The backends without a device, which have no column that ran."""
    if not report.missing:
        return []
    lines = ["| backend | why | what would give it one |", "|---|---|---|"]
    lines += [
        f"| {name} | {_plain(found['why'])} | {_plain(found['hint'])} |" for name, found in report.missing.items()
    ]
    return ["## Without a device here", "\n".join(lines)]


def _probes(report: Report) -> list[str]:
    lines = ["| column | probe | cache | executed as |", "|---|---|---|---|"]
    for p in report.probes:
        lines.append(f"| {p.column} | {p.probe} | {p.cache} | {_plain(p.executed or f'did not run: {p.reason}')} |")
    return ["\n".join(lines)]


def _plain(text: str) -> str:
    """``text`` without what Markdown would take for markup."""
    return text.replace("|", "/").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def page_with(part: str, text: str, page: str) -> str:
    """``page`` with ``text`` between the markers of ``part``. Raises ``ValueError`` if they are not there."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"expected the markers {begin} and {end}")
    return f"{before}{begin}\n\n{text}\n{end}{after}"
