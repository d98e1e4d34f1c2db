"""The report as CSV: one line for each cell, with all of its evidence, for a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import Any

from ..document import to_document
from ..model import Report

CELL = ("row", "dtype", "column", "state", "reason", "how", "declared", "executed", "to", "route")
ERRORS = ("of_bound", "absolute", "relative", "ulp", "bound", "case", "cases")
TIMES = ("seconds", "peer", "peer_seconds", "ratio", "test", "date")
COLUMN = ("backend", "kind", "name", "target", "arch", "driver", "compiler")
MADE = ("commit", "harness", "machine")


def to_csv(report: Report) -> str:
    """The header and a line for each cell; what a cell does not have is empty."""
    document = to_document(report)
    columns = {column["id"]: column for column in document["columns"]}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*CELL, *(f"error_{name}" for name in ERRORS), "launches", *TIMES, *COLUMN, *MADE])
    for cell in document["cells"]:
        writer.writerow(_line(cell, columns[cell["column"]], document["made"]))
    return out.getvalue()


def _line(cell: dict[str, Any], column: dict[str, Any], made: dict[str, Any]) -> list[Any]:
    errors = cell.get("errors", {})
    launches = " ".join(f"{kernel}×{n}" for kernel, n in cell.get("launches", {}).items())
    return [
        *(cell.get(name, "") for name in CELL),
        *(errors.get(name, "") for name in ERRORS),
        launches,
        *(cell.get(name, "") for name in TIMES),
        *(column[name] for name in COLUMN),
        *(made[name] for name in MADE),
    ]
