"""Layer normalisation along the second axis."""

from __future__ import annotations

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, gamma, poison, rounding, sample, unit_roundoff


def working(dtype):
    """float64 for float64, float32 for other floats."""
    return pk.float64 if dtype == pk.float64 else pk.float32


@pk.kernel
def layer_norm(
    x,
    weight,
    bias,
    out,
    eps,
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(32, 4096),
):
    """``out = (x - mean) / sqrt(variance + eps) * weight + bias`` along the second axis of x ``(M, N)``, any strides.

    weight and bias are ``(N,)``. Mean and variance are those of the whole row (variance of the population), in float32
    (float64 for float64). The variance is the mean square of what the mean leaves, in a pass of its own: no cancellation.
    Error: see ``_bound``, from γ(N) of the mean and of the variance.
    """
    i = pk.program_id(0)
    wide = working(x.dtype)
    count = pk.astype(x.shape[1], wide)
    steps = pk.cdiv(x.shape[1], BN)
    acc = pk.zeros((BM, BN), wide)
    for k in range(steps):
        acc = acc + pk.load(x, (i, k), (BM, BN)).astype(wide)
    mean = acc.sum(axis=1) / count
    square = pk.zeros((BM, BN), wide)
    for k in range(steps):
        centred = pk.load(x, (i, k), (BM, BN)).astype(wide) - mean[:, None]
        centred = pk.where((k * BN + pk.arange(BN) < x.shape[1])[None, :], centred, 0.0)
        square = square + centred * centred
    scale = 1.0 / pk.sqrt(square.sum(axis=1) / count + pk.astype(eps, wide))
    for k in range(steps):
        y = (pk.load(x, (i, k), (BM, BN)).astype(wide) - mean[:, None]) * scale[:, None]
        y = y * pk.load(weight, (k,), (BN,)).astype(wide)[None, :] + pk.load(bias, (k,), (BN,)).astype(wide)[None, :]
        pk.store(out, (i, k), y.astype(out.dtype))


EPS = float(np.float32(1e-5))  # a Python float arrives as float32


def _reference(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + EPS) * weight + bias


def _bound(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dtype: pk.DType) -> np.ndarray:
    """First order in the error of the mean and of the variance, with room for the second."""
    wide = working(dtype)
    n, u = x.shape[1], unit_roundoff(wide)
    centred = np.abs(x - x.mean(axis=1, keepdims=True))
    variance = (centred**2).mean(axis=1, keepdims=True) + EPS
    of_mean = gamma(n + 2, wide) * np.abs(x).mean(axis=1, keepdims=True)
    of_centred = of_mean + u * centred
    of_variance = gamma(n + 6, wide) * variance + 2 * of_mean * centred.mean(axis=1, keepdims=True) + of_mean**2
    relative = of_variance / variance + 8 * u
    error = np.abs(weight) / np.sqrt(variance) * (of_centred + centred * relative) * 1.01
    return error + 2 * u * np.abs(bias) + rounding(_reference(x, weight, bias), dtype)


def _case(m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (m, n), dtype)
        if layout == "strided":
            x = sample(rng, (n, 2 * m), dtype).T[::-2]
        elif layout == "far from 0":
            x = (exact(x) + 100).astype(dtype.np)
        weight, bias = sample(rng, (n,), dtype), sample(rng, (n,), dtype)
        inputs = tuple(exact(t) for t in (x, weight, bias))
        return Problem(
            args={"x": x, "weight": weight, "bias": bias, "out": poison((m, n), dtype), "eps": EPS},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]),),
            constants={},
            outputs=("out",),
            reference=lambda: {"out": _reference(*inputs)},
            bound=lambda: {"out": _bound(*inputs, dtype)},
        )

    return make


ENTRIES = (
    Entry(
        "layer_norm",
        layer_norm,
        (pk.float32, pk.float64, pk.float16, pk.bfloat16),
        (
            Case("256×768", _case(256, 768)),
            Case("1×1", _case(1, 1)),
            Case("3×5003", _case(3, 5003)),
            Case("29×65, strided", _case(29, 65, "strided")),
            Case("16×1024, far from 0", _case(16, 1024, "far from 0")),
        ),
    ),
)
