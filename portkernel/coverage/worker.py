"""The child process: performs the steps that the coordinator sends. See :mod:`portkernel.runtime.isolate`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..dtypes import BY_NAME
from ..errors import (
    ArgumentDTypeError,
    DTypeError,
    MissingDependencyError,
    NoDeviceError,
    TargetError,
)
from ..runtime import driver
from ..runtime.worker import serve
from . import trials as source
from .evidence import Arithmetic, Evidence, arithmetic, describe, observe
from .judge import Array, judge, merge
from .model import Errors, Outcome, Step
from .places import look
from .protocol import decode_step, encode_found, encode_outcome
from .states import State
from .trials import Trial, spread

SMALL_ELEMENTS = 20_000
"""Interpreters take the cases whose arrays have at most this many elements together."""
MEASURE_SECONDS = 0.04
MEASURE_RUNS = 15


@dataclass(slots=True)
class Prepared:
    """A trial whose reference and bound are computed once, for all columns."""

    trial: Trial
    _answers: tuple[Mapping[str, Array], Mapping[str, Array]] | None = None

    def answers(self) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
        if self._answers is None:
            self._answers = self.trial.reference(), self.trial.bound()
        return self._answers


@lru_cache(maxsize=2)
def prepare(kind: str, row: str, dtype: str) -> tuple[Prepared, ...]:
    """The trials of a row: made once while the steps of that row arrive one after the other."""
    return tuple(Prepared(t) for t in source.trials(kind, row, dtype))


@lru_cache(maxsize=8)
def computes(kind: str, row: str, dtype: str) -> Arithmetic:
    first = prepare(kind, row, dtype)[0].trial
    return arithmetic(describe(lambda: first.run({"backend": "numpy"})))


# --- running ------------------------------------------------------------------------------------------------


def chosen(step: Step) -> list[Prepared]:
    """The trials to check on a column: a spread of them; for an interpreter small ones, or the smallest."""
    prepared = prepare(step.kind, step.row, step.dtype)
    if step.column.kind == "interpreter":
        ordered = sorted(prepared, key=lambda p: p.trial.elements)
        small = [p for p in ordered if p.trial.elements <= SMALL_ELEMENTS] or ordered[:1]
        return small[-step.cases :]
    return spread(prepared, step.cases)


def perform_run(step: Step) -> Outcome:
    """Every chosen trial once: its errors, and what was launched."""
    errors: Errors | None = None
    launches: dict[str, int] = {}
    route = ""
    for prepared in chosen(step):
        trial = prepared.trial
        want, bound = prepared.answers()
        got, evidence = observe(lambda trial=trial: trial.run(step.column.call))  # type: ignore[misc]
        fallen = fell_back(step.column.backend, evidence, got, trial)
        if fallen is not None:
            return fallen
        for kernel, n in evidence.on(step.column.backend).items():
            launches[kernel] = launches.get(kernel, 0) + n
        route = route or evidence.route
        found = judge(got, want, bound, trial.label)
        errors = found if errors is None else merge(errors, found)
        if not found.of_bound <= 1.0:
            reason = f"{trial.label}: error {found.of_bound:.3g} times its bound"
            return Outcome(State.WRONG, reason, errors, launches=launches, route=route)
    how, uses = emulation(step)
    why = "" if launches else "there is nothing to launch: a view, or no elements"
    return Outcome(State.EMULATED if how else State.NATIVE, why, errors, how, launches=launches, route=route, uses=uses)


def fell_back(backend: str, evidence: Evidence, got: Mapping[str, Array], trial: Trial) -> Outcome | None:
    """The outcome of a call that something else computed, in part at least; None if our kernels did on ``backend``."""
    elsewhere = evidence.elsewhere(backend)
    if evidence.fallbacks or elsewhere:
        reason = "; ".join(evidence.fallbacks) or f"launches on {', '.join(elsewhere)}"
        return Outcome(State.FALLBACK, f"{trial.label}: {reason}", to=", ".join(elsewhere) or "the host")
    nothing_to_do = all(
        np.size(g) == 0 or any(np.shares_memory(g, x) for x in trial.inputs) for g in map(np.asarray, got.values())
    )
    if not evidence.on(backend) and not nothing_to_do:
        return Outcome(State.FALLBACK, f"{trial.label}: no kernel was launched", to="the host")
    return None


def emulation(step: Step) -> tuple[str, tuple[str, ...]]:
    """How the column emulates (empty: it does not), and what the kernels use where a probe will want to know."""
    column, dtype = step.column, BY_NAME[step.dtype]
    if column.kind == "interpreter":
        how = f"{column.name} on the CPU"
        return how, computes(step.kind, step.row, step.dtype).uses if step.explain else ()
    known = driver.find(column.backend)
    target = known.target(known.device(column.device or None, None))
    suspicious = dtype.is_float and dtype.name not in target.native
    if not suspicious and not step.explain:
        return "", ()
    found = computes(step.kind, step.row, step.dtype)
    return found.emulation(column.backend, target) if suspicious else "", found.uses


# --- measuring ----------------------------------------------------------------------------------------------


def alternate(first: Callable[[], object], second: Callable[[], object] | None) -> tuple[float, float | None]:
    """The medians of both, run in turns after one round that does not count."""
    runs = [first] if second is None else [first, second]
    taken: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    end = time.perf_counter() + MEASURE_SECONDS * len(runs)
    while not taken[0] or (len(taken[0]) < MEASURE_RUNS and time.perf_counter() < end):
        for run, times in zip(runs, taken, strict=True):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return statistics.median(taken[0]), statistics.median(taken[1]) if second is not None else None


def perform_measure(step: Step) -> Outcome:
    """The first trial's time, and its peer's."""
    trial = prepare(step.kind, step.row, step.dtype)[0].trial
    route = step.column.call
    with np.errstate(all="ignore"):
        ours, theirs = alternate(lambda: trial.run(route), trial.peer)
    return Outcome(State.NATIVE, seconds=ours, peer=trial.peer_name if theirs is not None else "", peer_seconds=theirs)


# --- compiling ----------------------------------------------------------------------------------------------


def perform_compile(step: Step) -> Outcome:
    """Every kernel that the first trial would launch, compiled for the column's target."""
    column = step.column
    trial = prepare(step.kind, step.row, step.dtype)[0].trial
    described = describe(lambda: trial.run({"backend": column.backend}), column.target)
    launches: dict[str, int] = {}
    emitted = ""
    for launch in described:
        launches[launch.kernel.name] = launches.get(launch.kernel.name, 0) + 1
        options = {"backend": column.backend, "target": column.target}
        try:
            launch.kernel.compile(*launch.args, **launch.constants, **options)
        except MissingDependencyError as error:
            launch.kernel.source(*launch.args, **launch.constants, **options)
            emitted = error.hint or error.message
    why = emitted or ("" if described else "there is nothing to compile: the call launches no kernel")
    return Outcome(State.EMITTED if emitted else State.COMPILED, why, launches=launches)


def perform_probe(step: Step) -> Outcome:
    from .probes import perform

    return perform(step)


MODES: Mapping[str, Callable[[Step], Outcome]] = {
    "run": perform_run,
    "measure": perform_measure,
    "compile": perform_compile,
    "probe": perform_probe,
}


def perform(step: Step) -> Outcome:
    """Perform one step; whatever it raises becomes its outcome."""
    try:
        return MODES[step.mode](step)
    except (TargetError, ArgumentDTypeError, DTypeError) as error:
        return Outcome(State.UNSUPPORTED, summary(error))
    except (MissingDependencyError, NoDeviceError) as error:
        return Outcome(State.UNTESTED, str(error).replace("\n", "; "))
    except Exception as error:
        return Outcome(State.WRONG, summary(error))


def summary(error: Exception) -> str:
    """The class and first line of an error."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def main() -> None:
    serve(_answer)


def _answer(job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """A job is a step, or ``{"look": backends}``: what they have here."""
    if "look" in job:
        return {"found": encode_found({backend: look(backend) for backend in job["look"]})}, b""
    return encode_outcome(perform(decode_step(job))), b""
