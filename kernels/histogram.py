"""Counts of integers, by integer atomics."""

from __future__ import annotations

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem


@pk.kernel
def histogram(x, counts, B: pk.constexpr[int] = pk.auto(64, 4096)):
    """``counts[v] += 1`` for every element v of the integer vector x; values outside ``0 … len(counts) - 1`` are dropped.

    counts is int32 or int64 and starts from what the caller put there. Exact, and the same in any order of arrival.
    """
    i = pk.program_id(0)
    value = pk.load(x, (i,), (B,)).astype(pk.int64)
    inside = pk.program_id(0) * B + pk.arange(B) < x.shape[0]
    pk.atomic_add(counts, (value,), pk.ones((B,), counts.dtype), mask=inside)


def _case(n: int, bins: int, step: int = 1):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        low, high = max(dtype.min, -3), min(dtype.max, bins + 3)
        x = rng.integers(low, high + 1, (n * abs(step),)).astype(dtype.np)[::step]
        start = rng.integers(0, 5, (bins,)).astype(np.int32)

        def reference():
            kept = x[(x >= 0) & (x <= min(bins - 1, dtype.max))]
            return {"counts": start + np.bincount(kept.astype(np.int64), minlength=bins).astype(np.int32)}

        return Problem(
            args={"x": x, "counts": start.copy()},
            grid=lambda meta: (pk.cdiv(n, meta["B"]),),
            outputs=("counts",),
            reference=reference,
            bound=lambda: {"counts": np.zeros((bins,))},
        )

    return make


ENTRIES = (
    Entry(
        "histogram",
        histogram,
        (pk.int32, pk.int64, pk.int8, pk.uint8),
        (
            Case("200000 in 256", _case(200_000, 256)),
            Case("1 in 1", _case(1, 1)),
            Case("999 in 7, every second", _case(999, 7, 2)),
            Case("500 in 100, reversed", _case(500, 100, -1)),
        ),
    ),
)
