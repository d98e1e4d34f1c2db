"""The tests that a run of ``make test`` skipped, by reason, as Markdown: a part of ``docs/coverage.md``.

``make test`` writes its record in the form of JUnit to ``build/tests.xml``.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

RECORD = Path("build/tests.xml")


@dataclass(frozen=True, slots=True)
class Skips:
    """What was skipped of ``tests``, by reason: in which module how often. ``date`` is that of the run."""

    date: str
    tests: int
    by_reason: dict[str, dict[str, int]]

    @property
    def count(self) -> int:
        return sum(sum(modules.values()) for modules in self.by_reason.values())


def read(record: Path) -> Skips:
    """The skips of a record. Raises ``ValueError`` for a skip that gives no reason."""
    suite = next(ElementTree.parse(record).getroot().iter("testsuite"))
    found: dict[str, dict[str, int]] = {}
    for case in suite.iter("testcase"):
        for skip in case.iter("skipped"):
            module, reason = _module(case), _reason(skip)
            if not reason:
                raise ValueError(f"{module}: {case.get('name')}: expected a reason for the skip, got none")
            modules = found.setdefault(reason, {})
            modules[module] = modules.get(module, 0) + 1
    return Skips(suite.get("timestamp", "")[:10], int(suite.get("tests", "0")), found)


def _module(case: ElementTree.Element) -> str:
    """``tests/unit/test_cli.py``; a module that was skipped as a whole is a case of no class."""
    parts = (case.get("classname") or case.get("name") or "").split(".")
    last = next((i for i, part in enumerate(parts) if part.startswith("test_")), len(parts) - 1)
    return "/".join(parts[: last + 1]) + ".py"


def _reason(skip: ElementTree.Element) -> str:
    message = skip.get("message", "")
    if message != "collection skipped":
        return message
    _, _, said = ast.literal_eval(skip.text or "('', 0, '')")  # a module: file, line and reason
    return str(said).removeprefix("Skipped: ")


def section(record: Path = RECORD) -> str:
    """A line for each reason, the most frequent first."""
    if not record.is_file():
        return f"No record of `make test` was there to be read (`{record}`)."
    skips = read(record)
    parts = [f"`make test` of {skips.date}: {skips.count:,} of {skips.tests:,} tests were skipped."]
    if skips.by_reason:
        ordered = sorted(skips.by_reason.items(), key=lambda item: (-sum(item[1].values()), item[0]))
        lines = [
            f"| {reason.replace('|', '/')} | {sum(modules.values()):,} | {', '.join(f'`{m}`' for m in sorted(modules))} |"
            for reason, modules in ordered
        ]
        parts.append("\n".join(["| why | tests | where |", "|---|---|---|", *lines]))
    return "\n\n".join(parts)
