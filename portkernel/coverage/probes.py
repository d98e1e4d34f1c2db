"""Probes that catch a device lying about its precision: problems whose exact answer a narrower type cannot hold.

Each is run twice, by two processes: with an empty compile cache, and with the one that the first left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

import portkernel as pk

from ..dtypes import as_dtype
from .model import Cell, Outcome, ProbeResult, Step
from .states import State
from .trials import Route

ONES = 4096
SIDE = 16
DEPTH = 64


@pk.kernel
def take_one(x, out):  # type: ignore[no-untyped-def]
    pk.store(out, (0,), pk.load(x, (0,), (SIDE,)) - 1.0)


@pk.kernel
def product(a, b, out):  # type: ignore[no-untyped-def]
    zeros = pk.zeros((SIDE, SIDE), pk.float32)
    pk.store(out, (0, 0), pk.dot(pk.load(a, (0, 0), (SIDE, SIDE)), pk.load(b, (0, 0), (SIDE, SIDE)), zeros))


@pk.kernel
def total(x, out):  # type: ignore[no-untyped-def]
    pk.store(out, (0,), pk.sum(pk.load(x, (0, 0), (SIDE, ONES)), axis=1).astype(out.dtype))


@pk.kernel
def long_product(a, b, out):  # type: ignore[no-untyped-def]
    acc = pk.zeros((SIDE, SIDE), pk.float32)
    for k in range(ONES // DEPTH):
        acc = pk.dot(pk.load(a, (0, k), (SIDE, DEPTH)), pk.load(b, (k, 0), (DEPTH, SIDE)), acc)
    pk.store(out, (0, 0), acc.astype(out.dtype))


def _fp64(dtype: str, route: Route) -> float:
    out = np.full(SIDE, np.nan)
    take_one[(1,)](np.full(SIDE, 1 + 2.0**-40), out, **route)
    return float(out[-1])


def _products(dtype: str, route: Route) -> float:
    a, b = np.zeros((2, SIDE, SIDE), np.float32)
    a[:, 0], b[0] = 1 + 2.0**-12, 1
    out = np.full((SIDE, SIDE), np.nan, np.float32)
    product[(1,)](a, b, out, **route)
    return float(out[-1, -1])


def _sum(dtype: str, route: Route) -> float:
    out = np.full(SIDE, np.nan, as_dtype(dtype).np)
    total[(1,)](np.ones((SIDE, ONES), as_dtype(dtype).np), out, **route)
    return float(out[-1])


def _dot(dtype: str, route: Route) -> float:
    element = as_dtype(dtype).np
    out = np.full((SIDE, SIDE), np.nan, element)
    long_product[(1,)](np.ones((SIDE, ONES), element), np.ones((ONES, SIDE), element), out, **route)
    return float(out[-1, -1])


@dataclass(frozen=True, slots=True)
class Probe:
    """A problem for a dtype; ``executed`` names what a wrong answer shows, ``uses`` which cells it speaks of."""

    name: str
    dtype: str
    run: Callable[[str, Route], float]
    expected: float
    executed: str
    uses: str = ""


PROBES: tuple[Probe, ...] = (
    Probe("float64 is float64", "float64", _fp64, 2.0**-40, "float32"),
    Probe("float32 products are float32", "float32", _products, 1 + 2.0**-12, "tfloat32", "dot"),
    *(
        Probe(f"{dtype} {what} do not stall", dtype, run, float(ONES), f"{dtype} accumulation", "accumulate")
        for dtype in ("float16", "bfloat16")
        for what, run in (("sums", _sum), ("products", _dot))
    ),
)
"""1 + 2⁻⁴⁰ is 1 in float32, 1 + 2⁻¹² is 1 in tf32, and ones stop adding up at 2048 in float16, at 256 in bfloat16."""


def find(name: str) -> Probe:
    return next(p for p in PROBES if p.name == name)


def perform(step: Step) -> Outcome:
    """Run the probe that ``step.row`` names on its column, in the worker."""
    probe = find(step.row)
    value = probe.run(probe.dtype, step.column.call)
    exact = value == probe.expected
    executed = probe.dtype if exact else probe.executed
    return Outcome(State.NATIVE if exact else State.DEGRADED, "", declared=probe.dtype, executed=executed, value=value)


def result(step: Step, outcome: Outcome) -> ProbeResult:
    """What the report says of a probe that was performed; a probe that failed found nothing."""
    probe = find(step.row)
    number = outcome.value if outcome.value is None or np.isfinite(outcome.value) else None
    return ProbeResult(
        step.column.id,
        probe.name,
        step.kind,
        probe.dtype,
        outcome.executed,
        number,
        probe.expected,
        probe.uses,
        outcome.reason,
    )


def degrade(cells: Sequence[Cell], found: Sequence[ProbeResult]) -> tuple[Cell, ...]:
    """``cells`` with those shown as degraded that a probe speaks of: they ran, in less precision than declared."""
    lies = [p for p in found if p.degraded]
    return tuple(_degraded(cell, lies) for cell in cells)


def _degraded(cell: Cell, lies: Sequence[ProbeResult]) -> Cell:
    outcome = cell.outcome
    if outcome.state not in (State.NATIVE, State.EMULATED, State.WRONG) or outcome.errors is None:
        return cell
    for lie in lies:
        spoken_of = not lie.uses or lie.uses in outcome.uses
        if lie.column == cell.column and lie.declared == cell.dtype and spoken_of:
            reason = f"probe “{lie.probe}” ({lie.cache} cache): {lie.value} instead of {lie.expected}"
            if outcome.state is State.WRONG:
                reason = f"{outcome.reason}; {reason}"
            changed = replace(
                outcome, state=State.DEGRADED, reason=reason, declared=lie.declared, executed=lie.executed, how=""
            )
            return replace(cell, outcome=changed)
    return cell
