"""Shares, each with its denominator in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .model import Cell, Column, Percentage, Row
from .sets import aten_by_operator, onnx_implemented, sets
from .states import State

_VERB = {
    "": "are covered on every column where they were tried",
    "device": "run on the device within their bounds",
    "interpreter": "run in the interpreter within their bounds",
    "compiler": "compile for the architecture",
}


def percentages(rows: Sequence[Row], columns: Sequence[Column], cells: Sequence[Cell]) -> tuple[Percentage, ...]:
    """For each column, and for all together, the share of our operators and of core ATen; and that of ONNX as a whole.

    An operator counts on a column when every cell of it that was tried there is covered (a dtype or layout that it refuses
    in words takes nothing away) and at least one is. All together: on every column of the run where it was tried.
    """
    found: list[Percentage] = []
    tried = {cell.column for cell in cells if cell.state is not State.UNTESTED}
    for column in (None, *(c for c in columns if c.id in tried)):
        found += _shares(rows, column, covered(rows, cells, column.id if column else ""))
    implemented, onnx = onnx_implemented(), sets()["onnx"]
    if implemented is None:
        return tuple(found)
    what = f"{onnx.what} that the ONNX backend implements with operators of portkernel, of all {len(onnx.names)}"
    return (*found, Percentage("onnx", what, "", len(implemented), len(onnx.names)))


def covered(rows: Sequence[Row], cells: Iterable[Cell], column: str) -> set[str]:
    """The names of the operators that count on ``column``; on all columns where it is empty.

    A text that was only emitted is no evidence: it takes an operator away on its own column, and nothing elsewhere.
    """
    names = {row.id: row.name for row in rows if row.kind == "operator"}
    good: set[str] = set()
    bad: set[str] = set()
    for cell in cells:
        if cell.row not in names or column not in ("", cell.column):
            continue
        if cell.state.covered:
            good.add(names[cell.row])
        elif cell.state not in (State.UNTESTED, State.UNSUPPORTED) and (column or cell.state is not State.EMITTED):
            bad.add(names[cell.row])
    return good - bad


def _shares(rows: Sequence[Row], column: Column | None, good: set[str]) -> list[Percentage]:
    where, verb = ("", _VERB[""]) if column is None else (column.id, _VERB[column.kind])
    names = {row.name for row in rows if row.kind == "operator"}
    core = sets()["aten-core"]
    served = {overload for row in rows if row.name in good for overload in row.aten}
    what = f"operators of portkernel that {verb}, of the {len(names)} asked for"
    also = f"{core.what} that the PyTorch integration computes with such operators, of all {len(core.names)}"
    ours = Percentage("operators", what, where, len(good), len(names))
    theirs = Percentage("aten-core", also, where, len(served), len(core.names))
    return [ours, theirs] if aten_by_operator() is not None else [ours]
