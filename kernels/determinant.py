"""Determinants of small matrices, by elimination with row exchanges."""

from __future__ import annotations

import math

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, sample
from portkernel.errors import ArgumentShapeError

from .arrays import dtype_of, empty, result
from .axes import copy_into
from .fold import Array

LIMIT = 64


@pk.kernel
def eliminate(x, out, N: pk.constexpr[int] = 8):
    """out ``(A,)``: the determinants of x ``(A, N, N)``; the pivot of a column is its largest element below."""
    a = pk.program_id(0)
    m = pk.load(x, (a, 0, 0), (1, N, N)).reshape((N, N)).astype(x.dtype)
    lane = pk.arange(N)
    product = pk.full((), 1, x.dtype)
    for k in range(N):
        column = pk.sum(pk.where((lane == k)[None, :], m, 0), axis=1)
        size = pk.where(lane >= k, pk.abs(column), -1)
        pivot = pk.argmax(size, axis=0)
        chosen = pk.sum(pk.where((lane == pivot)[:, None], m, 0), axis=0)
        mine = pk.sum(pk.where((lane == k)[:, None], m, 0), axis=0)
        m = pk.where((lane == pivot)[:, None], mine[None, :], m)
        m = pk.where((lane == k)[:, None], chosen[None, :], m)
        head = pk.sum(pk.where(lane == k, chosen, 0), axis=0)
        product = product * pk.where(pivot == k, head, -head)
        column = pk.sum(pk.where((lane == k)[None, :], m, 0), axis=1)
        factor = pk.where((lane > k) & (head != 0), column / pk.where(head == 0, head + 1, head), 0)
        m = m - factor[:, None] * chosen[None, :]
    pk.store(out, (a,), product.reshape((1,)))


def det(x: Array, *, out: Array | None = None, backend: str | None = None, device: str | None = None) -> Array:
    """``numpy.linalg.det`` of matrices ``(…, N, N)`` with N from 1 to 64; float32, float64.

    Gaussian elimination with partial pivoting in the dtype. Error: N²·2ᴺ⁻¹·u times the product of the rows' norms, as
    the growth of the elements is bounded (Higham 2002, section 9.3); far less in practice.
    Raises ArgumentDTypeError, ArgumentShapeError.
    """
    where = "det()"
    dtype = dtype_of(f"{where}: x", x, (pk.float32, pk.float64))
    shape = tuple(int(n) for n in x.shape)
    if len(shape) < 2 or shape[-1] != shape[-2] or not 1 <= shape[-1] <= LIMIT:
        raise ArgumentShapeError(f"{where}: x: expected square matrices of 1 to {LIMIT} rows, got shape {shape}")
    n, count = shape[-1], math.prod(shape[:-2])
    route = {"backend": backend, "device": device}
    out = result(where, out, x, shape[:-2], (dtype,))
    if count:
        flat, found = empty(x, (count, n, n), dtype), empty(x, (count,), dtype)
        copy_into(flat.reshape(shape), x, **route)
        eliminate[(count,)](flat, found, N=n, **route)
        copy_into(out, found.reshape(shape[:-2]), **route)
    return out


def _case(a: int, n: int):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (a, n, n), dtype)

        def bound():
            rows = np.sqrt((exact(x) ** 2).sum(axis=2)).prod(axis=1)
            return {"out": n * n * dtype.eps * rows + dtype.eps}

        return Problem(
            args={"x": x, "out": poison((a,), dtype)},
            grid=(a,),
            constants={"N": n},
            reference=lambda: {"out": np.linalg.det(exact(x))},
            bound=bound,
        )

    return make


ENTRIES = (
    Entry(
        "determinant",
        eliminate,
        (pk.float32, pk.float64),
        (Case("10×8", _case(10, 8)), Case("1×1", _case(1, 1)), Case("3×5", _case(3, 5))),
    ),
)
