"""Softmax along the second axis, in two passes over memory whatever the length of a row."""

from __future__ import annotations

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, rounding, sample, unit_roundoff

INF = float("inf")


def working(dtype):
    """float64 for float64, float32 for other floats."""
    return pk.float64 if dtype == pk.float64 else pk.float32


@pk.kernel
def softmax(x, out, BM: pk.constexpr[int] = pk.auto(1, 64), BN: pk.constexpr[int] = pk.auto(64, 4096)):
    """``out = exp(x - max) / sum(exp(x - max))`` along the second axis of x ``(M, N)``, any strides.

    The running maximum and sum of Milakov and Gimelshein (2018), computed in float32 (float64 for float64), then one
    pass to write. -inf gives 0; a row with NaN or inf, or of -inf alone, gives NaN.
    Relative error: (N + 10·N/64 + 2·(max - min) + 20)·u, then one rounding; values under the smallest normal may be 0.
    """
    i = pk.program_id(0)
    wide = working(x.dtype)
    top = pk.full((BM,), -INF, wide)
    total = pk.zeros((BM,), wide)
    for k in range(pk.cdiv(x.shape[1], BN)):
        tile = pk.load(x, (i, k), (BM, BN), pad=-INF).astype(wide)
        higher = pk.maximum(top, tile.max(axis=1))
        shift = pk.where(higher == -INF, 0.0, higher)
        total = total * pk.exp(top - shift) + pk.exp(tile - shift[:, None]).sum(axis=1)
        top = higher
    base = pk.where(top == -INF, 0.0, top)
    for k in range(pk.cdiv(x.shape[1], BN)):
        tile = pk.load(x, (i, k), (BM, BN), pad=-INF).astype(wide)
        pk.store(out, (i, k), (pk.exp(tile - base[:, None]) / total[:, None]).astype(out.dtype))


def _case(m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (m, n), dtype)
        if layout == "strided":
            x = sample(rng, (n, 2 * m), dtype).T[::-2]
        elif layout == "wide range":
            x = (exact(x) * 20).astype(dtype.np)
        elif layout == "special":
            x[0, : n - 1] = -np.inf
            x[1, n // 2] = np.inf
            x[2, n // 2] = np.nan
            x[3] = -np.inf

        def reference():
            with np.errstate(invalid="ignore"):
                e = np.exp(exact(x) - exact(x).max(axis=1, keepdims=True))
                return {"out": e / e.sum(axis=1, keepdims=True)}

        def bound():
            wide, y = working(dtype), reference()["out"]
            finite = np.where(np.isfinite(exact(x)), exact(x), 0)
            spread = np.ptp(finite, axis=1, keepdims=True)
            relative = unit_roundoff(wide) * (n + 10 * (n // 64 + 1) + 2 * spread + 20)
            tiny = 2.0 ** (2 - (1 << (wide.exponent - 1)))
            return {"out": relative * np.where(np.isfinite(y), y, 0) + tiny + rounding(y, dtype)}

        return Problem(
            args={"x": x, "out": poison((m, n), dtype)},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]),),
            constants={},
            outputs=("out",),
            reference=reference,
            bound=bound,
        )

    return make


ENTRIES = (
    Entry(
        "softmax",
        softmax,
        (pk.float32, pk.float64, pk.float16, pk.bfloat16),
        (
            Case("256×1000", _case(256, 1000)),
            Case("1×1", _case(1, 1)),
            Case("2×10007", _case(2, 10007)),
            Case("33×77, strided", _case(33, 77, "strided")),
            Case("17×300, wide range", _case(17, 300, "wide range")),
            Case("6×4500, special", _case(6, 4500, "special")),
        ),
    ),
)
