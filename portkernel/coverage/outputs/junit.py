"""The report as JUnit XML: a suite for each column, a test for each cell, for the tables that CI systems draw."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from ..model import Cell, Column, Report
from ..states import State
from .words import state_text

FAILS = (State.WRONG, State.DEGRADED, State.FALLBACK)
SKIPS = (State.UNSUPPORTED, State.UNTESTED, State.EMITTED)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")
"""What XML 1.0 has no way to write."""


def to_junit(report: Report) -> str:
    """Wrong, degraded and fallen-back cells fail; what is not supported, not tried or only emitted is skipped."""
    root = ElementTree.Element("testsuites", name="portkernel coverage", time=str(report.made["seconds"]))
    for column in report.columns:
        cells = [cell for cell in report.cells if cell.column == column.id]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=column.id,
            tests=str(len(cells)),
            failures=str(sum(c.state in FAILS for c in cells)),
            skipped=str(sum(c.state in SKIPS for c in cells)),
            errors="0",
            timestamp=str(report.made["date"]).rstrip("Z"),
        )
        properties = ElementTree.SubElement(suite, "properties")
        for name in ("name", "driver", "compiler", "target", "arch"):
            if value := getattr(column, name):
                ElementTree.SubElement(properties, "property", name=name, value=_printable(value))
        for cell in cells:
            _add(suite, cell, column)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add(suite: ElementTree.Element, cell: Cell, column: Column) -> None:
    test = ElementTree.SubElement(
        suite, "testcase", classname=f"{column.id}.{cell.row}", name=cell.dtype, time=f"{cell.outcome.took:.3f}"
    )
    text = _printable(state_text(cell, column))
    if cell.state in FAILS:
        failure = ElementTree.SubElement(test, "failure", message=text, type=cell.state.value)
        failure.text = _printable(cell.outcome.reason)
    elif cell.state in SKIPS:
        ElementTree.SubElement(test, "skipped", message=_printable(f"{cell.state.value}: {cell.outcome.reason}"))
    else:
        ElementTree.SubElement(test, "system-out").text = text


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("�", text)
