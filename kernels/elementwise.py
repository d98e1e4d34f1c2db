"""A chain of elementwise operations with broadcasting, in one pass over memory."""

from __future__ import annotations

import math

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, rounding, sample, unit_roundoff


def working(dtype):
    """The dtype that a chain is computed in: float32 unless it is wider."""
    return pk.float64 if dtype == pk.float64 else pk.float32


def gelu(x):
    """x·Φ(x), Φ the normal distribution function (Hendrycks and Gimpel 2016), by erf."""
    return x * 0.5 * (pk.erf(x * 0.7071067811865476) + 1.0)


@pk.kernel
def scale_shift_gelu(
    x,
    scale,
    bias,
    residual,
    out,
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(32, 4096),
):
    """``out = gelu(x * scale[None, :] + bias[None, :]) + residual`` for x, residual and out ``(M, N)``, any strides.

    Broadcasting arrays have strides of 0. float16 and bfloat16 are computed in float32 and rounded once.
    Error before the last rounding: 24 ulp of |x·scale| + |bias| (erf's 16, gelu's slope 1.13), u·|residual|.
    """
    i, j = pk.program_id(0), pk.program_id(1)
    wide = working(x.dtype)
    factor = pk.load(scale, (j,), (BN,)).astype(wide)
    shift = pk.load(bias, (j,), (BN,)).astype(wide)
    y = gelu(pk.load(x, (i, j), (BM, BN)).astype(wide) * factor[None, :] + shift[None, :])
    y = y + pk.load(residual, (i, j), (BM, BN)).astype(wide)
    pk.store(out, (i, j), y.astype(out.dtype))


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _case(m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x, residual = sample(rng, (m, n), dtype), sample(rng, (m, n), dtype)
        scale, bias = sample(rng, (n,), dtype), sample(rng, (n,), dtype)
        if layout == "broadcast":
            x = np.broadcast_to(sample(rng, (m, 1), dtype), (m, n))
            residual = np.broadcast_to(sample(rng, (n,), dtype), (m, n))
            scale = np.broadcast_to(sample(rng, (1,), dtype), (n,))
        elif layout == "strided":
            x, residual = sample(rng, (n, m), dtype).T[::-1], sample(rng, (2 * m, n), dtype)[::2, ::-1]

        def linear():
            return exact(x) * exact(scale) + exact(bias)

        def reference():
            y = linear()
            return {"out": y * 0.5 * (1 + _erf(y / math.sqrt(2))) + exact(residual)}

        def bound():
            size = np.abs(exact(x) * exact(scale)) + np.abs(exact(bias))
            u = unit_roundoff(working(dtype))
            return {"out": u * (48 * size + 2 * np.abs(exact(residual))) + rounding(reference()["out"], dtype)}

        return Problem(
            args={"x": x, "scale": scale, "bias": bias, "residual": residual, "out": poison((m, n), dtype)},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]), pk.cdiv(n, meta["BN"])),
            constants={},
            outputs=("out",),
            reference=reference,
            bound=bound,
        )

    return make


ENTRIES = (
    Entry(
        "scale_shift_gelu",
        scale_shift_gelu,
        (pk.float32, pk.float64, pk.float16, pk.bfloat16),
        (
            Case("500×700", _case(500, 700)),
            Case("1×1", _case(1, 1)),
            Case("37×129, broadcast", _case(37, 129, "broadcast")),
            Case("53×101, strided", _case(53, 101, "strided")),
        ),
    ),
)
