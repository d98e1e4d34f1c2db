"""One report against an earlier one, state by state; and what of it makes a run fail."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import SettingError
from .document import FORMAT as REPORT_FORMAT
from .model import Cell, Change, Comparison, Key, Report
from .states import RANK, State

FORMAT = "portkernel-coverage-baseline-1"
States = Mapping[Key, State]
"""States by (row, dtype, column)."""


def read(path: Path) -> dict[Key, State]:
    """The states in a report or in a baseline. Raises :class:`~portkernel.errors.SettingError` for another file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return _states(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingError(
            f"--baseline: expected a report or a baseline, got {path} ({type(error).__name__}: {error})",
            hint="portkernel coverage --output report.json writes one",
        ) from None


def _states(document: Mapping[str, Any]) -> dict[Key, State]:
    match document.get("format"):
        case format if format == REPORT_FORMAT:
            return {(c["row"], c["dtype"], c["column"]): State(c["state"]) for c in document["cells"]}
        case format if format == FORMAT:
            cells = document["cells"]
            return {
                (row, dtype, column): State(state)
                for row, columns in cells.items()
                for column, by_state in columns.items()
                for state, dtypes in by_state.items()
                for dtype in dtypes.split()
            }
        case other:
            raise ValueError(f"format {other!r}")


def to_baseline(states: States) -> str:
    """The states alone, one line for each row: what is kept in a repository. Untested cells are left out."""
    rows: dict[str, dict[str, dict[str, list[str]]]] = {}
    for (row, dtype, column), state in states.items():
        if state is not State.UNTESTED:
            rows.setdefault(row, {}).setdefault(column, {}).setdefault(state.value, []).append(dtype)
    lines = []
    for row, columns in sorted(rows.items()):
        kept = {c: {s: " ".join(sorted(d)) for s, d in sorted(by.items())} for c, by in sorted(columns.items())}
        lines.append(f"  {json.dumps(row)}: {json.dumps(kept, ensure_ascii=False)}")
    return f'{{\n "format": {json.dumps(FORMAT)},\n "cells": {{\n' + ",\n".join(lines) + "\n }\n}\n"


def compare(before: States, report: Report, partial: bool = False) -> Comparison:
    """What changed from ``before`` to ``report``; ``partial`` says that the report is of a selection.

    A cell whose column is not on this machine, that was not tried, or for which no compiler is here is unmeasured, and no
    regression. One that is gone was there before, and its operator, variant or dtype is no more.
    """
    after = {cell.key: cell for cell in report.cells}
    columns = {column.id for column in report.columns}
    known = {(row.id, dtype) for row in report.rows for dtype in row.dtypes}
    found: dict[str, list[Change]] = {n: [] for n in ("improved", "regressed", "new", "gone", "unmeasured")}
    for key, cell in after.items():
        kind = _kind(before.get(key), cell)
        if kind:
            found[kind].append(Change(key, before.get(key), cell.state, cell.outcome.reason))
    for key, state in before.items():
        if key not in after and state is not State.UNTESTED:
            is_gone = key[2] in columns and key[:2] not in known and not partial
            kind = "gone" if is_gone else "unmeasured"
            found[kind].append(Change(key, state, None))
    return Comparison(**{name: tuple(changes) for name, changes in found.items()})


def _kind(old: State | None, cell: Cell) -> str:
    """Which list of the comparison a cell of the report belongs to; empty for none."""
    measured = cell.state not in (State.UNTESTED, State.EMITTED)
    if old in (None, State.UNTESTED):
        return "new" if measured else ""
    assert old is not None
    if not measured:
        return "" if old is cell.state else "unmeasured"
    if RANK[cell.state] == RANK[old]:
        return ""
    return "improved" if RANK[cell.state] > RANK[old] else "regressed"


# --- what fails a run ---------------------------------------------------------------------------------------

CONDITIONS = {"wrong": 1, "regression": 3, "untested": 5}
"""What ``--fail-on`` names, with the exit status."""
UNDER, INTERRUPTED = 4, 130
"""Exit status of ``--fail-under``, and of a run that was interrupted."""


def verdict(
    report: Report, comparison: Comparison | None, fail_on: Sequence[str], fail_under: float | None
) -> tuple[int, list[str]]:
    """The exit status, and why it is not 0; of several reasons the first of :data:`CONDITIONS` gives the status."""
    unmeasured = comparison.unmeasured if comparison is not None else ()
    failures = {
        "wrong": f"{len(report.wrong)} wrong cells" if report.wrong else "",
        "regression": f"{len(comparison.regressed)} cells regressed" if comparison and comparison.regressed else "",
        "untested": f"{report.untested} cells untested, {len(unmeasured)} of the baseline not measured here"
        if report.untested or unmeasured
        else "",
    }
    failed = [(status, failures[name]) for name, status in CONDITIONS.items() if name in fail_on and failures[name]]
    share = next((p for p in report.percentages if p.of == "operators" and not p.column), None)
    if fail_under is not None and (share is None or share.percent < fail_under):
        got = f"{share.percent:.1f} %" if share is not None else "nothing"
        failed.append((UNDER, f"expected at least {fail_under:g} % of our operators to be covered, got {got}"))
    if not report.made["complete"]:
        failed.insert(0, (INTERRUPTED, "interrupted: --resume goes on"))
    return (failed[0][0] if failed else 0), [why for _, why in failed]
