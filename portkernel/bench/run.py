"""Measures suites in a child process and gathers the results; a crash costs the case that crashed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..coverage.provenance import machine_name
from ..runtime.isolate import Child, Crashed
from .model import Interval, Peaks, Result, Suite

_PACKAGES = ("portkernel", "numpy", "torch", "pyopencl", "pocl-binary-distribution", "intel-opencl-rt")
WORKER_MODULE = "portkernel.bench.worker"
LIMIT = 300.0
"""Seconds until a case counts as hung."""


@dataclass(frozen=True, slots=True)
class Report:
    """All results of one run of the command, and what they were measured on."""

    machine: str
    device: str
    day: str
    threads: int
    versions: Mapping[str, str]
    peaks: Peaks
    results: tuple[Result, ...] = field(default=())
    place: str = ""
    """Which implementation the device belongs to: bars are stated for each."""
    complete: bool = True
    """False where Ctrl-C ended the run before all cases were measured."""


def environment(threads: int) -> dict[str, str]:
    """Variables that hold every library that we know to ``threads`` threads."""
    names = (
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POCL_MAX_PTHREAD_COUNT", "DPCPP_CPU_NUM_CUS",
    )  # fmt: skip
    return dict.fromkeys(names, str(threads))


def versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def decode_result(fields: Mapping[str, Any]) -> Result:
    """A result from its JSON object."""
    made = dict(fields)
    for name in ("seconds", "speed"):
        made[name] = {k: Interval(**v) for k, v in made[name].items()}
    return Result(**made)


def _ask(child: Child, job: Mapping[str, object]) -> dict[str, Any] | str:
    """The answer to ``job``; a text says how the child died, or what it raised."""
    try:
        answer, _ = child.run(job, LIMIT)
    except Crashed as e:
        return f"the process {e.what}" + (f": {e.last_line}" if e.last_line else "")
    return str(answer["failed"]) if answer.get("failed") else answer


def bench(
    suites: Sequence[Suite],
    *,
    device: str | None = None,
    quick: bool = False,
    seconds: float = 1.0,
    threads: int = 2,
    progress: Callable[[int, int, str], None] = lambda done, total, label: None,
) -> Report:
    """Measure every case (with ``quick``, a few of each suite); ``seconds`` is the time for each contestant of a case.

    Interrupted by Ctrl-C, it returns what it has.
    """
    jobs = [(s.name, c.label) for s in suites for c in s.cases if c.quick or not quick]
    with Child(WORKER_MODULE, environment(threads)) as child:
        progress(0, len(jobs), "peaks")
        measured = _ask(child, {"suite": "", "device": device})
        results = []
        with suppress(KeyboardInterrupt):
            for done, (suite, label) in enumerate(jobs):
                progress(done, len(jobs), f"{suite} {label}")
                job = {"suite": suite, "case": label, "device": device, "seconds": seconds}
                answer = _ask(child, job)
                made = Result(suite, label, failure=answer) if isinstance(answer, str) else decode_result(answer)
                results.append(made)
    facts = measured if isinstance(measured, dict) else {}
    return Report(
        machine_name(),
        str(facts.get("device", device or "")),
        date.today().isoformat(),
        threads,
        versions(),
        Peaks(facts.get("flops", {}), facts.get("bandwidth", 0.0)),
        tuple(results),
        str(facts.get("place", "")),
        len(results) == len(jobs),
    )
