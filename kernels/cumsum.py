"""Running sums, products and maxima along an axis, in two passes where a line is long."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, gamma, poison, rounding, sample

from .arrays import dtype_of, empty, named_dtype, normal_axes, result
from .axes import contiguous, copy_into, lines, row_major, view
from .fold import DTYPES, Array, combined, neutral
from .programs import on_cpu, split

CHUNK = 65536
"""Elements of a line that one program scans, if there are few lines."""
PIECES = 4
"""Parts of a tile's line that a core of a CPU scans without waiting for one another."""


def accumulator(dtype):
    """float64 for float64, float32 for other floats; (u)int64 for integers, as in NumPy."""
    return pk.dtypes.accumulator(dtype)


def scanned(tile, op, axis=1):
    """The running fold of a tile along an axis."""
    if op == "sum":
        return pk.cumsum(tile, axis=axis, dtype=tile.dtype)
    return pk.cumprod(tile, axis=axis, dtype=tile.dtype) if op == "prod" else pk.cummax(tile, axis=axis)


def scanned_after(tile, carry, op, pieces, BM, BN):
    """The running fold of a tile of BM by BN after ``carry`` (BM, 1). Each line in ``pieces``, so that additions of one do not
    wait for those of another; then what comes before each piece."""
    side = BN // pieces
    if pieces == 1 or side * pieces != BN:
        return combined(scanned(tile, op), carry, op)
    inside = scanned(tile.reshape((BM, pieces, side)), op, axis=2)
    ends = pk.extract(inside, (0, 0, side - 1), (BM, pieces, 1)).reshape((BM, pieces))
    before = scanned(pk.concatenate((carry, pk.extract(ends, (0, 0), (BM, pieces - 1))), axis=1), op)
    return combined(inside, before[:, :, None], op).reshape((BM, BN))


@pk.kernel
def scan_lines(
    x,
    starts,
    out,
    OP: pk.constexpr[str] = "sum",
    ACC: pk.constexpr[str] = "float32",
    CHUNKS: pk.constexpr[bool] = False,
    TOTALS: pk.constexpr[bool] = False,
    PIECES: pk.constexpr[int] = 1,
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(32, 2048),
):
    """``out[a, i, j] = x[a, i, 0] + … + x[a, i, j]`` for x and out ``(K0, K1, N)``, any strides; OP: sum, prod, max.

    A program scans its lines tile by tile, each in so many PIECES, and carries the last column on, in ACC: the order is fixed. With CHUNKS it
    scans the 65536 elements that begin at its third index, from starts ``(K0, K1, S)`` on; with TOTALS it stores the
    fold of them alone, to out ``(K0, K1, S)``.
    """
    i, rest = split(pk.program_id(0), pk.cdiv(x.shape[1], BM))
    a, s = split(rest, x.shape[0])
    dtype = pk.dtypes.BY_NAME[ACC]
    each = CHUNK // BN
    if (CHUNKS or TOTALS) and each * BN != CHUNK:  # sizes that are tried, and those that the compiler probes with
        pk.device_assert(False, "chunks are made of whole tiles")
    carry = pk.full((BM, 1), neutral(OP, "none", dtype), dtype)
    if CHUNKS:
        carry = pk.load(starts, (a, i, s), (1, BM, 1)).reshape((BM, 1))
    first = s * each if CHUNKS or TOTALS else 0
    count = pk.cdiv(x.shape[2], BN)
    last = pk.minimum(first + each, count) if CHUNKS or TOTALS else count
    for k in range(first, last):
        tile = pk.load(x, (a, i, k), (1, BM, BN), pad=neutral(OP, "none", x.dtype)).reshape((BM, BN)).astype(dtype)
        tile = scanned_after(tile, carry, OP, PIECES, BM, BN)
        if not TOTALS:
            pk.store(out, (a, i, k), tile.astype(out.dtype).reshape((1, BM, BN)))
        carry = pk.extract(tile, (0, BN - 1), (BM, 1))
    if TOTALS:
        pk.store(out, (a, i, s), carry.reshape((1, BM, 1)))


def _scan(
    name: str, op: str, x: Array, axis: int | None, dtype: Any, out: Array | None, route: dict[str, Any]
) -> Array:
    where = f"{name}()"
    own = dtype_of(f"{where}: x", x, DTYPES)
    wide = own if own.is_float or op == "max" else accumulator(own)
    stored = named_dtype(f"{where}: dtype", dtype) if dtype is not None else wide
    acc = stored if op == "max" or stored.is_integer else accumulator(stored)
    if axis is None:
        count = math.prod(int(n) for n in x.shape)
        x = view(contiguous(x, range(len(x.shape)), **route), (count,), (1,))
        axis = 0
    shape = tuple(int(n) for n in x.shape)
    (at,) = normal_axes(where, (axis,), len(shape))
    out = result(where, out, x, shape, (stored,))
    if 0 in shape:
        return out
    found, target = lines([x, out], at), out
    if found is None:
        order = [*(i for i in range(len(shape)) if i != at), at]
        target = view(empty(x, (math.prod(shape),), stored), shape, row_major(shape, order))
        found = lines([contiguous(x, order, **route), target], at)
        assert found is not None
    _launch(op, *found, acc, route)
    if target is not out:
        copy_into(out, target, **route)
    return out


def _launch(op: str, x: Array, out: Array, acc: pk.DType, route: dict[str, Any]) -> None:
    """Scan lines ``(K0, K1, N)``: whole, or in chunks whose totals are scanned first."""
    k0, k1, n = (int(k) for k in x.shape)
    flags: dict[str, Any] = {"OP": op, "ACC": acc.name, "PIECES": PIECES if on_cpu(x, route) else 1}
    cut = pk.cdiv(n, CHUNK)

    def grid(meta):
        return (pk.cdiv(k1, meta["BM"]) * k0 * cut,)

    if cut == 1 or k0 * k1 >= 64:
        scan_lines[lambda meta: (pk.cdiv(k1, meta["BM"]) * k0,)](x, x, out, **flags, **route)
        return
    totals = empty(x, (k0, k1, cut + 1), acc)
    ends = empty(x, (k0, k1, cut + 1), acc)
    copy_into(totals[:, :, :1], view(_neutral(x, op, acc, route), (k0, k1, 1), (0, 0, 0)), **route)
    scan_lines[grid](x, x, totals[:, :, 1:], TOTALS=True, **flags, **route)
    _launch(op, totals, ends, acc, route)
    scan_lines[grid](x, ends, out, CHUNKS=True, **flags, **route)


def _neutral(like: Array, op: str, acc: pk.DType, route: dict[str, Any]) -> Array:
    from .scatter import fill

    made = empty(like, (1,), acc)
    fill[(1,)](made, neutral(op, "none", acc), **route)
    return made


def cumsum(
    x: Array, axis: int | None = None, dtype: Any = None, out: Array | None = None, *, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.cumsum`` along ``axis``, of the flattened array without one; integers and bools in (u)int64, wrapping.

    Computed in float32 (float64 for float64) in a fixed order. Error: γ(N)·(running sum of |x|), then one rounding.
    """
    return _scan("cumsum", "sum", x, axis, dtype, out, {"backend": backend, "device": device})


def cumprod(
    x: Array, axis: int | None = None, dtype: Any = None, out: Array | None = None, *, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.cumprod``: as ``cumsum``. Relative error: γ(N), then one rounding."""
    return _scan("cumprod", "prod", x, axis, dtype, out, {"backend": backend, "device": device})


def cummax(
    x: Array, axis: int | None = None, out: Array | None = None, *, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.maximum.accumulate`` (the values of ``torch.cummax``): exact; NaN from the first NaN on."""
    return _scan("cummax", "max", x, axis, None, out, {"backend": backend, "device": device})


def _case(m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (m, n), dtype)
        if layout == "first axis":
            x = sample(rng, (n, m), dtype).T
        elif layout == "reversed":
            x = x[:, ::-1]
        acc = accumulator(dtype)
        stored = acc if dtype.is_integer else dtype

        def reference():
            return {"out": exact(x).cumsum(axis=1, dtype=np.int64 if dtype.is_integer else np.float64)[None]}

        def bound():
            if dtype.is_integer:
                return {"out": np.zeros((1, m, n))}
            size = np.abs(exact(x)).cumsum(axis=1)[None]
            return {"out": gamma(n, acc) * size + rounding(reference()["out"], stored)}

        return Problem(
            args={"x": x[None], "starts": np.zeros((1, 1, 1), acc.np), "out": poison((1, m, n), stored)},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]), 1),
            constants={"ACC": acc.name},
            reference=reference,
            bound=bound,
        )

    return make


ENTRIES = (
    Entry(
        "cumsum",
        scan_lines,
        (pk.float32, pk.float64, pk.float16, pk.bfloat16, pk.int32),
        (
            Case("200×1000", _case(200, 1000)),
            Case("1×1", _case(1, 1)),
            Case("2×5001", _case(2, 5001)),
            Case("40×77, first axis", _case(40, 77, "first axis")),
            Case("7×300, reversed", _case(7, 300, "reversed")),
        ),
    ),
)
