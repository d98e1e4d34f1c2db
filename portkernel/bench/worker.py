"""The child process that measures: a job is a case, or an empty suite's name for the machine's peaks.

Its environment sets the threads of every library before they load.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ..coverage.worker import summary
from ..runtime import peaks
from ..runtime.worker import serve
from .measure import interval, rounds, speeds
from .model import Case, Result
from .suites import SUITES


def perform(suite: str, case: Case, device: str | None, seconds: float) -> Result:
    """Measure one case; whatever it raises becomes its failure."""
    try:
        contest = case.make(device)
        contestants = {"ours": contest.ours, **contest.peers}
        taken = rounds(contestants, seconds * len(contestants))
        error = contest.error() if contest.error is not None else None
    except Exception as problem:
        return Result(suite, case.label, failure=summary(problem))
    if error is not None and not error <= 1.0:
        return Result(suite, case.label, error=error, failure=f"error {error:.3g} times what is allowed")
    return Result(
        suite,
        case.label,
        {name: interval(times) for name, times in taken.items()},
        {name: min(times) for name, times in taken.items()},
        speeds(taken),
        len(taken["ours"]),
        contest.flops,
        contest.bytes,
        error,
    )


def main() -> None:
    serve(_answer)


def _answer(job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    if job["suite"] == "":
        return dict(peaks.measure(job["device"])), b""
    suite = SUITES[job["suite"]]
    case = next(c for c in suite.cases if c.label == job["case"])
    return dataclasses.asdict(perform(suite.name, case, job["device"], job["seconds"])), b""
