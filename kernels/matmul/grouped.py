"""Many products of different sizes in one launch: groups of rows packed one after the other, and lists of matrices."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.dtypes import dot_accumulator
from portkernel.errors import ArgumentDTypeError, ArgumentError, ArgumentShapeError

from .. import arrays
from ..activations import NAMES, activate
from ..programs import split


def entry(array, *index):
    """One element of an integer array, as an int32 scalar."""
    return pk.load(array, index, (1,) * len(index)).reshape(()).astype(pk.int32)


@pk.kernel(name="grouped_matmul")
def grouped_kernel(
    a, b, bias, offsets, out,
    BIAS: pk.constexpr[bool] = False,
    ACTIVATION: pk.constexpr[str | Callable[[Any], Any]] = "none",
    BM: pk.constexpr[int] = pk.auto(1, 256),
    BN: pk.constexpr[int] = pk.auto(1, 512),
    BK: pk.constexpr[int] = pk.auto(8, 512),
):  # fmt: skip
    """Rows ``offsets[g]`` to ``offsets[g + 1] - 1`` of out ``(T, N)``: ``activation(a @ b[g] + bias[g])`` of those of a ``(T, K)``.

    b ``(G, K, N)``, bias ``(G, N)``, any strides. Grid: sum over g of cdiv(rows of g, BM) · cdiv(N, BN): every program
    looks up its group. Without BIAS, bias is not read.
    """
    j, t = split(pk.program_id(0), pk.cdiv(out.shape[1], BN))
    group, row, stop, begin = 0, 0, 0, 0
    for g in range(b.shape[0]):
        low, high = entry(offsets, g), entry(offsets, g + 1)
        blocks = pk.cdiv(high - low, BM)
        here = (t >= begin) & (t < begin + blocks)
        group = pk.where(here, pk.astype(g, pk.int32), group)
        row = pk.where(here, low + (t - begin) * BM, row)
        stop = pk.where(here, high, stop)
        begin = begin + blocks
    rows, cols = row + pk.arange(BM), j * BN + pk.arange(BN)
    inside = (rows < stop)[:, None]
    acc = pk.zeros((BM, BN), dot_accumulator(a.dtype))
    for k in range(pk.cdiv(a.shape[1], BK)):
        left = pk.gather(a, (rows[:, None], (k * BK + pk.arange(BK))[None, :]), mask=inside)
        acc = pk.dot(left, pk.load(b, (group, k, j), (1, BK, BN)).reshape(BK, BN), acc)
    if BIAS:
        acc = acc + pk.load(bias, (group, j), (1, BN)).astype(acc.dtype)
    found = activate(acc, ACTIVATION)
    pk.scatter(out, (rows[:, None], cols[None, :]), found.astype(out.dtype), mask=inside)


def grouped_matmul(
    a: Any, b: Any, offsets: Any, out: Any = None, *, bias: Any = None,
    activation: str | Callable[[Any], Any] = "none", backend: str | None = None, device: str | None = None,
) -> Any:  # fmt: skip
    """Each group of rows of a ``(T, K)`` times its own matrix of b ``(G, K, N)``: out ``(T, N)``, in one launch.

    ``offsets`` ``(G + 1,)``, integers from 0 to T that never fall, says where groups begin; it is read on the host, and
    groups may be empty. bias ``(G, N)`` or ``(N,)``. dtypes, accumulation and error as of ``matmul``; a and b share one.
    The result has the type of a. Raises ArgumentTypeError, ArgumentDTypeError, ArgumentShapeError, ArgumentError.
    """
    where = "grouped_matmul()"
    dtype = arrays.dtype_of(f"{where}: a", a)
    arrays.dtype_of(f"{where}: b", b, (dtype,))
    if len(a.shape) != 2:
        raise ArgumentShapeError(f"{where}: a: expected 2 dimensions, got shape {tuple(a.shape)}")
    rows, depth = a.shape
    if len(b.shape) != 3 or b.shape[1] != depth:
        raise ArgumentShapeError(f"{where}: b: expected (groups, {depth}, columns), got {tuple(b.shape)}")
    groups, _, columns = b.shape
    if not arrays.dtype_of(f"{where}: offsets", offsets).is_integer:
        raise ArgumentDTypeError(f"{where}: offsets: expected integers, got {offsets.dtype}")
    if tuple(offsets.shape) != (groups + 1,):
        raise ArgumentShapeError(f"{where}: offsets: expected shape {(groups + 1,)}, got {tuple(offsets.shape)}")
    found = arrays.to_host(offsets).astype(np.int64)
    if found[0] != 0 or found[-1] != rows or np.any(found[1:] < found[:-1]):
        raise ArgumentError(f"{where}: offsets: expected values that rise from 0 to {rows}, got {found.tolist()}")
    _check_activation(where, activation, dtype)
    shift = a
    if bias is not None:
        arrays.dtype_of(f"{where}: bias", bias)
        if tuple(bias.shape) not in ((columns,), (groups, columns)):
            raise ArgumentShapeError(f"{where}: bias: expected {(groups, columns)}, got {tuple(bias.shape)}")
        shift = arrays.view(bias).broadcast((groups, columns)).array()
    out = arrays.result(where, out, a, (rows, columns), _stored(dtype))
    sizes = np.diff(found)

    def grid(meta: dict[str, int]) -> tuple[int]:
        return (int(np.sum(-(-sizes // meta["BM"]))) * pk.cdiv(columns, meta["BN"]),)

    grouped_kernel[grid](
        a, b, shift, offsets, out, BIAS=bias is not None, ACTIVATION=activation, backend=backend, device=device
    )
    return out


def _stored(dtype: pk.DType) -> list[pk.DType]:
    """What sums of ``dtype`` may be stored as, the usual one first."""
    first = dot_accumulator(dtype) if dtype.is_storage_only or (dtype.bits < 32 and dtype.is_integer) else dtype
    return [first, *(d for d in pk.dtypes.ALL if d.is_float == dtype.is_float and d != first)]


def _check_activation(where: str, activation: object, dtype: pk.DType) -> None:
    if not callable(activation) and activation not in NAMES:
        raise ArgumentError(f"{where}: activation: expected one of {NAMES} or a function, got {activation!r}")
    if dtype.is_integer and activation not in ("none", "relu"):
        raise ArgumentDTypeError(f"{where}: a: expected floats for an activation, got {dtype}")


# --- lists --------------------------------------------------------------------------------------------------

M, N, K, A, B, OUT = range(6)
"""Columns of the table of problems: sizes, then where the operands and the result begin."""


@pk.kernel(name="matmul_list")
def list_kernel(
    a, b, table, out,
    BM: pk.constexpr[int] = pk.auto(8, 64),
    BN: pk.constexpr[int] = pk.auto(16, 128),
    BK: pk.constexpr[int] = pk.auto(16, 64),
):  # fmt: skip
    """Products of matrices that lie in row-major order in a, b and out, all of rank 1; ``table`` ``(problems, 6)`` says where.

    Grid: (sum of cdiv(m, BM) · cdiv(n, BN),): every program looks up its problem.
    """
    t = pk.program_id(0)
    mine, local, begin = 0, 0, 0
    for g in range(table.shape[0]):
        blocks = pk.cdiv(entry(table, g, M), BM) * pk.cdiv(entry(table, g, N), BN)
        here = (t >= begin) & (t < begin + blocks)
        mine = pk.where(here, pk.astype(g, pk.int32), mine)
        local = pk.where(here, t - begin, local)
        begin = begin + blocks
    m, n, depth = entry(table, mine, M), entry(table, mine, N), entry(table, mine, K)
    tall = pk.cdiv(m, BM)
    rows = (local % tall * BM + pk.arange(BM))[:, None]
    cols = (local // tall * BN + pk.arange(BN))[None, :]
    acc = pk.zeros((BM, BN), dot_accumulator(a.dtype))
    for k in range(pk.cdiv(depth, BK)):
        terms = k * BK + pk.arange(BK)
        left = (rows.astype(pk.int64) * depth + terms[None, :]) + start(table, mine, A)
        right = (terms[:, None].astype(pk.int64) * n + cols) + start(table, mine, B)
        x = pk.gather(a, (left,), mask=(rows < m) & (terms[None, :] < depth))
        y = pk.gather(b, (right,), mask=(cols < n) & (terms[:, None] < depth))
        acc = pk.dot(x, y, acc)
    place = (rows.astype(pk.int64) * n + cols) + start(table, mine, OUT)
    pk.scatter(out, (place,), acc.astype(out.dtype), mask=(rows < m) & (cols < n))


def start(table, mine, column):
    """Where an operand of problem ``mine`` begins, as an int64 scalar."""
    return pk.load(table, (mine, column), (1, 1)).reshape(()).astype(pk.int64)


def matmul_list(
    a: Sequence[Any], b: Sequence[Any], out: Sequence[Any] | None = None, *, backend: str | None = None,
    device: str | None = None,
) -> list[Any]:  # fmt: skip
    """``[x @ y for x, y in zip(a, b)]`` for matrices of any sizes and one dtype, in one launch.

    The operands are first copied side by side. dtypes, accumulation and error as of ``matmul``. Results share one
    array's memory, or go to ``out``. Raises ArgumentTypeError, ArgumentDTypeError, ArgumentShapeError.
    """
    where = "matmul_list()"
    if len(a) != len(b) or (out is not None and len(out) != len(a)):
        raise ArgumentShapeError(f"{where}: b: expected lists of one length, got {len(a)} and {len(b)}")
    if not len(a):
        return []
    dtype = arrays.dtype_of(f"{where}: a[0]", a[0])
    sizes = [_sizes(where, g, x, y, dtype) for g, (x, y) in enumerate(zip(a, b, strict=True))]
    kinds = _stored(dtype)
    for g, ((m, n, _), given) in enumerate(zip(sizes, () if out is None else out, strict=False)):
        arrays.result(f"{where}: [{g}]", given, a[0], (m, n), kinds)
    starts = [
        [0, *itertools.accumulate(x * y for x, y in pairs)]
        for pairs in ([(m, k) for m, _, k in sizes], [(k, n) for _, n, k in sizes], [(m, n) for m, n, _ in sizes])
    ]
    table = np.array([(*s, *begins) for s, *begins in zip(sizes, *starts, strict=False)], np.int64)
    flat = [_pack(xs, begin, dtype) for xs, begin in ((a, starts[0]), (b, starts[1]))]
    result = arrays.empty(a[0], (starts[2][-1],), kinds[0])

    def grid(meta: dict[str, int]) -> tuple[int]:
        return (sum(pk.cdiv(m, meta["BM"]) * pk.cdiv(n, meta["BN"]) for m, n, _ in sizes),)

    if starts[2][-1]:
        list_kernel[grid](*flat, arrays.from_host(a[0], table), result, backend=backend, device=device)
    found = [result[i : i + m * n].reshape((m, n)) for i, (m, n, _) in zip(starts[2], sizes, strict=False)]
    if out is None:
        return found
    for given, x in zip(out, found, strict=True):
        given[...] = x
    return list(out)


def _sizes(where: str, g: int, x: Any, y: Any, dtype: pk.DType) -> tuple[int, int, int]:
    arrays.dtype_of(f"{where}: a[{g}]", x, (dtype,))
    arrays.dtype_of(f"{where}: b[{g}]", y, (dtype,))
    if len(x.shape) != 2 or len(y.shape) != 2 or x.shape[1] != y.shape[0]:
        shown = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise ArgumentShapeError(f"{where}: b[{g}]: expected two matrices with equal inner sides, got {shown}")
    return x.shape[0], y.shape[1], x.shape[1]


def _pack(xs: Sequence[Any], starts: Sequence[int], dtype: pk.DType) -> Any:
    """The matrices one after the other in row-major order; at least one element, so that there is memory to point at."""
    flat = arrays.empty(xs[0], (max(1, starts[-1]),), dtype)
    for x, begin in zip(xs, starts, strict=False):
        size = x.shape[0] * x.shape[1]
        if size:
            flat[begin : begin + size].reshape(tuple(x.shape))[...] = x
    return flat
