"""Running sum along the second axis."""

from __future__ import annotations

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, gamma, poison, rounding, sample


def accumulator(dtype):
    """float64 for float64, float32 for other floats; int64 for integers, as in NumPy."""
    return pk.float64 if dtype == pk.float64 else pk.float32 if dtype.is_float else pk.int64


@pk.kernel
def cumsum(x, out, BM: pk.constexpr[int] = pk.auto(1, 64), BN: pk.constexpr[int] = pk.auto(32, 2048)):
    """``out[i, j] = x[i, 0] + … + x[i, j]`` for x and out ``(M, N)``, any strides.

    A program scans its rows tile by tile and carries the last column on, in float64, float32 or int64 (wrapping): the
    order is fixed, so the result is too. Error: γ(N)·(running sum of |x|), then one rounding.
    """
    i = pk.program_id(0)
    carry = pk.zeros((BM, 1), accumulator(x.dtype))
    for k in range(pk.cdiv(x.shape[1], BN)):
        tile = pk.load(x, (i, k), (BM, BN)).astype(carry.dtype).cumsum(axis=1) + carry
        pk.store(out, (i, k), tile.astype(out.dtype))
        carry = pk.extract(tile, (0, BN - 1), (BM, 1))


def _case(m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (m, n), dtype)
        if layout == "first axis":
            x = sample(rng, (n, m), dtype).T
        elif layout == "reversed":
            x = x[:, ::-1]
        acc = accumulator(dtype)
        stored = acc if dtype.is_integer else dtype

        def reference():
            return {"out": exact(x).cumsum(axis=1, dtype=np.int64 if dtype.is_integer else np.float64)}

        def bound():
            if dtype.is_integer:
                return {"out": np.zeros((m, n))}
            return {"out": gamma(n, acc) * np.abs(exact(x)).cumsum(axis=1) + rounding(reference()["out"], stored)}

        return Problem(
            args={"x": x, "out": poison((m, n), stored)},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]),),
            constants={},
            outputs=("out",),
            reference=reference,
            bound=bound,
        )

    return make


ENTRIES = (
    Entry(
        "cumsum",
        cumsum,
        (pk.float32, pk.float64, pk.float16, pk.bfloat16, pk.int32),
        (
            Case("200×1000", _case(200, 1000)),
            Case("1×1", _case(1, 1)),
            Case("2×5001", _case(2, 5001)),
            Case("40×77, first axis", _case(40, 77, "first axis")),
            Case("7×300, reversed", _case(7, 300, "reversed")),
        ),
    ),
)
