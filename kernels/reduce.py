"""Sum, maximum and index of the maximum along an axis."""

from __future__ import annotations

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, gamma, poison, rounding, sample

INF = float("inf")


def accumulator(dtype):
    """float64 for float64, float32 for other floats; int64 for integers, as in NumPy."""
    return pk.float64 if dtype == pk.float64 else pk.float32 if dtype.is_float else pk.int64


def lowest(dtype):
    """What every element of ``dtype`` is at least."""
    return -INF if dtype.is_float else dtype.min


@pk.kernel
def reduce_sum(x, out, BM: pk.constexpr[int] = pk.auto(1, 64), BN: pk.constexpr[int] = pk.auto(32, 4096)):
    """out ``(M,)`` = sum of x ``(M, N)`` along its second axis, any strides; hand over a transposed view for the other axis.

    Accumulates in float64, float32 or int64 (wrapping), in a fixed order. Error: γ(N)·sum |x|, then one rounding.
    """
    i = pk.program_id(0)
    acc = pk.zeros((BM, BN), accumulator(x.dtype))
    for k in range(pk.cdiv(x.shape[1], BN)):
        acc = acc + pk.load(x, (i, k), (BM, BN)).astype(acc.dtype)
    pk.store(out, (i,), acc.sum(axis=1).astype(out.dtype))


@pk.kernel
def reduce_max(x, out, BM: pk.constexpr[int] = pk.auto(1, 64), BN: pk.constexpr[int] = pk.auto(32, 4096)):
    """out ``(M,)`` = largest of x ``(M, N)`` along its second axis, any strides, N >= 1. Exact; NaN if there is one."""
    i = pk.program_id(0)
    best = pk.full((BM, BN), lowest(x.dtype), x.dtype)
    for k in range(pk.cdiv(x.shape[1], BN)):
        best = pk.maximum(best, pk.load(x, (i, k), (BM, BN), pad=lowest(x.dtype)))
    pk.store(out, (i,), best.max(axis=1))


@pk.kernel
def reduce_argmax(x, out, BM: pk.constexpr[int] = pk.auto(1, 64), BN: pk.constexpr[int] = pk.auto(32, 4096)):
    """out ``(M,)`` int64 = index of the largest of x ``(M, N)`` along its second axis, any strides, N >= 1.

    Exact: the first of equals, the first NaN before all else.
    """
    i = pk.program_id(0)
    best = pk.full((BM,), lowest(x.dtype), x.dtype)
    index = pk.zeros((BM,), pk.int64)
    for k in range(pk.cdiv(x.shape[1], BN)):
        tile = pk.load(x, (i, k), (BM, BN), pad=lowest(x.dtype))
        top = tile.max(axis=1)
        better = top > best
        if x.dtype.is_float:
            better = better | (pk.isnan(top) & ~pk.isnan(best))
        index = pk.where(better, k * BN + tile.argmax(axis=1), index)
        best = pk.where(better, top, best)
    pk.store(out, (i,), index)


def _matrix(rng: np.random.Generator, m: int, n: int, dtype: pk.DType, layout: str) -> np.ndarray:
    match layout:
        case "first axis":
            return sample(rng, (n, m), dtype).T
        case "strided":
            return sample(rng, (2 * m, 2 * n), dtype)[::-2, ::2]
        case "special":
            x = sample(rng, (m, n), dtype)
            if dtype.is_float:
                x[::3, n // 2 :: 5] = np.nan
                x[1::3] = -np.inf
                x[2::3, n // 3] = np.inf
            return x
        case _:
            return sample(rng, (m, n), dtype)


def _case(which: str, m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = _matrix(rng, m, n, dtype, layout)
        acc = accumulator(dtype)
        out = {"sum": acc if dtype.is_integer else dtype, "max": dtype, "argmax": pk.int64}[which]

        def reference():
            with np.errstate(invalid="ignore"):
                match which:
                    case "sum":
                        return {"out": exact(x).sum(axis=1, dtype=None if dtype.is_float else np.int64)}
                    case "max":
                        return {"out": exact(x).max(axis=1)}
                    case _:
                        return {"out": exact(x).argmax(axis=1)}

        def bound():
            if which != "sum" or dtype.is_integer:
                return {"out": np.zeros((m,))}
            size = np.abs(np.where(np.isfinite(exact(x)), exact(x), 0)).sum(axis=1)
            return {"out": gamma(n, acc) * size + rounding(reference()["out"], out)}

        return Problem(
            args={"x": x, "out": poison((m,), out)},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]),),
            constants={},
            outputs=("out",),
            reference=reference,
            bound=bound,
        )

    return make


def _entry(which: str, kernel) -> Entry:
    sizes = (
        (400, 1500, ""),
        (1, 1, ""),
        (3, 5001, ""),
        (70, 33, "first axis"),
        (31, 100, "strided"),
        (9, 130, "special"),
    )
    cases = tuple(
        Case(f"{m}×{n}" + (f", {layout}" if layout else ""), _case(which, m, n, layout)) for m, n, layout in sizes
    )
    dtypes = (pk.float32, pk.float64, pk.float16, pk.bfloat16, pk.int8, pk.int32)
    return Entry(f"reduce_{which}", kernel, dtypes, cases)


ENTRIES = (_entry("sum", reduce_sum), _entry("max", reduce_max), _entry("argmax", reduce_argmax))
