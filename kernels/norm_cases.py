"""The cases that group, RMS and batch normalisation, and the gradients of norms and of softmax, are tried on."""

from __future__ import annotations

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, gamma, poison, rounding, sample, unit_roundoff

from .batch_norm import _affine
from .elementwise import chain_kernel
from .row_norm import norm_bound, norm_gradient_rows, norm_row, norm_rows, reference_norm, weight_gradient
from .softmax import reference_softmax, softmax_gradient_rows, working

EPS = 1e-5
Shape = tuple[int, int, int, int]
"""K0, R0, K1 and R1."""


def _norm(shape: Shape, *, rms: bool = False, whole: int = 0, again: bool = False):
    """Rows normalised over R0 and R1; ``whole``: in tiles of so many columns, each row at once, or read ``again``."""

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        k0, r0, k1, r1 = shape
        rows = {"BM": 1, "BN": whole, "FULL": whole == r1, "AGAIN": again} if whole else {}
        x = sample(rng, shape, dtype)
        weight, bias = (np.broadcast_to(sample(rng, (1, r0, k1, 1), dtype), shape) for _ in range(2))
        inputs = (exact(x), exact(weight), np.zeros(shape) if rms else exact(bias), (1, 3), EPS, rms)
        return Problem(
            args={"x": x, "weight": weight, "bias": bias, "out": poison(shape, dtype), "eps": EPS},
            grid=lambda meta: (pk.cdiv(k1, meta["BM"]) * k0,),
            constants={"RMS": rms, "BIAS": not rms} | rows,
            reference=lambda: {"out": reference_norm(*inputs)},
            bound=lambda: {"out": norm_bound(*inputs, dtype)},
        )

    return make


def _batch(m: int, n: int):
    """``(N, C, L)`` with statistics that are given, as a chain over ``(1, 1, C, N, L)``."""

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        shape = (1, 1, 2, m, n)
        x = sample(rng, shape, dtype)
        mean, weight, bias = (np.broadcast_to(sample(rng, (1, 1, 1, m, 1), dtype), shape) for _ in range(3))
        variance = np.broadcast_to((rng.random((1, 1, 1, m, 1)) + 0.5).astype(dtype.np), shape)

        def reference():
            scaled = (exact(x) - exact(mean)) / np.sqrt(exact(variance) + EPS) * exact(weight)
            return {"out": scaled + exact(bias)}

        def bound():
            scaled = np.abs(reference()["out"] - exact(bias))
            return {"out": unit_roundoff(working(dtype)) * (12 * scaled + 2 * np.abs(exact(bias))) + rounding(reference()["out"], dtype)}  # fmt: skip

        arrays = (x, mean, variance, EPS, weight, bias)
        return Problem(
            args={**{f"x{i}": a for i, a in enumerate(arrays)}, "out": poison(shape, dtype)},
            grid=lambda meta: (pk.cdiv(n, meta["BN"]) * pk.cdiv(m, meta["BM"]) * 2,),
            reference=reference,
            bound=bound,
        )

    return make


def _norm_gradient(shape: Shape, *, rms: bool = False):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        k0, _, k1, r1 = shape
        wide, u = working(dtype), unit_roundoff(working(dtype))
        grad, x = sample(rng, shape, dtype), sample(rng, shape, dtype)
        weight = np.broadcast_to(sample(rng, (1, 1, 1, r1), dtype), shape)

        def mean(t: np.ndarray) -> np.ndarray:
            return np.asarray(t.mean(axis=(1, 3), keepdims=True))

        centre = 0 * mean(exact(x)) if rms else mean(exact(x))
        v, g = exact(x) - centre, exact(grad) * exact(weight)
        scale = 1 / np.sqrt(mean(v**2) + EPS)

        def reference():
            dx = scale * (g - (0 if rms else mean(g)) - v * scale**2 * mean(g * v))
            return {"out": dx, "mean_out": centre[:, 0, :, 0], "scale_out": scale[:, 0, :, 0]}

        def bound():
            terms = shape[1] * r1
            of_mean = 0 * centre if rms else gamma(terms + 2, wide) * mean(np.abs(exact(x)))
            relative = gamma(terms + 6, wide) + scale**2 * (2 * of_mean * mean(np.abs(v)) + of_mean**2) + 8 * u
            slope, level = mean(np.abs(g * v)) * scale**2, mean(np.abs(g))
            size = scale * (np.abs(g) + level + np.abs(v) * slope)
            moved = 2 * scale * of_mean * (slope + np.abs(v) * scale**2 * level)
            dx = 1.1 * (size * (gamma(terms + 20, wide) + 3 * relative) + moved) + rounding(reference()["out"], dtype)
            return {"out": dx, "mean_out": of_mean[:, 0, :, 0], "scale_out": (scale * relative)[:, 0, :, 0]}

        return Problem(
            args={
                "grad": grad, "x": x, "weight": weight, "eps": EPS, "out": poison(shape, dtype),
                "mean_out": poison((k0, k1), wide), "scale_out": poison((k0, k1), wide),
            },
            grid=lambda meta: (pk.cdiv(k1, meta["BM"]) * k0,),
            constants={"RMS": rms},
            outputs=("out", "mean_out", "scale_out"),
            reference=reference,
            bound=bound,
        )  # fmt: skip

    return make


def _weight_gradient(shape: Shape):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        k0, r0, k1, r1 = shape
        wide = working(dtype)
        grad, x = sample(rng, shape, dtype), sample(rng, shape, dtype)
        mean, scale = (np.broadcast_to(sample(rng, (1, r0, 1, r1), wide), shape) for _ in range(2))

        def sums(t: np.ndarray) -> np.ndarray:
            return np.asarray(t.sum(axis=(1, 3)))[:, :, None]

        product = exact(grad) * (exact(x) - exact(mean)) * exact(scale)
        order = gamma(r0 * r1 + 6, wide)
        return Problem(
            args={
                "grad": grad, "x": x, "mean": mean, "scale": scale,
                "weight_out": poison((k0, k1, 1), wide), "bias_out": poison((k0, k1, 1), wide),
            },
            grid=lambda meta: (pk.cdiv(k1, meta["BM"]) * k0,),
            outputs=("weight_out", "bias_out"),
            reference=lambda: {"weight_out": sums(product), "bias_out": sums(exact(grad))},
            bound=lambda: {"weight_out": order * sums(np.abs(product)), "bias_out": order * sums(np.abs(exact(grad)))},
        )  # fmt: skip

    return make


def _softmax_gradient(m: int, n: int, log: bool = False):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        u = unit_roundoff(working(dtype))
        grad = sample(rng, (1, 1, m, n), dtype)
        y = reference_softmax(exact(sample(rng, (1, 1, m, n), dtype)), 3, log).astype(dtype.np)
        g, v = exact(grad), exact(y)

        def reference():
            if log:
                return {"out": g - np.exp(v) * g.sum(axis=3, keepdims=True)}
            return {"out": v * (g - (g * v).sum(axis=3, keepdims=True))}

        def bound():
            if log:
                size = (n + 8) * np.exp(v) * np.abs(g).sum(axis=3, keepdims=True) + 2 * np.abs(g)
            else:
                size = (n + 3) * np.abs(v) * np.abs(g * v).sum(axis=3, keepdims=True) + 3 * np.abs(v * g)
            return {"out": u * size + rounding(reference()["out"], dtype)}

        return Problem(
            args={"grad": grad, "y": y, "out": poison((1, 1, m, n), dtype)},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]),),
            constants={"LOG": log},
            reference=reference,
            bound=bound,
        )

    return make


ENTRIES = (
    Entry(
        "rms_norm",
        norm_row,
        (pk.float32, pk.float16),
        (
            Case("64×768", _norm((1, 1, 64, 768), rms=True, whole=768)),
            Case("1×1", _norm((1, 1, 1, 1), rms=True, whole=1)),
            Case("2×7×33", _norm((2, 1, 7, 33), rms=True, whole=64)),
            Case("5×128, read again", _norm((1, 1, 5, 128), rms=True, whole=128, again=True)),
            Case("2×3×128, read again, with the mean", _norm((2, 1, 3, 128), whole=128, again=True)),
        ),
    ),
    Entry(
        "group_norm",
        norm_rows,
        (pk.float32, pk.float16),
        (
            Case("4×8 groups of 16×49", _norm((4, 16, 8, 49))),
            Case("1×1", _norm((1, 1, 1, 1))),
            Case("2×3 groups of 5×7", _norm((2, 5, 3, 7))),
        ),
    ),
    Entry(
        "batch_norm",
        chain_kernel(_affine, (None, None, None, pk.float32, None, None)),
        (pk.float32, pk.float16),
        (
            Case("2×64×196", _batch(64, 196)),
            Case("2×1×1", _batch(1, 1)),
            Case("2×5×37", _batch(5, 37)),
        ),
    ),
    Entry(
        "norm_gradient",
        norm_gradient_rows,
        (pk.float32, pk.float16),
        (
            Case("64×256", _norm_gradient((1, 1, 64, 256))),
            Case("1×2", _norm_gradient((1, 1, 1, 2))),
            Case("2×3×5×7", _norm_gradient((2, 3, 5, 7))),
            Case("9×33, RMS", _norm_gradient((1, 1, 9, 33), rms=True)),
        ),
    ),
    Entry(
        "norm_weight_gradient",
        weight_gradient,
        (pk.float32, pk.float16),
        (
            Case("256 of 64", _weight_gradient((1, 64, 256, 1))),
            Case("1 of 1", _weight_gradient((1, 1, 1, 1))),
            Case("2×5 of 3×7", _weight_gradient((2, 3, 5, 7))),
        ),
    ),
    Entry(
        "softmax_gradient",
        softmax_gradient_rows,
        (pk.float32, pk.float16),
        (
            Case("64×500", _softmax_gradient(64, 500)),
            Case("1×1", _softmax_gradient(1, 1)),
            Case("7×33", _softmax_gradient(7, 33)),
            Case("5×130, logarithm", _softmax_gradient(5, 130, True)),
        ),
    ),
)
