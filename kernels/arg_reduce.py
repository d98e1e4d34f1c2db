"""Where the largest or the smallest element is, along one axis or in the whole array, in one pass over the input."""

from __future__ import annotations

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, sample
from portkernel.errors import ArgumentShapeError

from .arrays import dtype_of, empty, normal_axes, strides_of
from .axes import folding, view
from .fold import DTYPES, Array, highest, lowest, parts, place
from .programs import part_of

ROW = 256
"""Elements of a contiguous row from which on it has a program of its own."""


def before_all(op, dtype):
    """What no element is worse than."""
    return lowest(dtype) if op == "max" else highest(dtype)


@pk.kernel
def arg_fold(
    x,
    places,
    best_out,
    out,
    OP: pk.constexpr[str] = "max",
    PLACES: pk.constexpr[bool] = False,
    VALUES: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = pk.auto(1, 2048),
    BN: pk.constexpr[int] = pk.auto(1, 2048),
):
    """out ``(K0, K1, S)`` int64 = where x ``(K0, R0, K1, R1)`` is largest or smallest, in row-major order over (R0, R1).

    Exact: the first of equals, the first NaN before all else. In S parts, whose best values go to best_out where
    VALUES; where PLACES, the index of an element is not its own but what ``places``, of x's shape, says.
    """
    i, b, s = part_of(x, BM)
    tiles = pk.cdiv(x.shape[3], BN)
    share = pk.cdiv(x.shape[1] * tiles, out.shape[2])
    best = pk.full((BM, BN), before_all(OP, x.dtype), x.dtype)
    step = pk.full((BM, BN), pk.astype(s * share, pk.int32), pk.int32)
    for t in range(s * share, pk.minimum((s + 1) * share, x.shape[1] * tiles)):
        row, k = place(t, x, tiles)
        at = (b, row, i, k)
        v = pk.load(x, at, (1, 1, BM, BN), pad=before_all(OP, x.dtype)).reshape((BM, BN))
        worse = v <= best if OP == "max" else v >= best
        better = ~worse & (best == best)  # a NaN beats all but a NaN
        best = pk.where(better, v, best)
        step = pk.where(better, pk.astype(t, pk.int32), step)
    top = best.max(axis=1) if OP == "max" else best.min(axis=1)
    if x.shape[1] == 1:  # no division of every element
        row, lane = step * 0, step.astype(pk.int64)
    else:
        row, lane = (step // tiles).astype(pk.int32), (step % tiles).astype(pk.int64)
    lane = lane * BN + pk.arange(BN)[None, :]
    if PLACES:
        m = i * BM + pk.arange(BM)
        index = pk.gather(places, (pk.full((BM, BN), b), row, m[:, None], lane))
    else:
        index = row.astype(pk.int64) * x.shape[3] + lane
    is_top = (best == top[:, None]) | ((best != best) & (top != top)[:, None])
    is_top = is_top & (lane < x.shape[3])
    index = pk.where(is_top, index, pk.full((BM, BN), pk.int64.max, pk.int64))
    pk.store(out, (b, i, s), index.min(axis=1).reshape((1, BM, 1)))
    if VALUES:
        pk.store(best_out, (b, i, s), top.reshape((1, BM, 1)))


@pk.kernel
def arg_rows(
    x,
    best_out,
    out,
    OP: pk.constexpr[str] = "max",
    VALUES: pk.constexpr[bool] = False,
    BN: pk.constexpr[int] = 1024,
):
    """As ``arg_fold`` for long rows, R0 of length 1: the best of each BN elements, then its place among those that had it.

    Grid: K1 · K0 · S. An element is compared once; only the best tile is read again.
    """
    i, b, s = part_of(x, 1)
    tiles = pk.cdiv(x.shape[3], BN)
    share = pk.cdiv(tiles, out.shape[2])
    low = before_all(OP, x.dtype)
    top = pk.full((1,), low, x.dtype)
    first = pk.minimum(s * share, tiles)
    where = pk.astype(first, pk.int32)
    for t in range(first, pk.minimum(first + share, tiles)):
        v = pk.load(x, (b, 0, i, t), (1, 1, 1, BN), pad=low).reshape((1, BN))
        best = v.max(axis=1) if OP == "max" else v.min(axis=1)
        worse = best <= top if OP == "max" else best >= top
        better = ~worse & (top == top)  # a NaN beats all but a NaN
        top = pk.where(better, best, top)
        where = pk.where(better.max(), pk.astype(t, pk.int32), where)
    v = pk.load(x, (b, 0, i, where), (1, 1, 1, BN), pad=low).reshape((1, BN))
    is_top = (v == top[:, None]) | ((v != v) & (top != top)[:, None])
    lane = pk.where(is_top, pk.arange(BN)[None, :], pk.full((1, BN), BN, pk.int32)).min(axis=1)
    pk.store(out, (b, i, s), (lane.astype(pk.int64) + where.astype(pk.int64) * BN).reshape((1, 1, 1)))
    if VALUES:
        pk.store(best_out, (b, i, s), top.reshape((1, 1, 1)))


def _arg(name: str, op: str, x: Array, axis: int | None, out, keepdims: bool, backend, device) -> Array:
    where, route = f"{name}()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: x", x, DTYPES)
    if dtype.is_bool:  # a bool is a byte of 0 or 1
        x = x.view(np.uint8) if hasattr(x, "strides") else x.view(_torch_byte(x))
    axes = normal_axes(where, axis, len(x.shape))
    if any(int(x.shape[a]) == 0 for a in axes) or (axis is None and 0 in x.shape):
        raise ArgumentShapeError(f"{where}: x: expected at least one element along axis {axis}, got {tuple(x.shape)}")
    f = folding([x], axes, out, pk.int64, keepdims, where, ordered=True, **route)
    if 0 in f.out.shape:
        return f.deliver(**route)
    values, places = f.arrays[0], None
    while True:
        k0, r0, k1, r1 = (int(n) for n in values.shape)
        cut = parts(k0 * k1, r0, r1)
        last = cut == 1
        target = view(f.out, (k0, k1, 1), (*strides_of(f.out), 0)) if last else empty(values, (k0, k1, cut), pk.int64)
        tops = values if last else empty(values, (k0, k1, cut), dtype_of(where, values))
        if r0 == 1 and r1 >= ROW and places is None and strides_of(values)[3] == 1:
            side = 4096 if r1 >= 1 << 14 else 1024 if r1 >= 1024 else ROW
            arg_rows[(k1 * k0 * cut,)](values, tops, target, OP=op, VALUES=not last, BN=side, **route)
        else:
            arg_fold[lambda meta, k0=k0, k1=k1, cut=cut: (pk.cdiv(k1, meta["BM"]) * k0 * cut,)](
                values, values if places is None else places, tops, target,
                OP=op, PLACES=places is not None, VALUES=not last, **route,
            )  # fmt: skip
        if last:
            return f.deliver(**route)
        strides = (k1 * cut, 0, cut, 1)
        values, places = (view(t, (k0, 1, k1, cut), strides) for t in (tops, target))


def _torch_byte(x: Array) -> object:
    import sys

    return sys.modules["torch"].uint8


def argmax(
    x: Array, axis: int | None = None, out: Array | None = None, *, keepdims: bool = False, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.argmax``: int64 index of the largest along ``axis``, of the flattened array without one. Exact.

    The first of equals; the first NaN before all else. Raises ArgumentShapeError where there is no element.
    """
    return _arg("argmax", "max", x, axis, out, keepdims, backend, device)


def argmin(
    x: Array, axis: int | None = None, out: Array | None = None, *, keepdims: bool = False, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.argmin``: as ``argmax``, of the smallest."""
    return _arg("argmin", "min", x, axis, out, keepdims, backend, device)


def _case(m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (m, n), dtype)
        if layout == "first axis":
            x = sample(rng, (n, m), dtype).T
        elif layout == "strided":
            x = sample(rng, (2 * m, 2 * n), dtype)[::-2, ::2]
        elif layout == "special" and dtype.is_float:
            x[::3, n // 2 :: 5] = np.nan
            x[1::3] = -np.inf
            x[2::3, n // 3] = np.inf

        return Problem(
            args={
                "x": x[None, None],
                "places": np.zeros((1, 1, 1, 1), np.int64),
                "best_out": poison((1, 1, 1), dtype),
                "out": poison((1, m, 1), pk.int64),
            },
            grid=lambda meta: (pk.cdiv(m, meta["BM"]), 1, 1),
            reference=lambda: {"out": exact(x).argmax(axis=1)[None, :, None]},
            bound=lambda: {"out": np.zeros((1, m, 1))},
        )

    return make


ENTRIES = (
    Entry(
        "reduce_argmax",
        arg_fold,
        (pk.float32, pk.float64, pk.float16, pk.bfloat16, pk.int8, pk.int32),
        (
            Case("400×1500", _case(400, 1500)),
            Case("1×1", _case(1, 1)),
            Case("3×5001", _case(3, 5001)),
            Case("70×33, first axis", _case(70, 33, "first axis")),
            Case("31×100, strided", _case(31, 100, "strided")),
            Case("9×130, special", _case(9, 130, "special")),
        ),
    ),
)
