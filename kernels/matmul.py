"""Matrix product with a fused bias and activation."""

from __future__ import annotations

import math

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, gamma, poison, rounding, sample


def accumulator(dtype):
    """float64 for float64, int32 for small integers, float32 for every other float."""
    return pk.float64 if dtype == pk.float64 else pk.float32 if dtype.is_float else pk.int32


def gelu(x):
    """x·Φ(x), Φ the normal distribution function (Hendrycks and Gimpel 2016), by erf."""
    return x * 0.5 * (pk.erf(x * 0.7071067811865476) + 1.0)


@pk.kernel
def matmul(
    a,
    b,
    bias,
    out,
    BIAS: pk.constexpr[bool] = False,
    ACTIVATION: pk.constexpr[str] = "none",
    BM: pk.constexpr[int] = pk.auto(1, 256),
    BN: pk.constexpr[int] = pk.auto(1, 512),
    BK: pk.constexpr[int] = pk.auto(8, 512),
):
    """``out = activation(a @ b + bias)`` for a ``(M, K)``, b ``(K, N)``, bias ``(N,)``, out ``(M, N)``, any strides.

    a and b share a dtype; products accumulate in float64 for float64, int32 for int8, float32 else; bias has the
    accumulator's dtype, or a's. ACTIVATION is none, relu or gelu (floats). Without BIAS, bias is not read.
    Error before the activation: γ(K + 2)·(|a| @ |b| + |bias|), then one rounding to out's dtype.
    """
    i, j = pk.program_id(0), pk.program_id(1)
    acc = pk.zeros((BM, BN), accumulator(a.dtype))
    for k in range(pk.cdiv(a.shape[1], BK)):
        acc = pk.dot(pk.load(a, (i, k), (BM, BK)), pk.load(b, (k, j), (BK, BN)), acc)
    if BIAS:
        acc = acc + pk.load(bias, (j,), (BN,)).astype(acc.dtype)[None, :]
    if ACTIVATION == "relu":
        acc = pk.maximum(acc, 0)
    elif ACTIVATION == "gelu":
        acc = gelu(acc)
    pk.store(out, (i, j), acc.astype(out.dtype))


_erf = np.vectorize(math.erf, otypes=[np.float64])


def out_dtype(dtype: pk.DType) -> pk.DType:
    """What a product of ``dtype`` is stored as: the 8-bit types widen."""
    return accumulator(dtype) if dtype.bits == 8 else dtype


def activate(x: np.ndarray, activation: str) -> np.ndarray:
    """The activation in float64 (exact in integers)."""
    match activation:
        case "relu":
            return np.maximum(x, 0)
        case "gelu":
            return x * 0.5 * (1 + _erf(x / math.sqrt(2)))
        case _:
            return x


def product_bound(
    size: np.ndarray, terms: int, before: np.ndarray, after: np.ndarray, dtype: pk.DType, activation: str
):
    """The error of an activated sum of ``terms`` products: ``size`` is the sum of their absolute values.

    gelu has slope at most 1.13, and erf an error of 16 ulp: 0.5·|x|·(16 + 4) ulp more.
    """
    acc = accumulator(dtype)
    error = gamma(terms + 2, acc) * exact(size)
    if activation == "gelu":
        error = 1.13 * error + 10 * acc.eps * np.abs(before)
    return error + rounding(after, out_dtype(dtype))


def _case(m: int, n: int, k: int, *, layout: str = "", bias: bool = False, activation: str = "none"):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        a, b = sample(rng, (m, k), dtype), sample(rng, (k, n), dtype)
        if layout == "transposed":
            a, b = sample(rng, (k, m), dtype).T, sample(rng, (n, k), dtype).T
        elif layout == "strided":
            a, b = sample(rng, (2 * m, 3 * k), dtype)[::-2, ::3], sample(rng, (k, 2 * n), dtype)[::-1, 1::2]
        acc = accumulator(dtype)
        shift = sample(rng, (n,), acc) if bias else np.zeros((1,), acc.np)
        act = activation if dtype.is_float or activation == "relu" else "none"

        def before():
            total = exact(a).astype(acc.np if acc.is_integer else np.float64) @ exact(b).astype(
                acc.np if acc.is_integer else np.float64
            )
            return total + exact(shift) if bias else total

        def bound():
            x, size = before(), np.abs(exact(a)).astype(np.float64) @ np.abs(exact(b)).astype(np.float64)
            size = size + np.abs(exact(shift)) if bias else size
            if acc.is_integer:
                return {"out": np.zeros(x.shape)}
            return {"out": product_bound(size, k, x, activate(x, act), dtype, act)}

        return Problem(
            args={"a": a, "b": b, "bias": shift, "out": poison((m, n), out_dtype(dtype))},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]), pk.cdiv(n, meta["BN"])),
            constants={"BIAS": bias, "ACTIVATION": act},
            outputs=("out",),
            reference=lambda: {"out": activate(before(), act)},
            bound=bound,
        )

    return make


ENTRIES = (
    Entry(
        "matmul",
        matmul,
        (pk.float32, pk.float64, pk.float16, pk.bfloat16, pk.float8_e4m3fn, pk.float8_e5m2, pk.int8),
        (
            Case("256×256×256", _case(256, 256, 256)),
            Case("1×1×1", _case(1, 1, 1)),
            Case("17×100×3", _case(17, 100, 3)),
            Case("65×129×257, transposed", _case(65, 129, 257, layout="transposed")),
            Case("33×48×70, strided", _case(33, 48, 70, layout="strided")),
            Case("48×100×65, bias and relu", _case(48, 100, 65, bias=True, activation="relu")),
            Case("100×31×64, bias and gelu", _case(100, 31, 64, bias=True, activation="gelu")),
        ),
    ),
)
