"""Measure coverage, write ``docs/coverage.md``, and compare with the committed baseline: what continuous integration calls.

Run from the repository root: ``python tools/coverage_report.py [--budget SECONDS] [--from REPORT] [--write-baseline]``. Exits
as ``portkernel coverage`` does: 1 for wrong cells, 3 where a cell regressed. What this machine has no device for is not
measured, and no regression. ``--write-baseline`` takes the states found into the baseline, and keeps those not measured here;
``--from`` writes the page anew from an earlier report, as after a ``make test`` whose skips it should have.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from skipped_tests import section

from portkernel.coverage import baseline
from portkernel.coverage.document import from_document
from portkernel.coverage.model import Report
from portkernel.coverage.outputs.markdown import to_markdown
from portkernel.coverage.states import State

BASELINE = Path("docs/coverage-baseline.json")
PAGE = Path("docs/coverage.md")
FOLDER = Path("build/coverage")
SECONDS = 300
INTRO = """# Coverage

Written by `tools/coverage_report.py`, which runs [`portkernel coverage`](report-format.md): every operator in the variants that
matter, on every device and compiler of the machine named below. Each count is of cells (an operator on a dtype) that were
tried; what there was no time for is not counted. A device that the machine lacks has no column, and a line below with the reason;
so has every test that was skipped for want of something.

"""


def page(report: Report) -> str:
    """The text of ``docs/coverage.md``."""
    return f"{INTRO}{to_markdown(report)}\n## Skipped tests\n\n{section()}\n"


def updated(before: baseline.States, report: Report) -> baseline.States:
    """``before`` with what ``report`` measured; cells on its columns whose row or dtype is gone are dropped."""
    gone = {change.key for change in baseline.compare(before, report).gone}
    kept = {key: state for key, state in before.items() if key not in gone}
    measured = {c.key: c.state for c in report.cells if c.state not in (State.UNTESTED, State.EMITTED)}
    return {**kept, **measured}


def measure(budget: float) -> tuple[Report, int]:
    """A run of the command, whose output goes through; its report and exit status."""
    files = [FOLDER / f"report.{suffix}" for suffix in ("json", "xml", "csv", "html")]
    outputs = [part for file in files for part in ("--output", str(file))]
    against = ["--baseline", str(BASELINE)] if BASELINE.exists() else []
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "portkernel", "coverage", f"--budget={budget}", *outputs, *against,
               "--fail-on=wrong", "--fail-on=regression", f"--summary={FOLDER / 'summary.md'}"]  # fmt: skip
    files[0].unlink(missing_ok=True)  # that of an earlier run
    status = subprocess.run(command, check=False).returncode
    if not files[0].is_file() or not files[0].stat().st_size:
        raise SystemExit(f"coverage_report.py: no report was written (exit status {status})")
    return read(files[0]), status


def read(file: Path) -> Report:
    """A report that was written as JSON."""
    return from_document(json.loads(file.read_text(encoding="utf-8")))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--budget", type=float, default=SECONDS, help="seconds for the whole")
    parser.add_argument("--from", dest="source", type=Path, help="an earlier report (JSON): nothing is measured")
    parser.add_argument("--write-baseline", action="store_true", help="take what was found into the baseline")
    options = parser.parse_args(argv)
    report, status = (read(options.source), 0) if options.source else measure(options.budget)
    PAGE.write_text(page(report), encoding="utf-8")
    if options.write_baseline:
        before = baseline.read(BASELINE) if BASELINE.exists() else {}
        BASELINE.write_text(baseline.to_baseline(updated(before, report)), encoding="utf-8")
        return 0
    return status


if __name__ == "__main__":
    sys.exit(main())
