"""The child process: performs the steps that arrive on its standard input, one JSON object a line.

Only outcomes go to the original standard output; whatever kernels and compilers print goes to standard error.
"""

from __future__ import annotations

import inspect
import json
import os
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from .. import catalog
from ..catalog import Case, Entry, Problem
from ..dtypes import as_dtype
from ..errors import MissingDependencyError, NoDeviceError, TargetError
from .model import Outcome, State, Step
from .peers import PEERS
from .protocol import decode_step, encode_outcome

SMALL_ELEMENTS = 20_000
"""Emulation takes the cases whose arrays have at most this many elements together."""
MEASURE_SECONDS = 0.1
MEASURE_RUNS = 15


def make_problem(entry: Entry, case: Case, dtype: str) -> Problem:
    """The same data in every process and for every backend."""
    seed = zlib.crc32(f"{entry.name} {case.label} {dtype}".encode())
    return case.make(as_dtype(dtype), np.random.default_rng(seed))


def elements(problem: Problem) -> int:
    return sum(int(np.size(a)) for a in problem.args.values())


def median_seconds(run: Callable[[], object]) -> float:
    """The median of repeated runs after one that does not count."""
    run()
    taken: list[float] = []
    end = time.perf_counter() + MEASURE_SECONDS
    while not taken or (len(taken) < MEASURE_RUNS and time.perf_counter() < end):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def arguments(entry: Entry, problem: Problem) -> list[Any]:
    """The run-time arguments by position, which is also the fastest way to pass them."""
    function = getattr(entry.kernel, "__wrapped__", None)
    order = list(problem.args) if function is None else list(inspect.signature(function).parameters)
    return [problem.args[name] for name in order if name in problem.args]


def launch(entry: Entry, problem: Problem, backend: str) -> None:
    kernel: Any = entry.kernel
    kernel[problem.grid](*arguments(entry, problem), **problem.constants, backend=backend)


def verify_cases(entry: Entry, step: Step, cases: list[tuple[Case, Problem]]) -> Outcome:
    """Run each case once; the outcome carries the largest error of all, as a multiple of its bound."""
    worst, label = 0.0, ""
    for case, problem in cases:
        launch(entry, problem, step.backend)
        for output, error in catalog.check(problem).items():
            if not error <= 1.0:
                reason = f"{output} of {case.label}: error {error:.3g} times its bound"
                return Outcome(State.FAILED, step.label, reason, error, case.label, len(cases))
            if error >= worst:
                worst, label = error, case.label
    state = State.EMULATED if step.mode == "emulate" else State.RUN
    return Outcome(state, step.label, "", worst, label, len(cases))


def spread(cases: Sequence[Case], most: int) -> list[Case]:
    """At most ``most`` of the cases, the first and the last among them; all for 0."""
    if not 0 < most < len(cases):
        return list(cases)
    last = len(cases) - 1
    return [cases[i] for i in sorted({round(i * last / max(most - 1, 1)) for i in range(most)})]


def perform_run(entry: Entry, step: Step) -> Outcome:
    """The cases of the step for their error."""
    chosen = spread(entry.cases, step.cases)
    return verify_cases(entry, step, [(c, make_problem(entry, c, step.dtype)) for c in chosen])


def perform_emulate(entry: Entry, step: Step) -> Outcome:
    """The small cases for their error, or the smallest where none is small; an interpreter's time says nothing."""
    made = [(c, make_problem(entry, c, step.dtype)) for c in entry.cases]
    made.sort(key=lambda pair: elements(pair[1]))
    small = [pair for pair in made if elements(pair[1]) <= SMALL_ELEMENTS] or made[:1]
    return verify_cases(entry, step, small[-step.cases :])


def perform_measure(entry: Entry, step: Step) -> Outcome:
    """The first case's time, and that of NumPy's own words for it; compiled before, outputs allocated before."""
    problem = make_problem(entry, entry.cases[0], step.dtype)
    seconds = median_seconds(lambda: launch(entry, problem, step.backend))
    peer = PEERS.get(entry.name)
    with np.errstate(all="ignore"):
        own = None if peer is None else median_seconds(lambda: peer(problem.args, problem.constants))
    return Outcome(State.RUN, step.label, seconds=seconds, numpy_seconds=own, case=entry.cases[0].label)


def perform_compile(entry: Entry, step: Step) -> Outcome:
    problem = make_problem(entry, entry.cases[0], step.dtype)
    kernel: Any = entry.kernel
    try:
        kernel.compile(*arguments(entry, problem), backend=step.backend, target=step.target, **problem.constants)
    except MissingDependencyError as error:
        return perform_emit(entry, step, error.hint or error.message)
    return Outcome(State.COMPILED, step.label)


def perform_emit(entry: Entry, step: Step, reason: str = "") -> Outcome:
    problem = make_problem(entry, entry.cases[0], step.dtype)
    kernel: Any = entry.kernel
    kernel.source(*arguments(entry, problem), backend=step.backend, target=step.target or None, **problem.constants)
    return Outcome(State.EMITTED, step.label, reason)


MODES: Mapping[str, Callable[[Entry, Step], Outcome]] = {
    "run": perform_run,
    "emulate": perform_emulate,
    "measure": perform_measure,
    "compile": perform_compile,
    "emit": perform_emit,
}


def perform(step: Step) -> Outcome:
    """Perform one step; whatever it raises becomes its outcome."""
    entry = catalog.find(step.kernel)
    try:
        return MODES[step.mode](entry, step)
    except (MissingDependencyError, NoDeviceError) as error:
        try:
            return perform_emit(entry, step, str(error).replace("\n", "; "))
        except Exception as inner:  # the text itself cannot be had
            return Outcome(State.FAILED, step.label, summary(inner))
    except TargetError as error:
        return Outcome(State.UNSUPPORTED, step.label, summary(error))
    except Exception as error:
        return Outcome(State.FAILED, step.label, summary(error))


def summary(error: Exception) -> str:
    """The class and first line of an error."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def own_stdout() -> TextIO:
    """The original standard output for answers; from here on, everything else that prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def main() -> None:
    answers = own_stdout()
    if sys.argv[1:] == ["devices"]:
        from .devices import probe

        print(json.dumps(probe()), file=answers, flush=True)
        return
    for line in sys.stdin:
        print(encode_outcome(perform(decode_step(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
