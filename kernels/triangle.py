"""The lower and the upper triangle of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, sample
from portkernel.errors import ArgumentShapeError

from . import arrays
from .fold import DTYPES, Array
from .programs import tile_of


@pk.kernel
def triangle(
    x, out, diagonal, LOWER: pk.constexpr[bool] = True, BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(1, 2048),
):  # fmt: skip
    """out ``(A, M, N)`` is x where column - row is at most ``diagonal`` (at least, unless LOWER), else 0."""
    at = tile_of(out, BM, BN)
    row, column = at[1] * BM + pk.arange(BM), at[2] * BN + pk.arange(BN)
    ahead = column[None, :] - row[:, None]
    keep = ahead <= diagonal if LOWER else ahead >= diagonal
    tile = pk.load(x, at, (1, BM, BN)).reshape((BM, BN))
    pk.store(out, at, pk.where(keep, tile, pk.zeros((BM, BN), x.dtype)).reshape((1, BM, BN)))


def _triangle(name: str, x: Array, k: int, out: Array | None, lower: bool, route: dict[str, Any]) -> Array:
    where = f"{name}()"
    dtype = arrays.dtype_of(f"{where}: x", x, DTYPES)
    k = arrays.integer(f"{where}: k", k)
    if len(x.shape) < 2:
        raise ArgumentShapeError(f"{where}: x: expected at least 2 dimensions, got shape {tuple(x.shape)}")
    found = arrays.result(where, out, x, tuple(int(n) for n in x.shape), (dtype,))
    if 0 not in found.shape:
        _launch(arrays.view(x), arrays.view(found), max(-(1 << 31), min(k, (1 << 31) - 1)), lower, route)
    return found


def _launch(x: arrays.View, out: arrays.View, k: int, lower: bool, route: dict[str, Any]) -> None:
    views = arrays.merge(0, x.ndim - 2, x, out)
    if views is None:
        for index in range(x.shape[0]):
            _launch(*(arrays.view(v.array()[index]) for v in (x, out)), k, lower, route)
        return
    a, m, n = views[1].shape
    triangle[lambda meta: (pk.cdiv(n, meta["BN"]) * pk.cdiv(m, meta["BM"]) * a,)](
        *(v.array() for v in views), k, LOWER=lower, **route
    )


def tril(
    x: Array, k: int = 0, *, out: Array | None = None, backend: str | None = None, device: str | None = None
) -> Array:
    """``numpy.tril``: 0 above the k-th diagonal of the last two axes; any dtype but 8-bit floats, strides; exact."""
    return _triangle("tril", x, k, out, True, {"backend": backend, "device": device})


def triu(
    x: Array, k: int = 0, *, out: Array | None = None, backend: str | None = None, device: str | None = None
) -> Array:
    """``numpy.triu``: 0 below the k-th diagonal of the last two axes; any dtype but 8-bit floats, strides; exact."""
    return _triangle("triu", x, k, out, False, {"backend": backend, "device": device})


def _case(a: int, m: int, n: int, k: int):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (a, m, n), dtype)
        return Problem(
            args={"x": x, "out": poison((a, m, n), dtype), "diagonal": k},
            grid=lambda meta: (pk.cdiv(n, meta["BN"]) * pk.cdiv(m, meta["BM"]) * a,),
            constants={"LOWER": True},
            reference=lambda: {"out": np.tril(exact(x), k)},
            bound=lambda: {"out": np.zeros((a, m, n))},
        )

    return make


ENTRIES = (
    Entry(
        "triangle",
        triangle,
        (pk.float32, pk.int8),
        (Case("2×70×130", _case(2, 70, 130, 3)), Case("1×1×1", _case(1, 1, 1, 0)), Case("3×9×5", _case(3, 9, 5, -2))),
    ),
)
