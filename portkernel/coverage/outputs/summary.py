"""A few lines of Markdown for a pull request: how much is covered, what changed, what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from ..model import Change, Comparison, Report
from ..states import State
from .markdown import shares
from .words import names_of, reasons, totals

MOST = 20
"""Changes of a kind that are listed; the others are counted."""


def to_summary(report: Report, comparison: Comparison | None) -> str:
    """The summary. ``comparison`` is None without a baseline."""
    parts = [f"### Coverage: {totals(report)}"]
    if comparison is not None:
        parts.append(f"Against the baseline: {comparison.counts()}.")
        for title in ("regressed", "improved", "new", "gone"):
            parts += _changes(title, getattr(comparison, title))
    wrong = reasons(report.cells, (State.WRONG, State.DEGRADED, State.FALLBACK))
    if wrong:
        lines = [f"* {state.value}: `{names_of(cells, 3)}`: {reason}" for (state, reason), cells in wrong.items()]
        parts.append("\n".join(lines[:MOST]))
    return "\n\n".join([*parts, shares(report)]) + "\n"


def _changes(title: str, changes: Sequence[Change]) -> list[str]:
    if not changes:
        return []
    lines = [f"* {change}" for change in changes[:MOST]]
    if len(changes) > MOST:
        lines.append(f"* … and {len(changes) - MOST} more")
    body = "\n".join(lines)
    folded = title != "regressed"
    return [
        f"<details><summary>{len(changes)} {title}</summary>\n\n{body}\n\n</details>"
        if folded
        else f"**{len(changes)} {title}**\n\n{body}"
    ]
