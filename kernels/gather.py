"""Elements by index along one axis: take_along_axis, take (index_select)."""

from __future__ import annotations

import math

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, sample
from portkernel.errors import ArgumentShapeError

from .arrays import broadcast_shapes, dtype_of, empty, normal_axes, result, strides_of
from .axes import broadcast, contiguous, copy_into, lines, row_major, view
from .fold import DTYPES, Array
from .programs import tile_of
from .scatter import INDICES


@pk.kernel
def gather_lines(x, indices, out, BM: pk.constexpr[int] = pk.auto(1, 64), BN: pk.constexpr[int] = pk.auto(1, 1024)):
    """``out[a, i, j] = x[a, i, indices[a, i, j]]`` for x ``(K0, K1, N)``, indices and out ``(K0, K1, L)``, any strides.

    A negative index counts from the end; one outside raises DeviceAssertionError.
    """
    a, i, j = tile_of(out, BM, BN)
    index = pk.load(indices, (a, i, j), (1, BM, BN)).reshape((BM, BN)).astype(pk.int64)
    index = pk.where(index < 0, index + x.shape[2], index)
    row, column = i * BM + pk.arange(BM), j * BN + pk.arange(BN)
    real = (row < out.shape[1])[:, None] & (column < out.shape[2])[None, :]
    pk.device_assert((index >= 0) & (index < x.shape[2]) | ~real, "an index outside the axis")
    found = pk.gather(x, (pk.full((BM, BN), a), row[:, None], index), mask=real)
    pk.store(out, (a, i, j), found.reshape((1, BM, BN)))


def _gather(where: str, x: Array, indices: Array, axis: int, out: Array, route: dict[str, object]) -> None:
    """indices and out have one shape, and x's but for ``axis``."""
    if 0 in out.shape:
        return
    found = lines([out, x, indices], axis)
    target = out
    if found is None:
        shape = tuple(int(n) for n in out.shape)
        order = [*(i for i in range(len(shape)) if i != axis), axis]
        target = view(empty(out, (math.prod(shape),), dtype_of(where, out)), shape, row_major(shape, order))
        found = lines([target, contiguous(x, order, **route), contiguous(indices, order, **route)], axis)
        assert found is not None
    o, v, index = found
    k0, k1, n = (int(k) for k in o.shape)
    gather_lines[lambda meta: (pk.cdiv(n, meta["BN"]) * pk.cdiv(k1, meta["BM"]) * k0,)](v, index, o, **route)
    if target is not out:
        copy_into(out, target, **route)


def take_along_axis(
    x: Array, indices: Array, axis: int = -1, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.take_along_axis`` (``torch.gather``): indices has x's rank, and broadcasts with x but along ``axis``.

    Any dtype, strides; exact. A negative index counts from the end; one outside raises DeviceAssertionError.
    """
    where, route = "take_along_axis()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: x", x, DTYPES)
    dtype_of(f"{where}: indices", indices, INDICES)
    if len(indices.shape) != len(x.shape):
        raise ArgumentShapeError(f"{where}: indices: expected {len(x.shape)} dimensions, got {len(indices.shape)}")
    (a,) = normal_axes(where, (axis,), len(x.shape))
    shapes = [tuple(1 if i == a else int(n) for i, n in enumerate(t.shape)) for t in (x, indices)]
    common = broadcast_shapes(where, *shapes)
    wide = [tuple(int(t.shape[a]) if i == a else n for i, n in enumerate(common)) for t in (x, indices)]
    out = result(where, out, x, wide[1], (dtype,))
    _gather(where, broadcast(x, wide[0], where), broadcast(indices, wide[1], where), a, out, route)
    return out


def take(
    x: Array, indices: Array, axis: int, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.take`` (``torch.index_select``) along ``axis`` with a vector of indices; as ``take_along_axis``."""
    where, route = "take()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: x", x, DTYPES)
    dtype_of(f"{where}: indices", indices, INDICES)
    if len(indices.shape) != 1:
        raise ArgumentShapeError(f"{where}: indices: expected a vector, got shape {tuple(indices.shape)}")
    (a,) = normal_axes(where, (axis,), len(x.shape))
    count, (step,) = int(indices.shape[0]), strides_of(indices)
    shape = tuple(count if i == a else int(n) for i, n in enumerate(x.shape))
    out = result(where, out, x, shape, (dtype,))
    spread = view(indices, shape, tuple(step if i == a else 0 for i in range(len(shape))))
    _gather(where, x, spread, a, out, route)
    return out


def _case(m: int, n: int, count: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (m, n), dtype) if layout != "first axis" else sample(rng, (n, m), dtype).T
        indices = rng.integers(-n, n, (m, count))
        return Problem(
            args={"x": x[None], "indices": indices[None], "out": poison((1, m, count), dtype)},
            grid=lambda meta: (pk.cdiv(count, meta["BN"]) * pk.cdiv(m, meta["BM"]),),
            reference=lambda: {"out": np.take_along_axis(exact(x), indices, 1)[None]},
            bound=lambda: {"out": np.zeros((1, m, count))},
        )

    return make


ENTRIES = (
    Entry(
        "gather",
        gather_lines,
        (pk.float32, pk.float16, pk.int8),
        (
            Case("200×1000 of 300", _case(200, 300, 1000)),
            Case("1×1 of 1", _case(1, 1, 1)),
            Case("7×65 of 33, first axis", _case(7, 33, 65, "first axis")),
        ),
    ),
)
