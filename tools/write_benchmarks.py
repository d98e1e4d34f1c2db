"""Write the tables of a CPU in ``docs/benchmarks.md`` from reports of ``portkernel bench --json``, one for each OpenCL runtime.

Run from the repository root: ``python tools/write_benchmarks.py zen4 pocl.json intel.json``; the page marks the place of
the tables with that name. Reports of different cases are an error, as is one whose runtime no suite has a bar for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from portkernel.bench.model import against
from portkernel.bench.report import facts, from_json, means, number, row, shortest, spread
from portkernel.bench.run import Report
from portkernel.bench.suites import SUITES
from portkernel.coverage.outputs.markdown import page_with

PAGE = Path("docs/benchmarks.md")
NAMES = {"pocl": "PoCL", "intel": "Intel"}


def _judged(x: float | None, bar: float | None) -> str:
    return f"**{number(x)}**" if x is not None and bar is not None and x < bar else number(x)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def summary(reports: Sequence[Report]) -> str:
    """The geometric means of each suite, with the bar in brackets, and its least case; bold where either is missed."""
    rows = []
    for found in zip(*(means(r, SUITES) for r in reports), strict=True):
        suite = found[0].suite
        cells = [suite.name, suite.peer]
        for report, mean in zip(reports, found, strict=True):
            bar = suite.bars.get(report.place)
            cells.append(f"{_judged(mean.median, bar)} ({'–' if bar is None else f'{bar:g}'})")
            cells += [spread(mean.speed), _judged(mean.least, bar and bar / 2), number(mean.shortest)]
            if mean.count != mean.total:
                raise SystemExit(
                    f"{suite.name}: {mean.total - mean.count} of {mean.total} cases failed on {report.place}"
                )
        rows.append(cells)
    head = ["suite", "peer"]
    for r in reports:
        head += [f"{NAMES[r.place]} (bar)", "95 %", "least case", "of shortest"]
    return "\n".join(f"* {facts(r)}" for r in reports) + "\n\n" + _table(head, rows)


def cases(reports: Sequence[Report]) -> str:
    """Every case: our time, the peer's, the speed, that of the shortest runs, the share of peak."""
    rows = []
    for found in zip(*(r.results for r in reports), strict=True):
        suite = SUITES[found[0].suite]
        cells = [suite.name, found[0].case]
        for report, result in zip(reports, found, strict=True):
            if (result.suite, result.case) != (suite.name, found[0].case):
                raise SystemExit(f"the reports differ: {suite.name} {found[0].case}, {result.suite} {result.case}")
            _, _, ours, theirs, *_, peak = row(result, suite, report.peaks)
            speed = against(result, suite.peer)
            cells += [ours, theirs, number(speed and speed.median), number(shortest(result, suite.peer)), peak]
        rows.append(cells)
    head = ["suite", "case"]
    for r in reports:
        head += [NAMES[r.place], "peer", "speed", "of shortest", "of peak"]
    return _table(head, rows)


def main(cpu: str, files: Sequence[str]) -> None:
    reports = [from_json(Path(f).read_text(encoding="utf-8")) for f in files]
    unknown = [r.place for r in reports if r.place not in NAMES]
    if not reports or unknown:
        raise SystemExit(f"expected reports of {', '.join(NAMES)}, got {', '.join(unknown) or 'none'}")
    if not all(r.complete for r in reports):
        raise SystemExit("expected reports of runs to the end, got one that was interrupted")
    page = PAGE.read_text(encoding="utf-8")
    for part, text in (("suites", summary(reports)), ("cases", cases(reports))):
        page = page_with(f"{cpu} {part}", text, page)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit("expected the name of a CPU, then reports")
    main(sys.argv[1], sys.argv[2:])
