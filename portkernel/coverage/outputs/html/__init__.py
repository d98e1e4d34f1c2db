"""The report as one HTML page that needs nothing else: style, program and data are in it, and it asks no network.

The page is made from the JSON document (:mod:`portkernel.coverage.document`). ``page.html`` says everything that is true of
the report as a whole, so that it can be read without JavaScript; the scripts beside it draw the table of cells, its filters
and the evidence from the document that the page carries. Importing this without jinja2 (extra ``report``) raises
:class:`~portkernel.errors.MissingDependencyError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from ....errors import MissingDependencyError
from ...document import to_document
from ...model import Report
from ...states import LETTERS, State

try:
    from jinja2 import Environment, StrictUndefined, Template
except ImportError:
    raise MissingDependencyError(
        "--format html: jinja2 is not installed", hint='pip install "portkernel[report]"'
    ) from None

STYLES = ("tokens.css", "page.css", "table.css", "panel.css")
SCRIPTS = ("model.js", "filters.js", "table.js", "keys.js", "evidence.js", "start.js")
"""In the order in which they use each other: together they are one function's body."""


def to_html(report: Report) -> str:
    """The page."""
    document = to_document(report)
    letters = {state.value: letter for state, letter in LETTERS.items()}
    return _template().render(
        document=document,
        letters=letters,
        data=_embedded(document),
        letters_data=_embedded(letters),
        probes=_joined(document["probes"]),
        static=is_static(report),
        covering=[state.value for state in State if state.covered],
        styles=[_read(name) for name in STYLES],
        scripts=[_read(name) for name in SCRIPTS],
    )


def is_static(report: Report) -> bool:
    """Whether nothing ran for the report: it judges a target by its profile."""
    command: Any = report.made["command"]
    return "--target" in command or (bool(report.columns) and all(c.kind == "profile" for c in report.columns))


def _joined(probes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The probes, of those that found the same with a cold and a warm cache only one."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for probe in probes:
        found.setdefault(tuple((k, v) for k, v in probe.items() if k != "cache"), []).append(probe["cache"])
    return [{**dict(rest), "cache": " and ".join(caches)} for rest, caches in found.items()]


def _embedded(value: Mapping[str, Any]) -> str:
    """JSON that may stand in a ``script`` element: nothing in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = lambda value: f"{value:,}"
    environment.filters["day"] = _day
    environment.filters["duration"] = _duration
    return environment.from_string(_read("page.html"))


def _day(date: str) -> str:
    """``20 November 2026, 17:03 UTC``; what is no date as it is."""
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        return date
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
