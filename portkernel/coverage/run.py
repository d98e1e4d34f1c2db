"""Performs a plan and gathers the cells."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from ..catalog import Entry
from .model import Cell, Outcome, State, Step
from .plan import ROUTES, Plan, make_plan
from .pool import ask, perform_all


@dataclass(frozen=True, slots=True)
class Report:
    """All cells, in the order of the catalogue, and where they come from."""

    cells: tuple[Cell, ...]
    devices: Mapping[str, Sequence[str]]
    machine: str
    day: str
    seconds: float = 0.0
    """Wall time of the whole."""

    @property
    def failed(self) -> tuple[Cell, ...]:
        return tuple(c for c in self.cells if c.state is State.FAILED)


Progress = Callable[[int, int, Step], None]


def machine_name() -> str:
    """The CPU, as the operating system names it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cover(
    entries: Sequence[Entry],
    *,
    backends: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    quick: bool = False,
    cases: int = 3,
    workers: int = 2,
    seconds: float = 60.0,
    progress: Progress | None = None,
) -> Report:
    """Fill the table. ``progress(done, total, step)`` is called after each step; ``seconds`` bounds each of them."""
    start = time.perf_counter()
    devices = {name: found.devices for name, found in ask().items()}
    plan = make_plan(entries, devices, backends, dtypes, quick, cases)
    outcomes: dict[Step, Outcome] = {}

    def done(step: Step, outcome: Outcome) -> None:
        outcomes[step] = outcome
        if progress is not None:
            progress(len(outcomes), len(plan), step)

    perform_all(plan.checked, workers, seconds, done)
    perform_all(plan.measured, 1, seconds, done)
    return Report(
        gather(plan, outcomes), devices, machine_name(), date.today().isoformat(), time.perf_counter() - start
    )


def gather(plan: Plan, outcomes: Mapping[Step, Outcome]) -> tuple[Cell, ...]:
    """One cell for each kernel, dtype and backend; a measurement joins the run that it measured."""
    times = {s.cell: outcomes[s] for s, _ in plan.measured if outcomes[s].state is State.RUN}
    grouped: dict[tuple[str, str, str], list[tuple[Step, Outcome]]] = {}
    for step, _ in plan.checked:
        outcome = outcomes[step]
        timed = times.get(step.cell)
        if timed is not None and outcome.state is State.RUN:
            outcome = replace(outcome, seconds=timed.seconds, numpy_seconds=timed.numpy_seconds)
        grouped.setdefault(step.cell, []).append((step, outcome))
    order = {(e, d): i for i, (e, d) in enumerate(dict.fromkeys((s.kernel, s.dtype) for s, _ in plan.checked))}
    cells = [Cell(*key, tuple(found)) for key, found in grouped.items()]
    routes = [route.backend for route in ROUTES]
    return tuple(sorted(cells, key=lambda c: (order[c.kernel, c.dtype], routes.index(c.backend))))
