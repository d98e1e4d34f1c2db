"""The kernel behind the sums, products, extremes and norms of ``reduce.py``, and its launch in levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import portkernel as pk
from portkernel.errors import ArgumentShapeError, ArgumentTypeError

from .arrays import dtype_of, empty, fitting, normal_axes, strides_of
from .axes import Folding, broadcast, folding, view
from .programs import lines_of_program, part_of

Array = Any
Axis = int | Sequence[int] | None
INF = float("inf")
TERMS = 8256
"""No result is a chain of more additions than this, however long the axis: see ``terms``."""
LARGE = 1 << 20
LONG = 64
"""Elements of a folded axis from which on four of them are taken at once, where another axis is the contiguous one."""
COLUMNS = 8
"""Few long columns in so many parts, of at least LARGE elements: a core reads whole rows in the order of memory, and the
cores share the rows."""
ROWS = (1024, 512)
"""So many rows, of so many elements each, from which on a program on a CPU folds several, one after the other."""
INTEGERS = (pk.int8, pk.int16, pk.int32, pk.int64, pk.uint8, pk.uint16, pk.uint32, pk.uint64, pk.bool_)
FLOATS = (pk.float16, pk.bfloat16, pk.float32, pk.float64)
DTYPES = (*FLOATS, *INTEGERS)


def floating(dtype: pk.DType) -> pk.DType:
    """The type of a mean: integers give float32 (many accelerators have no float64)."""
    return dtype if dtype.is_float else pk.float32


# --- the kernel ---------------------------------------------------------------------------------------------


def lowest(dtype):
    """What every element of ``dtype`` is at least."""
    return -INF if dtype.is_float else dtype.min


def highest(dtype):
    """What every element of ``dtype`` is at most."""
    return INF if dtype.is_float else dtype.max


def neutral(op, mapping, dtype):
    """What leaves a fold as it is; ``mapping`` tells when all elements are known to be at least 0."""
    if op == "sum":
        return 0
    if op == "prod":
        return 1
    if op == "max":
        return lowest(dtype) if mapping == "none" else 0
    return 1 if mapping == "nonzero" else highest(dtype)


def mapped(v, mapping, acc, power):
    """The element as it enters the fold."""
    if mapping == "nonzero":
        return (v != 0).astype(acc)
    v = v.astype(acc)
    if mapping == "abs":
        return pk.abs(v)
    if mapping == "square":
        return v * v
    if mapping == "power":
        return pk.power(pk.abs(v), power.astype(acc))
    return v


def combined(a, b, op):
    """Two partial results in one."""
    if op == "sum":
        return a + b
    if op == "prod":
        return a * b
    return pk.maximum(a, b) if op == "max" else pk.minimum(a, b)


def across(acc, op):
    """The fold of a tile along its second axis."""
    if op == "sum":
        return acc.sum(axis=1, dtype=acc.dtype)
    if op == "prod":
        return acc.prod(axis=1, dtype=acc.dtype)
    return acc.max(axis=1) if op == "max" else acc.min(axis=1)


def place(t, x, tiles):
    """The index of tile ``t`` along (R0, R1) of x, which has ``tiles`` of them along R1."""
    if x.shape[1] == 1:
        return 0, t
    return (t, 0) if x.shape[3] == 1 else (t // tiles, t % tiles)


@pk.kernel
def fold(
    x,
    mask,
    out,
    initial,
    scale,
    OP: pk.constexpr[str] = "sum",
    ACC: pk.constexpr[str] = "float32",
    MAP: pk.constexpr[str] = "none",
    FINISH: pk.constexpr[str] = "none",
    MASK: pk.constexpr[bool] = False,
    INITIAL: pk.constexpr[bool] = False,
    GROUP: pk.constexpr[int] = 1,
    LINES: pk.constexpr[int] = 1,
    BM: pk.constexpr[int] = pk.auto(1, 4096),
    BN: pk.constexpr[int] = pk.auto(1, 4096),
):
    """out ``(K0, K1, S)``: x ``(K0, R0, K1, R1)`` folded over R0 and R1 in S parts, any strides.

    OP is sum, prod, max or min, in ACC; MAP what happens to an element before (nonzero, abs, square, power: to
    ``scale``), FINISH to the result (mean: divided by ``scale``; sqrt; root: to ``1 / scale``). Where MASK, only
    elements where mask, of x's shape, is true count; where INITIAL, ``initial`` takes part once. GROUP elements along R0
    are taken at once. Grid: cdiv(K1, BM · LINES) · K0 · S.
    """
    i, b, s = part_of(x, BM * LINES)
    if LINES == 1:
        _fold_lines(x, mask, out, initial, scale, i, b, s, OP, ACC, MAP, FINISH, MASK, INITIAL, GROUP, BM, BN)
    else:
        for t in range(i * LINES, pk.minimum((i + 1) * LINES, pk.cdiv(x.shape[2], BM))):
            _fold_lines(x, mask, out, initial, scale, t, b, s, OP, ACC, MAP, FINISH, MASK, INITIAL, GROUP, BM, BN)


def _fold_lines(x, mask, out, initial, scale, i, b, s, OP, ACC, MAP, FINISH, MASK, INITIAL, GROUP, BM, BN):
    """Part ``s`` of BM lines of K1."""
    dtype = pk.dtypes.BY_NAME[ACC]
    tiles = pk.cdiv(x.shape[3], BN)
    turns = pk.cdiv(x.shape[1], GROUP) * tiles
    share = pk.cdiv(turns, out.shape[2])
    acc = pk.full((BM, BN), neutral(OP, MAP, dtype), dtype)
    for t in range(s * share, pk.minimum((s + 1) * share, turns)):
        row, k = place(t, x, tiles)
        for g in pk.static_range(GROUP):
            at = (b, row * GROUP + g, i, k)
            v = pk.load(x, at, (1, 1, BM, BN), pad=neutral(OP, MAP, x.dtype)).reshape((BM, BN))
            v = mapped(v, MAP, dtype, scale)
            if MASK:
                chosen = pk.load(mask, at, (1, 1, BM, BN)).reshape((BM, BN))
                v = pk.where(chosen, v, pk.full((BM, BN), neutral(OP, MAP, dtype), dtype))
            acc = combined(acc, v, OP)
    found = across(acc, OP)
    if INITIAL:
        found = combined(found, initial.astype(dtype), OP)
    if FINISH == "mean":
        wide = dtype if dtype.is_float else out.dtype
        found = found.astype(wide) / scale.astype(wide)
    elif FINISH == "sqrt":
        found = pk.sqrt(found)
    elif FINISH == "root":
        found = pk.power(found, 1 / scale.astype(dtype))
    if out.dtype.is_bool:
        found = found != 0
    pk.store(out, (b, i, s), found.astype(out.dtype).reshape((1, BM, 1)))


def parts(kept: int, outer: int, inner: int) -> int:
    """Into how many parts a reduction is cut: so that chains of additions stay short, and programs are enough.

    A lane adds up at most 4096 elements of 32 side by side. The same on every device, so that results are too.
    """
    limit = 4096 if kept > 256 else 1024
    return max(1, math.ceil(outer * math.ceil(inner / 32) / limit))


def terms(n: int) -> int:
    """How many additions in a row a sum of ``n`` elements may be: n, but never more than 8256 up to 10^10 elements.

    A part adds up at most 4096 tiles, then folds a tile of at most 4096; the parts are summed likewise.
    """
    return min(n, TERMS)


def run_fold(f: Folding, op: str, acc: pk.DType, *, initial: Any = None, scale: Any = 1, **options: Any) -> Array:
    """Launch ``fold`` on ``f.arrays``, x and perhaps a mask; in several levels where x is long. Gives ``f.result``."""
    mapping, finish, route = options["mapping"], options["finish"], options["route"]
    x, mask = f.arrays[0], f.arrays[-1]
    masked = len(f.arrays) > 1
    while 0 not in f.out.shape:
        k0, r0, k1, r1 = (int(n) for n in x.shape)
        cut = parts(k0 * k1, r0, r1)
        if strides_of(x)[2] == 1 and strides_of(x)[3] != 1 and r0 * r1 * k0 * k1 >= LARGE > COLUMNS * k0 * k1:
            cut = max(cut, COLUMNS)
        last = cut == 1
        if last:
            out = view(f.out, (k0, k1, 1), (*strides_of(f.out), 0))
        else:
            out = empty(x, (k0, k1, cut), acc)
        in_rows = r0 == 1 and strides_of(x)[3] == 1 and k1 >= ROWS[0] and r1 >= ROWS[1]
        lines = lines_of_program(x, r1, k0 * k1 * cut, route) if in_rows else 1
        fold[lambda meta, k0=k0, k1=k1, cut=cut, lines=lines: (pk.cdiv(k1, meta["BM"] * lines) * k0 * cut,)](
            x, mask if masked else x, out, 0 if initial is None else initial, scale,
            OP=op, ACC=acc.name, MAP=mapping, FINISH=finish if last else "none", MASK=masked,
            INITIAL=last and initial is not None, GROUP=4 if r1 == 1 and r0 >= LONG else 1, LINES=lines, **route,
        )  # fmt: skip
        if last:
            break
        x, mapping, masked = view(out, (k0, 1, k1, cut), (k1 * cut, 0, cut, 1)), "none", False
    return f.deliver(**route)


def reduce_axes(
    name: str,
    x: Array,
    axis: Axis,
    out: Array | None,
    keepdims: bool,
    where: Array | None,
    *,
    op: str,
    acc: pk.DType,
    stored: pk.DType,
    mapping: str = "none",
    finish: str = "none",
    initial: Any = None,
    scale: Any = 1,
    backend: str | None = None,
    device: str | None = None,
    nonempty: bool = False,
) -> Array:
    shape = tuple(int(n) for n in x.shape)
    axes = normal_axes(f"{name}()", axis, len(shape))
    arrays = [x]
    if where is not None:
        dtype_of(f"{name}(): where", where, (pk.bool_,))
        arrays.append(broadcast(where, shape, f"{name}(): where"))
    if nonempty and initial is None and any(shape[a] == 0 for a in axes):
        raise ArgumentShapeError(
            f"{name}(): x: expected at least one element along axis {axis}, got shape {shape}", hint="pass initial="
        )
    if nonempty and initial is None and where is not None:
        raise ArgumentTypeError(f"{name}(): initial: expected a value beside where=, got None")
    if initial is not None:
        fitting(f"{name}(): initial", initial, stored)
    route = {"backend": backend, "device": device}
    f = folding(arrays, axes, out, stored, keepdims, f"{name}()", **route)
    return run_fold(f, op, acc, initial=initial, scale=scale, mapping=mapping, finish=finish, route=route)
