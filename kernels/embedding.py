"""Rows of a table by index, and the gradient of the table."""

from __future__ import annotations

import itertools
import math

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, sample
from portkernel.errors import ArgumentShapeError

from .arrays import dtype_of, empty, integer, result, strides_of
from .axes import contiguous, copy_into, view
from .fold import DTYPES, FLOATS, Array
from .programs import tile_of
from .scatter import ordered_sums

INDICES = (pk.int64, pk.int32)


@pk.kernel
def embedding_rows(
    table, indices, out, BM: pk.constexpr[int] = pk.auto(1, 64), BN: pk.constexpr[int] = pk.auto(1, 2048)
):
    """``out[m] = table[indices[m]]`` for table ``(V, D)``, indices ``(M,)``, out ``(M, D)``, any strides.

    A negative index counts from the end; one outside the table raises DeviceAssertionError.
    """
    _, i, j = tile_of(out, BM, BN)
    index = pk.load(indices, (i,), (BM,)).astype(pk.int64)
    index = pk.where(index < 0, index + table.shape[0], index)
    inside = (index >= 0) & (index < table.shape[0])
    pk.device_assert(inside | (i * BM + pk.arange(BM) >= indices.shape[0]), "embedding(): an index outside the table")
    column = j * BN + pk.arange(BN)
    pk.store(out, (i, j), pk.gather(table, (index[:, None], column[None, :])))


def _flat(indices: Array, route: dict[str, object]) -> Array:
    """Indices as a vector, on their own memory where it is row-major."""
    shape = tuple(int(n) for n in indices.shape)
    count = math.prod(shape)
    if len(shape) == 1:
        return indices
    steps, expected = strides_of(indices), 1
    for n, s in zip(reversed(shape), reversed(steps), strict=True):
        if n != 1 and s != expected:
            indices = contiguous(indices, range(len(shape)), **route)
            break
        expected *= n
    return view(indices, (count,), (1,))


def embedding(
    indices: Array, table: Array, *, out: Array | None = None, backend: str | None = None, device: str | None = None
) -> Array:
    """``torch.nn.functional.embedding(indices, weight)``: indices of any shape, table ``(V, D)`` of any dtype and strides.

    The result has shape ``indices.shape + (D,)`` and the table's dtype; exact. Indices are int32 or int64; a negative
    one counts from the end, one outside raises DeviceAssertionError.
    """
    where, route = "embedding()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: table", table, DTYPES)
    dtype_of(f"{where}: indices", indices, INDICES)
    if len(table.shape) != 2:
        raise ArgumentShapeError(f"{where}: table: expected shape (V, D), got {tuple(table.shape)}")
    d = int(table.shape[1])
    shape = (*(int(n) for n in indices.shape), d)
    m = math.prod(shape[:-1])
    given = result(where, out, table, shape, (dtype,))
    if m * d == 0:
        return given
    flat = given if out is None else _rows_of(given, m, d)
    target = empty(table, (m, d), dtype) if flat is None else view(flat, (m, d), _two(flat, m, d))
    embedding_rows[lambda meta: (pk.cdiv(m, meta["BM"]) * pk.cdiv(d, meta["BN"]),)](
        table, _flat(indices, route), target, **route
    )
    if flat is None:
        steps = tuple(d * math.prod(shape[i + 1 : -1]) for i in range(len(shape) - 1))
        copy_into(given, view(target, shape, (*steps, 1)), **route)
    return given


def _rows_of(out: Array, m: int, d: int) -> Array | None:
    """``out`` if it is a matrix of m rows where it lies."""
    return out if _two(out, m, d) is not None else None


def _two(out: Array, m: int, d: int) -> tuple[int, int] | None:
    """The strides of ``out`` as ``(m, d)``, or None."""
    shape, steps = tuple(int(n) for n in out.shape), strides_of(out)
    outer = [(n, s) for n, s in zip(shape[:-1], steps[:-1], strict=True) if n != 1]
    if any(a != n * b for (_, a), (n, b) in itertools.pairwise(outer)):
        return None
    return (outer[-1][1] if outer else 0), steps[-1]


def embedding_gradient(
    grad: Array, indices: Array, rows: int, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient ``(rows, D)`` of the table, from that ``indices.shape + (D,)`` of the result: a deterministic sum.

    Each row adds up its occurrences in the order of indices, in float32 (float64 for float64), and is rounded once.
    Error: γ(occurrences)·Σ|grad|, then one rounding. Rows that do not occur are 0. Time grows with rows + occurrences.
    """
    where, route = "embedding_gradient()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: grad", grad, FLOATS)
    dtype_of(f"{where}: indices", indices, INDICES)
    wanted = tuple(int(n) for n in indices.shape)
    if tuple(grad.shape)[:-1] != wanted or len(grad.shape) != len(wanted) + 1:
        raise ArgumentShapeError(f"{where}: grad: expected shape {wanted} + (D,), got {tuple(grad.shape)}")
    rows = integer(f"{where}: rows", rows)
    if rows < 0:
        raise ArgumentShapeError(f"{where}: rows: expected at least 0, got {rows}")
    d, m = int(grad.shape[-1]), math.prod(wanted)
    out = result(where, out, grad, (rows, d), (dtype,))
    steps = _two(grad, m, d) if m else (0, 0)
    if steps is None:
        grad = contiguous(grad, range(len(grad.shape)), **route)
        steps = (d, 1)
    ordered_sums(where, view(grad, (m, d), steps), _flat(indices, route), out, route)
    return out


def _case(v: int, d: int, m: int):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        table = sample(rng, (v, d), dtype)
        indices = rng.integers(-v, v, (m,))
        return Problem(
            args={"table": table, "indices": indices, "out": poison((m, d), dtype)},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]) * pk.cdiv(d, meta["BN"]),),
            reference=lambda: {"out": exact(table)[indices]},
            bound=lambda: {"out": np.zeros((m, d))},
        )

    return make


ENTRIES = (
    Entry(
        "embedding",
        embedding_rows,
        (pk.float32, pk.float16, pk.int8),
        (
            Case("1000 of 5000×128", _case(5000, 128, 1000)),
            Case("1 of 1×1", _case(1, 1, 1)),
            Case("77 of 9×33", _case(9, 33, 77)),
        ),
    ),
)
