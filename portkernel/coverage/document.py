"""A report as the JSON document that ``report.schema.json`` describes, and back."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from .model import Cell, Change, Column, Comparison, Errors, Outcome, Percentage, ProbeResult, Report, Row
from .states import MEANING, State

FORMAT = "portkernel-coverage-1"
_PLAIN = ("reason", "how", "declared", "executed", "to", "route", "peer")


def to_document(report: Report) -> dict[str, Any]:
    """The document as plain Python values."""
    counts = Counter(cell.state for cell in report.cells)
    document = {
        "format": FORMAT,
        "made": dict(report.made),
        "states": {state.value: MEANING[state] for state in State},
        "totals": {state.value: counts[state] for state in State} | {State.UNTESTED.value: report.untested},
        "columns": [dataclasses.asdict(column) for column in report.columns],
        "missing": {name: dict(found) for name, found in report.missing.items()},
        "rows": [_row(row) for row in report.rows],
        "cells": [_cell(cell) for cell in report.cells],
        "probes": [{**dataclasses.asdict(p), "degraded": p.degraded} for p in report.probes],
        "percentages": [{**dataclasses.asdict(p), "percent": round(p.percent, 2)} for p in report.percentages],
    }
    if report.comparison is not None:
        changes = {f.name: getattr(report.comparison, f.name) for f in dataclasses.fields(Comparison)}
        document["comparison"] = {kind: [_change(change) for change in found] for kind, found in changes.items()}
    return document


def to_json(report: Report) -> str:
    """One line for each cell, so that two reports can be compared by eye as well."""
    document = to_document(report)
    parts = []
    for name, value in document.items():
        if isinstance(value, list):
            items = ",\n".join("  " + _dump(item) for item in value)
            parts.append(f" {_dump(name)}: [\n{items}\n ]" if items else f" {_dump(name)}: []")
        else:
            parts.append(f" {_dump(name)}: {_dump(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _row(row: Row) -> dict[str, Any]:
    return {"id": row.id, **dataclasses.asdict(row)}


def _cell(cell: Cell) -> dict[str, Any]:
    """Only what is there: a state and its evidence."""
    found = cell.outcome
    made: dict[str, Any] = {"row": cell.row, "dtype": cell.dtype, "column": cell.column, "state": cell.state.value}
    made |= {name: getattr(found, name) for name in _PLAIN if getattr(found, name)}
    if found.errors is not None:
        made["errors"] = {
            name: (value if not isinstance(value, float) else _number(value))
            for name, value in dataclasses.asdict(found.errors).items()
        }
    if found.launches:
        made["launches"] = dict(found.launches)
    if found.uses:
        made["uses"] = list(found.uses)
    made |= {n: _number(v) for n in ("seconds", "peer_seconds") if (v := getattr(found, n)) is not None}
    if cell.ratio is not None:
        made["ratio"] = _number(cell.ratio)
    if cell.state is not State.UNTESTED:
        made |= {"test": cell.id, "date": cell.date, "took": round(found.took, 3)}
    return made


def _change(change: Change) -> dict[str, str | None]:
    states = {
        name: state.value if state else None for name, state in (("before", change.before), ("after", change.after))
    }
    return dict(zip(("row", "dtype", "column"), change.key)) | states | {"reason": change.reason}


def _number(value: float) -> float | str:
    """JSON has no infinities and no NaN: they are written as ``"inf"`` and ``"nan"``."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    return float(f"{value:.4g}")


def from_document(document: Mapping[str, Any]) -> Report:
    """The report that :func:`to_document` was given, to the digits that it keeps. Raises ``ValueError`` for another format."""
    if document.get("format") != FORMAT:
        raise ValueError(f"expected a report of the format {FORMAT}, got {document.get('format')!r}")
    return Report(
        made=document["made"],
        rows=[_as_row(row) for row in document["rows"]],
        columns=[Column(**column) for column in document["columns"]],
        cells=[_as_cell(cell) for cell in document["cells"]],
        probes=[ProbeResult(**{k: v for k, v in p.items() if k != "degraded"}) for p in document["probes"]],
        percentages=[Percentage(**{k: v for k, v in p.items() if k != "percent"}) for p in document["percentages"]],
        left_out=document["totals"][State.UNTESTED.value]
        - sum(c["state"] == State.UNTESTED.value for c in document["cells"]),
        missing=document["missing"],
        comparison=_as_comparison(document["comparison"]) if "comparison" in document else None,
    )


def _as_comparison(found: Mapping[str, Any]) -> Comparison:
    return Comparison(**{kind: tuple(_as_change(change) for change in changes) for kind, changes in found.items()})


def _as_change(found: Mapping[str, Any]) -> Change:
    before, after = (State(found[name]) if found[name] else None for name in ("before", "after"))
    return Change((found["row"], found["dtype"], found["column"]), before, after, found["reason"])


def _as_row(found: Mapping[str, Any]) -> Row:
    tuples = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
    return Row(**{name: value for name, value in {**found, **tuples}.items() if name != "id"})


def _as_cell(found: Mapping[str, Any]) -> Cell:
    plain: dict[str, Any] = {name: found[name] for name in _PLAIN if name in found}
    times: dict[str, Any] = {name: float(found[name]) for name in ("seconds", "peer_seconds") if name in found}
    outcome = Outcome(
        State(found["state"]),
        errors=_as_errors(found["errors"]) if "errors" in found else None,
        launches=found.get("launches", {}),
        uses=tuple(found.get("uses", ())),
        took=found.get("took", 0.0),
        **plain,
        **times,
    )
    return Cell(found["row"], found["dtype"], found["column"], outcome, found.get("date", ""))


def _as_errors(found: Mapping[str, Any]) -> Errors:
    numbers: dict[str, Any] = {n: v if n in ("case", "cases") else float(v) for n, v in found.items()}
    return Errors(**numbers)


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of the document, shipped as ``portkernel/coverage/report.schema.json``."""
    text = files(__package__).joinpath("report.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
