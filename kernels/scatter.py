"""Sums at places given by indices: in a fixed order, so that results are too; and by integer atomics."""

from __future__ import annotations

import math

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, sample
from portkernel.errors import ArgumentDTypeError, ArgumentShapeError

from .arrays import dtype_of, empty, normal_axes, result
from .axes import copy_into, view
from .fold import DTYPES, Array
from .programs import split, tile_of

INDICES = (pk.int64, pk.int32)
CHUNK = 4096
"""Positions ranked in one launch, each against those before it."""


@pk.kernel
def count_places(indices, counts, B: pk.constexpr[int] = pk.auto(32, 4096)):
    """``counts[indices[m]] += 1``, a negative index counting from the end; outside: DeviceAssertionError."""
    i = pk.program_id(0)
    index = pk.load(indices, (i,), (B,)).astype(pk.int64)
    index = pk.where(index < 0, index + counts.shape[0], index)
    real = i * B + pk.arange(B) < indices.shape[0]
    inside = (index >= 0) & (index < counts.shape[0])
    pk.device_assert(inside | ~real, "an index outside the array")
    pk.atomic_add(counts, (index,), pk.ones((B,), counts.dtype), mask=real)


@pk.kernel
def running_starts(counts, starts, B: pk.constexpr[int] = pk.auto(32, 4096)):
    """starts ``(V + 1,)``: the sum of the counts ``(V,)`` before each."""
    carry = pk.zeros((1,), pk.int64)
    pk.store(starts, (0,), carry)
    for k in range(pk.cdiv(counts.shape[0], B)):
        tile = pk.load(counts, (k,), (B,)).astype(pk.int64).cumsum(axis=0) + carry
        pk.scatter(starts, (k * B + 1 + pk.arange(B),), tile)
        carry = pk.extract(tile, (B - 1,), (1,))


@pk.kernel
def place_chunk(indices, starts, ranks, order, offset, B: pk.constexpr[int] = 64):
    """order: where the positions ``offset + m`` go when sorted by index, those of one index in their order.

    starts is where each index begins, ranks how many of it earlier chunks have placed; a program ranks its block among
    those before it in the chunk. No program reads what another writes.
    """
    i = pk.program_id(0)
    lane = pk.arange(B)
    mine = pk.load(indices, (i,), (B,)).astype(pk.int64)
    mine = pk.where(mine < 0, mine + ranks.shape[0], mine)
    before = pk.zeros((B,), pk.int32)
    for k in range(i):
        other = pk.load(indices, (k,), (B,)).astype(pk.int64)
        other = pk.where(other < 0, other + ranks.shape[0], other)
        before = before + (mine[:, None] == other[None, :]).astype(pk.int32).sum(axis=1, dtype=pk.int32)
    same = (mine[:, None] == mine[None, :]) & (lane[None, :] < lane[:, None])
    before = before + same.astype(pk.int32).sum(axis=1, dtype=pk.int32)
    real = i * B + lane < indices.shape[0]
    to = pk.gather(starts, (mine,), mask=real) + pk.gather(ranks, (mine,), mask=real) + before
    pk.scatter(order, (to,), offset + (i * B + lane).astype(pk.int64), mask=real)


@pk.kernel
def sum_places(source, order, starts, out, ADD: pk.constexpr[bool] = False, BN: pk.constexpr[int] = pk.auto(1, 1024)):
    """``out[v] = Σ source[order[p]]`` for p from ``starts[v]`` to ``starts[v + 1]``; plus what out held where ADD.

    source is ``(M, D)``, out ``(V, D)``; sums run in order, in float32 (float64 for float64) or in out's integers.
    """
    v, j = split(pk.program_id(0), out.shape[0])
    acc_dtype = pk.dtypes.accumulator(out.dtype) if out.dtype.is_float else out.dtype
    first = pk.load(starts, (v,), (1,)).reshape(())
    last = pk.load(starts, (v + 1,), (1,)).reshape(())
    acc = pk.zeros((1, BN), acc_dtype)
    if ADD:
        acc = pk.load(out, (v, j), (1, BN)).astype(acc_dtype)
    column = (j * BN + pk.arange(BN))[None, :]
    for p in range(first, last):
        row = pk.load(order, (p,), (1,))
        acc = acc + pk.gather(source, (row[:, None], column)).astype(acc_dtype)
    pk.store(out, (v, j), acc.astype(out.dtype))


@pk.kernel
def atomic_rows(out, indices, source, BM: pk.constexpr[int] = pk.auto(1, 64), BN: pk.constexpr[int] = pk.auto(1, 1024)):
    """``out[indices[m]] += source[m]`` by atomics, in any order of arrival: for integers, whose sum is then exact."""
    _, i, j = tile_of(source, BM, BN)
    index = pk.load(indices, (i,), (BM,)).astype(pk.int64)
    index = pk.where(index < 0, index + out.shape[0], index)
    real = i * BM + pk.arange(BM) < indices.shape[0]
    inside = (index >= 0) & (index < out.shape[0])
    pk.device_assert(inside | ~real, "scatter_add(): an index outside the array")
    column = j * BN + pk.arange(BN)
    mask = real[:, None] & (column < out.shape[1])[None, :]
    value = pk.load(source, (i, j), (BM, BN)).astype(out.dtype)
    pk.atomic_add(
        out, (pk.broadcast_to(index[:, None], (BM, BN)), pk.broadcast_to(column[None, :], (BM, BN))), value, mask=mask
    )


def ordered_sums(
    where: str, source: Array, indices: Array, out: Array, route: dict[str, object], add: bool = False
) -> None:
    """Fill ``out`` ``(V, D)`` with the sums of the rows of ``source`` ``(M, D)`` by ``indices`` ``(M,)``.

    Indices are sorted by counting, then each row of out is summed in order: no float atomics.
    """
    v, d = (int(n) for n in out.shape)
    m = int(indices.shape[0])
    if v == 0 and m:
        raise ArgumentShapeError(f"{where}: out: expected rows for {m} indices, got shape {(v, d)}")
    if v * d == 0 or (add and m == 0):
        return
    counts, ranks = (_zeros(out, v, route) for _ in range(2))
    starts, order = empty(out, (v + 1,), pk.int64), empty(out, (max(m, 1),), pk.int64)
    count_places[lambda meta: (pk.cdiv(m, meta["B"]),)](indices, counts, **route)
    running_starts[(1,)](counts, starts, **route)
    for low in range(0, m, CHUNK):
        part = indices[low : low + CHUNK]
        size = min(CHUNK, m - low)
        place_chunk[(pk.cdiv(size, 64),)](part, starts, ranks, order, low, **route)
        if low + CHUNK < m:
            count_places[lambda meta, size=size: (pk.cdiv(size, meta["B"]),)](part, ranks, **route)
    sum_places[lambda meta: (v * pk.cdiv(d, meta["BN"]),)](source, order, starts, out, ADD=add, **route)


@pk.kernel
def fill(out, value, B: pk.constexpr[int] = pk.auto(32, 8192)):
    """``out[...] = value`` for a vector."""
    pk.store(out, (pk.program_id(0),), pk.full((B,), 0, out.dtype) + value.astype(out.dtype))


def _zeros(like: Array, n: int, route: dict[str, object]) -> Array:
    made = empty(like, (n,), pk.int64)
    fill[lambda meta: (pk.cdiv(n, meta["B"]),)](made, 0, **route)
    return made


def scatter_add(
    x: Array, axis: int, indices: Array, source: Array, *, out: Array | None = None, atomic: bool = False,
    backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``torch.index_add``: a copy of x with ``source`` added along ``axis`` at ``indices``, a vector.

    source has x's shape but for ``axis``, where it has as many as indices; all of x's dtype. Sums run in the order of
    indices, in float32 (float64 for float64), rounded once: deterministic. ``atomic`` adds integers (int32, int64,
    uint32, uint64) by atomics instead: exact in any order. Give ``out=x`` to add in place.
    """
    where, route = "scatter_add()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: x", x, DTYPES)
    dtype_of(f"{where}: source", source, (dtype,))
    dtype_of(f"{where}: indices", indices, INDICES)
    shape = tuple(int(n) for n in x.shape)
    (a,) = normal_axes(where, (axis,), len(shape))
    wanted = (*shape[:a], *(int(n) for n in indices.shape), *shape[a + 1 :])
    if len(indices.shape) != 1:
        raise ArgumentShapeError(f"{where}: indices: expected a vector, got shape {tuple(indices.shape)}")
    if tuple(source.shape) != wanted:
        raise ArgumentShapeError(f"{where}: source: expected shape {wanted}, got {tuple(source.shape)}")
    if atomic and (not dtype.is_integer or dtype.bits < 32):
        raise ArgumentDTypeError(f"{where}: atomic: expected x of int32, int64, uint32 or uint64, got {dtype}")
    rows, d, m = shape[a], math.prod((*shape[:a], *shape[a + 1 :])), int(indices.shape[0])
    if m and not rows:
        raise ArgumentShapeError(f"{where}: x: expected elements along axis {axis} for {m} indices, got shape {shape}")
    if out is not None:
        result(where, out, x, shape, (dtype,))
    flat, part = empty(x, (rows, d), dtype), empty(x, (m, d), dtype)
    copy_into(_first(flat, shape, a), x, **route)
    copy_into(_first(part, wanted, a), source, **route)
    if d and m:
        if atomic:
            grid = lambda meta: (pk.cdiv(m, meta["BM"]) * pk.cdiv(d, meta["BN"]),)  # noqa: E731
            atomic_rows[grid](flat, indices, part, **route)
        else:
            ordered_sums(where, part, indices, flat, route, add=True)
    out = result(where, out, x, shape, (dtype,))
    copy_into(out, _first(flat, shape, a), **route)
    return out


def _first(flat: Array, shape: tuple[int, ...], axis: int) -> Array:
    """A matrix ``(shape[axis], rest)`` as an array of ``shape``."""
    rest = [i for i in range(len(shape)) if i != axis]
    steps, step = [0] * len(shape), 1
    for i in reversed([axis, *rest]):
        steps[i] = step
        step *= shape[i]
    return view(flat, shape, steps)


def _case(v: int, d: int, m: int):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        out = sample(rng, (v, d), dtype)
        source = sample(rng, (m, d), dtype)
        indices = rng.integers(-v, v, (m,))
        want = out.copy()
        np.add.at(want, indices, source)
        return Problem(
            args={"out": out.copy(), "indices": indices, "source": source},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]) * pk.cdiv(d, meta["BN"]),),
            reference=lambda: {"out": want},
            bound=lambda: {"out": np.zeros((v, d))},
        )

    return make


ENTRIES = (
    Entry(
        "scatter_add",
        atomic_rows,
        (pk.int32, pk.int64),
        (
            Case("3000 to 100×64", _case(100, 64, 3000)),
            Case("1 to 1×1", _case(1, 1, 1)),
            Case("77 to 9×33", _case(9, 33, 77)),
        ),
    ),
)
