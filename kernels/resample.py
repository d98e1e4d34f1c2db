"""Weighted sums of a few elements along an axis, by tables of places and weights: interpolation of any kind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, gamma, poison, rounding, sample
from portkernel.errors import ArgumentShapeError

from .arrays import dtype_of, empty, normal_axes, result
from .axes import contiguous, copy_into, lines, row_major, view
from .fold import FLOATS, Array
from .programs import tile_of
from .scatter import INDICES


@pk.kernel
def resample_lines(
    x, indices, weights, out, BM: pk.constexpr[int] = pk.auto(1, 64), BN: pk.constexpr[int] = pk.auto(1, 1024)
):
    """``out[a, i, j] = Σ_t weights[t, j]·x[a, i, indices[t, j]]`` for x ``(K0, K1, N)``, out ``(K0, K1, L)``, any strides.

    Sums in the dtype of the weights. A negative index counts from the end; one outside raises DeviceAssertionError.
    """
    a, i, j = tile_of(out, BM, BN)
    row, column = i * BM + pk.arange(BM), j * BN + pk.arange(BN)
    inside = column < out.shape[2]
    real = (row < out.shape[1])[:, None] & inside[None, :]
    acc = pk.zeros((BM, BN), weights.dtype)
    for t in range(indices.shape[0]):
        index = pk.load(indices, (t, j), (1, BN)).reshape((BN,)).astype(pk.int64)
        index = pk.where(index < 0, index + x.shape[2], index)
        pk.device_assert((index >= 0) & (index < x.shape[2]) | ~inside, "an index outside the axis")
        weight = pk.load(weights, (t, j), (1, BN))
        found = pk.gather(x, (pk.full((BM, BN), a), row[:, None], index[None, :]), mask=real)
        acc = acc + found.astype(weights.dtype) * weight
    pk.store(out, (a, i, j), acc.astype(out.dtype).reshape((1, BM, BN)))


def resample(
    x: Array, indices: Array, weights: Array, axis: int = -1, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """x with ``Σ_t weights[t, j]·x[…, indices[t, j], …]`` at place j of ``axis``, for tables ``(T, L)``.

    What is linear, cubic or nearest in a resized image is in the tables. float16, bfloat16, float32, float64, any strides;
    weights are float32 (float64 for float64). Error: γ(T + 1)·Σ|weights·x|, then one rounding.
    Raises ArgumentDTypeError, ArgumentShapeError; an index outside, DeviceAssertionError.
    """
    where, route = "resample()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: x", x, FLOATS)
    dtype_of(f"{where}: indices", indices, INDICES)
    dtype_of(f"{where}: weights", weights, (pk.dtypes.accumulator(dtype),))
    shape = tuple(int(n) for n in x.shape)
    (a,) = normal_axes(where, (axis,), len(shape))
    if len(indices.shape) != 2 or tuple(indices.shape) != tuple(weights.shape):
        raise ArgumentShapeError(
            f"{where}: indices: expected a matrix of the shape of weights {tuple(weights.shape)}, got {tuple(indices.shape)}"
        )
    final = (*shape[:a], int(indices.shape[1]), *shape[a + 1 :])
    out = result(where, out, x, final, (dtype,))
    if math.prod(final):
        _resample(x, indices, weights, out, a, route)
    return out


def _resample(x: Array, indices: Array, weights: Array, out: Array, axis: int, route: dict[str, Any]) -> None:
    target, found = out, lines([out, x], axis)
    if found is None:
        shape = tuple(int(n) for n in out.shape)
        order = [*(i for i in range(len(shape)) if i != axis), axis]
        target = view(empty(out, (math.prod(shape),), dtype_of("resample()", out)), shape, row_major(shape, order))
        found = lines([target, contiguous(x, order, **route)], axis)
        assert found is not None
    o, v = found
    k0, k1, n = (int(k) for k in o.shape)
    resample_lines[lambda meta: (pk.cdiv(n, meta["BN"]) * pk.cdiv(k1, meta["BM"]) * k0,)](
        v, indices, weights, o, **route
    )
    if target is not out:
        copy_into(out, target, **route)


def _case(m: int, n: int, count: int, taps: int):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        acc = pk.dtypes.accumulator(dtype)
        x, weights = sample(rng, (m, n), dtype), sample(rng, (taps, count), acc)
        indices = rng.integers(-n, n, (taps, count))

        def terms():
            return exact(x)[:, indices] * exact(weights)

        def reference():
            return {"out": terms().sum(axis=1)[None]}

        def bound():
            size = np.abs(terms()).sum(axis=1)[None]
            return {"out": gamma(taps + 1, acc) * size + rounding(reference()["out"], dtype)}

        return Problem(
            args={"x": x[None], "indices": indices, "weights": weights, "out": poison((1, m, count), dtype)},
            grid=lambda meta: (pk.cdiv(count, meta["BN"]) * pk.cdiv(m, meta["BM"]),),
            reference=reference,
            bound=bound,
        )

    return make


ENTRIES = (
    Entry(
        "resample",
        resample_lines,
        (pk.float32, pk.float64, pk.float16, pk.bfloat16),
        (
            Case("200×300 to 450, 4 taps", _case(200, 300, 450, 4)),
            Case("1×1 to 1", _case(1, 1, 1, 1)),
            Case("7×65 to 33, 2 taps", _case(7, 65, 33, 2)),
        ),
    ),
)
