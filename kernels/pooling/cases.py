"""The pooling kernels in the catalogue: problems, references, bounds."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, gamma, poison, rounding, sample

from . import kernels, reference
from .host import Windows, dividing, fixed, grid_of

Make = Callable[[pk.DType, np.random.Generator], Problem]


def _input(rng: np.random.Generator, image: tuple[int, ...], dtype: pk.DType, layout: str) -> np.ndarray:
    x = sample(rng, image, dtype)
    if layout == "channels last":
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    if layout == "special" and dtype.is_float:
        x[0, 0, 0, 0, :2], x[0, 0, 0, -1], x[-1, -1] = np.nan, -np.inf, -np.inf
    return x


def _max(image: tuple[int, ...], w: Windows, layout: str = "", *, indices: bool = True) -> Make:
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = _input(rng, image, dtype, layout)
        shape = (*image[:2], *w.size)
        out, where = poison(shape, dtype), poison(shape if indices else (1,) * 5, pk.int64)
        outputs = ("out", "indices") if indices else ("out",)
        answers = dict(zip(outputs, reference.maxima(x, w), strict=False))
        return Problem(
            args={"x": x, "out": out, "indices": where},
            grid=grid_of(out),
            constants=w.constants("KERNEL", "STRIDE", "DILATION", "FRONT") | {"INDICES": indices},
            outputs=outputs,
            reference=lambda: answers,
            bound=lambda: {name: np.zeros(shape) for name in outputs},
        )

    return make


def _mean(image: tuple[int, ...], w: Windows, layout: str = "", *, padded: bool = True, divisor: int = 0) -> Make:
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x, out = _input(rng, image, dtype, layout), poison((*image[:2], *w.size), dtype)
        want = reference.means(exact(x), w, padded, divisor)

        def bound() -> dict[str, Any]:
            size = reference.means(np.abs(exact(x)), w, padded, divisor)
            return {"out": gamma(prod(w.kernel) + 4, kernels.working(dtype)) * size + rounding(want, dtype)}

        return Problem(
            args={"x": x, "out": out, "divisor": divisor},
            grid=grid_of(out),
            constants=w.constants("KERNEL", "STRIDE", "FRONT", "BEHIND") | {"PADDED": padded},
            reference=lambda: {"out": want},
            bound=bound,
        )

    return make


def _max_back(image: tuple[int, ...], w: Windows, layout: str = "") -> Make:
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        indices = reference.maxima(_input(rng, image, dtype, layout), w)[1]
        grad, out = sample(rng, indices.shape, dtype), poison(image, dtype)
        want = reference.maxima_back(exact(grad), indices, image[2:])

        def bound() -> dict[str, Any]:
            size = reference.maxima_back(np.abs(exact(grad)), indices, image[2:])
            return {"out": gamma(prod(w.most), kernels.working(dtype)) * size + rounding(want, dtype)}

        return Problem(
            args={"grad": grad, "indices": indices, "out": out},
            grid=grid_of(out),
            constants=w.constants("WINDOWS", "STRIDE", "FRONT"),
            reference=lambda: {"out": want},
            bound=bound,
        )

    return make


def _mean_back(image: tuple[int, ...], w: Windows, layout: str = "", *, padded: bool = True, divisor: int = 0) -> Make:
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        grad, out = _input(rng, (*image[:2], *w.size), dtype, layout), poison(image, dtype)
        want = reference.means_back(exact(grad), w, image[2:], padded, divisor)

        def bound() -> dict[str, Any]:
            size = reference.means_back(np.abs(exact(grad)), w, image[2:], padded, divisor)
            return {"out": gamma(prod(w.most) + 4, kernels.working(dtype)) * size + rounding(want, dtype)}

        return Problem(
            args={"grad": grad, "out": out, "divisor": divisor},
            grid=grid_of(out),
            constants=w.constants("WINDOWS", "KERNEL", "STRIDE", "FRONT", "BEHIND") | {"PADDED": padded},
            reference=lambda: {"out": want},
            bound=bound,
        )

    return make


def _of(image: tuple[int, ...], *given: Any) -> Windows:
    return fixed("cases", image[2:], *given)


A, B, C = (2, 8, 1, 28, 28), (1, 5, 1, 13, 10), (2, 3, 5, 6, 7)
THREE = _of(A, (1, 3, 3), (1, 2, 2), (0, 1, 1), 1, False)
ODD = _of(B, (1, 3, 2), (1, 2, 1), (0, 1, 1), 1, True)
WIDE = _of(B, (1, 3, 2), (1, 1, 2), 0, (1, 2, 3), False)
DEEP = _of(C, (2, 3, 2), (2, 2, 1), (1, 0, 1), 1, False)
PARTS, MORE = dividing("cases", B[2:], (1, 4, 3)), dividing("cases", C[2:], (2, 9, 4))

ENTRIES = (
    Entry(
        "max_pool",
        kernels.max_pool,
        (pk.float32, pk.int8),
        (
            Case("2×8×28×28, 3×3, stride 2", _max(A, THREE, indices=False)),
            Case("indices, NaN, ceil", _max(B, ODD, "special")),
            Case("dilation, channels last", _max(B, WIDE, "channels last")),
            Case("three dimensions", _max(C, DEEP)),
            Case("adaptive", _max(B, PARTS)),
        ),
    ),
    Entry(
        "avg_pool",
        kernels.avg_pool,
        (pk.float32,),
        (
            Case("2×8×28×28, 3×3, stride 2", _mean(A, THREE)),
            Case("without padding, ceil, channels last", _mean(B, ODD, "channels last", padded=False)),
            Case("with padding, ceil, NaN", _mean(B, ODD, "special")),
            Case("three dimensions, divisor", _mean(C, DEEP, divisor=7)),
            Case("adaptive, more outputs", _mean(C, MORE, padded=False)),
        ),
    ),
    Entry(
        "max_pool_gradient",
        kernels.max_pool_gradient,
        (pk.float32,),
        (
            Case("2×8×28×28, 3×3, stride 2", _max_back(A, THREE)),
            Case("dilation", _max_back(B, WIDE)),
            Case("three dimensions", _max_back(C, DEEP)),
            Case("adaptive", _max_back(B, PARTS)),
        ),
    ),
    Entry(
        "avg_pool_gradient",
        kernels.avg_pool_gradient,
        (pk.float32,),
        (
            Case("2×8×28×28, 3×3, stride 2", _mean_back(A, THREE)),
            Case("without padding, ceil, channels last", _mean_back(B, ODD, "channels last", padded=False)),
            Case("three dimensions, divisor", _mean_back(C, DEEP, divisor=7)),
            Case("adaptive, more outputs", _mean_back(C, MORE, padded=False)),
        ),
    ),
)
