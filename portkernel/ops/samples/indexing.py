"""Samples of operators that find elements by index."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ...catalog import exact, gamma, rounding, sample
from ...dtypes import DType
from .elementwise import working
from .sample import Array, Maker, Sample, sample_of


def _inputs(dtype: DType, rng: np.random.Generator) -> Iterator[tuple[str, Array, int, str]]:
    yield "last axis", sample(rng, (5, 33), dtype), 1, ""
    yield "first axis", sample(rng, (33, 5), dtype), 0, "axis"
    yield "transposed", sample(rng, (3, 33, 5), dtype).transpose(2, 1, 0), 1, "transposed axis"
    yield "strided", sample(rng, (10, 34), dtype)[::-2, ::3], 1, "strided"


def _take(torch: bool, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, axis, features in _inputs(dtype, rng):
        index = rng.integers(-x.shape[axis], x.shape[axis], (7,))
        args = (x, axis, index) if torch else (x, index, axis)
        yield sample_of(label, args, {}, lambda x=x, i=index, a=axis: np.take(exact(x), i, a), None, features)
    x = sample(rng, (4, 3), dtype)
    none = np.zeros(0, np.int32)
    yield sample_of("no index", (x, 0, none) if torch else (x, none, 0), {}, lambda: exact(x)[:0], None, "empty")


def _along(torch: bool, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, axis, features in _inputs(dtype, rng):
        shape = tuple(7 if a == axis else n for a, n in enumerate(x.shape))
        index = rng.integers(0, x.shape[axis], shape)
        args = (x, axis, index) if torch else (x, index, axis)
        yield sample_of(
            label, args, {}, lambda x=x, i=index, a=axis: np.take_along_axis(exact(x), i, a), None, features
        )


def _embedding(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, shape, features in (("matrix", (3, 7), ""), ("vector", (65,), ""), ("none", (0,), "empty")):
        table, index = sample(rng, (9, 33), dtype), rng.integers(0, 9, shape)
        yield sample_of(label, (index, table), {}, lambda t=table, i=index: exact(t)[i], None, features)


def _sums(wide: Array, index: Array, rows: Array) -> Array:
    out = wide.copy()
    np.add.at(out, index, rows)
    return out


def _embedding_gradient(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, shape in (("matrix", (3, 7)), ("vector", (65,))):
        index = rng.integers(0, 9, shape)
        grad = sample(rng, (*shape, 17), dtype)
        wide = exact(grad).reshape(-1, 17)
        zero, at = np.zeros((9, 17), wide.dtype), index.reshape(-1)
        yield sample_of(
            label, (grad, index, 9), {}, lambda z=zero, i=at, w=wide: _sums(z, i, w),
            lambda want, z=zero, i=at, w=wide: gamma(i.size, working(dtype)) * _sums(z, i, np.abs(w)) + rounding(want, dtype),
        )  # fmt: skip


def _scatter(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for axis in (0, 1):
        x = sample(rng, (9, 11), dtype)
        source = sample(rng, (14, 11) if axis == 0 else (9, 14), dtype)
        index = rng.integers(0, x.shape[axis], (14,))

        def reference(of: Any = exact, x: Array = x, s: Array = source, i: Array = index, axis: int = axis) -> Array:
            return _sums(of(x), i, of(s)) if axis == 0 else _sums(of(x).T.copy(), i, of(s).T).T

        def bound(want: Array, reference: Any = reference) -> Array:
            if not dtype.is_float:
                return np.zeros(want.shape)
            return gamma(16, working(dtype)) * reference(lambda t: np.abs(exact(t))) + rounding(want, dtype)

        label = "first axis" if axis == 0 else "last axis"
        yield sample_of(label, (x, axis, index, source), {}, reference, bound, "axis" if axis == 0 else "")


def _put(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, axis, features in _inputs(dtype, rng):
        shape = tuple(3 if a == axis else n for a, n in enumerate(x.shape))
        index = np.argsort(rng.random(x.shape), axis).take(range(3), axis)  # each place once
        source = sample(rng, shape, dtype)

        def reference(x: Array = x, i: Array = index, s: Array = source, a: int = axis) -> Array:
            out = exact(x).copy()
            np.put_along_axis(out, i, exact(s), a)
            return out

        yield sample_of(label, (x, index, source, axis), {}, reference, None, features)


def _resample(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, axis, features in _inputs(dtype, rng):
        index = rng.integers(0, x.shape[axis], (2, 7))
        weights = rng.random((2, 7)).astype(working(dtype).np)

        def reference(of: Any = exact, x: Array = x, i: Array = index, w: Array = weights, a: int = axis) -> Array:
            taps = np.moveaxis(of(x), a, -1)[..., i] * w.astype(np.float64)
            return np.moveaxis(taps.sum(-2), -1, a)

        def bound(want: Array, reference: Any = reference) -> Array:
            return gamma(3, working(dtype)) * reference(lambda t: np.abs(exact(t))) + rounding(want, dtype)

        yield sample_of(label, (x, index, weights, axis), {}, reference, bound, features)


def _suppress(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    overlap = rng.random((2, 33, 33)).astype(dtype.np)

    def reference() -> Array:
        keep = np.ones((2, 33), np.bool_)
        wide = exact(overlap)
        for j in range(33):
            before = keep[:, :j] & (wide[:, :j, j] > 0.75)
            keep[:, j] = ~before.any(axis=1)
        return keep

    yield sample_of("two images", (overlap, 0.75), {}, reference)


def _det(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    x = sample(rng, (3, 5, 5), dtype)
    wide = exact(x).astype(np.float64)
    size = np.prod(np.linalg.norm(wide, axis=-1), axis=-1)
    yield sample_of(
        "batch", (x,), {}, lambda: np.linalg.det(wide),
        lambda want: 25 * 16 * working(dtype).eps * size + rounding(want, dtype),
    )  # fmt: skip


MAKERS: dict[str, Maker] = {
    "take": partial(_take, False),
    "index_select": partial(_take, True),
    "take_along_axis": partial(_along, False),
    "gather": partial(_along, True),
    "embedding": _embedding,
    "embedding_gradient": _embedding_gradient,
    "scatter_add": _scatter,
    "index_add": _scatter,
    "put_along_axis": _put,
    "resample": _resample,
    "greedy_suppress": _suppress,
    "det": _det,
}
