"""The child process that measures: one case a line on standard input, one result a line on standard output.

Its environment sets the threads of every library before they load.
"""

from __future__ import annotations

import dataclasses
import json
import sys

from ..coverage.worker import own_stdout, summary
from ..runtime import peaks
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
    answers = own_stdout()
    for line in sys.stdin:
        job = json.loads(line)
        if job["suite"] == "":
            found: object = peaks.measure(job["device"])
        else:
            suite = SUITES[job["suite"]]
            case = next(c for c in suite.cases if c.label == job["case"])
            found = dataclasses.asdict(perform(suite.name, case, job["device"], job["seconds"]))
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
