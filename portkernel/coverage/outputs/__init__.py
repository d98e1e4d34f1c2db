"""The forms of the report. Each is one function from a report to text; HTML and the others are imported when asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from ..model import Report

FORMATS: dict[str, str] = {
    "json": "portkernel.coverage.document:to_json",
    "csv": "portkernel.coverage.outputs.csv_table:to_csv",
    "markdown": "portkernel.coverage.outputs.markdown:to_markdown",
    "junit": "portkernel.coverage.outputs.junit:to_junit",
    "html": "portkernel.coverage.outputs.html:to_html",
}
"""Module and function of each format, ``function(report) -> str``."""
SUFFIX = {".json": "json", ".csv": "csv", ".md": "markdown", ".xml": "junit", ".html": "html"}
"""The format that the name of a file stands for."""


def render(report: Report, form: str) -> str:
    """The report in the format called ``form``. Raises ``KeyError`` for an unknown one."""
    module, _, name = FORMATS[form].partition(":")
    function = cast(Callable[[Report], str], getattr(import_module(module), name))
    return function(report)
