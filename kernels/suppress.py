"""Which of overlapping boxes stay: greedy suppression in the order of a list."""

from __future__ import annotations

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, poison
from portkernel.errors import ArgumentShapeError

from .arrays import dtype_of, number, result
from .fold import Array

LIMIT = 4096


@pk.kernel
def suppress_rows(overlap, out, limit, BN: pk.constexpr[int] = 64):
    """``out[a, j]``: j stays unless an earlier i that stays has ``overlap[a, i, j] > limit``; overlap ``(A, N, N)``, N ≤ BN."""
    a = pk.program_id(0)
    lane = pk.arange(BN)
    keep = lane < out.shape[1]
    for i in range(out.shape[1]):
        alive = pk.max(((lane == i) & keep).astype(pk.int32), axis=0) > 0
        row = pk.load(overlap, (a, i, 0), (1, 1, BN)).reshape((BN,))
        keep = keep & ~((row > limit) & (lane > i) & alive)
    pk.store(out, (a, 0), keep.reshape((1, BN)))


def greedy_suppress(
    overlap: Array, limit: float, *, out: Array | None = None, backend: str | None = None, device: str | None = None
) -> Array:
    """Which of N boxes in order of preference stay, bool ``(…, N)``, from how each two overlap ``(…, N, N)``.

    A box goes where one before it stays and overlaps it by more than ``limit``. N up to 4096; float32, float64. Exact.
    Raises ArgumentDTypeError, ArgumentShapeError.
    """
    where = "greedy_suppress()"
    dtype_of(f"{where}: overlap", overlap, (pk.float32, pk.float64))
    number(f"{where}: limit", limit)
    shape = tuple(int(n) for n in overlap.shape)
    if len(shape) != 3 or shape[1] != shape[2] or shape[2] > LIMIT:
        raise ArgumentShapeError(f"{where}: overlap: expected (A, N, N) with N up to {LIMIT}, got {shape}")
    out = result(where, out, overlap, shape[:2], (pk.bool_,))
    if shape[0] and shape[1]:
        width = max(8, pk.next_power_of_2(shape[1]))
        limit = np.float64(limit) if dtype_of(where, overlap) == pk.float64 else limit
        suppress_rows[(shape[0],)](overlap, out, limit, BN=width, backend=backend, device=device)
    return out


def _case(a: int, n: int):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        overlap = rng.random((a, n, n)).astype(dtype.np)

        def reference():
            keep = np.ones((a, n), np.bool_)
            for k in range(a):
                for i in range(n):
                    if keep[k, i]:
                        keep[k, i + 1 :] &= ~(overlap[k, i, i + 1 :] > 0.75)
            return {"out": keep}

        return Problem(
            args={"overlap": overlap, "out": poison((a, n), pk.bool_), "limit": 0.75},
            grid=(a,),
            constants={"BN": max(8, pk.next_power_of_2(n))},
            reference=reference,
            bound=lambda: {"out": np.zeros((a, n))},
        )

    return make


ENTRIES = (
    Entry(
        "suppress",
        suppress_rows,
        (pk.float32, pk.float64),
        (Case("4×100", _case(4, 100)), Case("1×1", _case(1, 1)), Case("3×65", _case(3, 65))),
    ),
)
