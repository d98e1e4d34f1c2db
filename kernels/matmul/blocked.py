"""Blocks of the product, for everything that is neither thin nor in groups; and the sums of a split depth."""

from __future__ import annotations

import portkernel as pk
from portkernel.dtypes import dot_accumulator

from ..programs import split
from .fused import NOTHING, Fused, batch_of, block, finish, put


def shared(tile, dtype):
    """``tile`` in the dtype that both operands are multiplied in."""
    return tile if dtype is None else tile.astype(dtype)


def matrices(array):
    """How many matrices ``array`` holds."""
    found = 1
    for axis in pk.static_range(array.ndim - 2):
        found = found * array.shape[axis]
    return found


@pk.kernel(name="matmul")
def matmul_kernel(
    a, b, scale, bias, residual, out, alpha, beta,
    FUSED: pk.constexpr[Fused] = NOTHING,
    DTYPE: pk.constexpr[pk.DType | None] = None,
    PRECISION: pk.constexpr[str] = "ieee",
    SPLITS: pk.constexpr[int] = 1,
    FOLDED: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = pk.auto(1, 256),
    BN: pk.constexpr[int] = pk.auto(1, 512),
    BK: pk.constexpr[int] = pk.auto(8, 512),
):  # fmt: skip
    """``out = activation(alpha·(a @ b)·scale + beta·out + bias + residual)``, a ``(…, M, K)``, b ``(…, K, N)``, any strides.

    All arrays have the same leading axes, of which scale, bias and residual share the length too; what FUSED leaves out
    is not read. Grid: (matrices · cdiv(M, BM), cdiv(N, BN)), or with FOLDED the product of both. With SPLITS > 1, out is a workspace
    ``(SPLITS, …, M, N)`` of the accumulator's dtype that takes the sums over each part of the depth, to be added up by
    ``matmul_combine``; then SPLITS times as many programs run along axis 0.
    """
    t, j = pk.program_id(0), pk.program_id(1)
    if FOLDED:
        t, j = split(t, SPLITS * matrices(a) * pk.cdiv(a.shape[-2], BM))
    part = 0
    if SPLITS > 1:
        part = t % SPLITS
        t = t // SPLITS
    batch, i = (), t
    if a.ndim > 2:
        tall = pk.cdiv(a.shape[-2], BM)
        batch, i = batch_of(t // tall, a, a.ndim - 2), t % tall
    steps = pk.cdiv(a.shape[-1], BK)
    first, last = 0, steps
    if SPLITS > 1:
        share = pk.cdiv(steps, SPLITS)
        first, last = part * share, pk.minimum(part * share + share, steps)
    acc = pk.zeros((BM, BN), dot_accumulator(DTYPE or a.dtype))
    for k in range(first, last):
        left = shared(block(a, (*batch, i, k), BM, BK), DTYPE)
        right = shared(block(b, (*batch, k, j), BK, BN), DTYPE)
        acc = pk.dot(left, right, acc, precision=PRECISION)
    if SPLITS > 1:
        put(out, (part, *batch, i, j), acc)
    else:
        finish(acc, scale, bias, residual, out, alpha, beta, (*batch, i, j), FUSED)


@pk.kernel(name="matmul_combine")
def combine_kernel(
    work, scale, bias, residual, out, alpha, beta,
    FUSED: pk.constexpr[Fused] = NOTHING,
    FOLDED: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(1, 512),
):  # fmt: skip
    """out ``(…, M, N)`` from the partial sums in work ``(SPLITS, …, M, N)``, added in order: the same bits on every run.

    Grid: (matrices · cdiv(M, BM), cdiv(N, BN)), or with FOLDED the product of both.
    """
    t, j = pk.program_id(0), pk.program_id(1)
    if FOLDED:
        t, j = split(t, matrices(out) * pk.cdiv(out.shape[-2], BM))
    tall = pk.cdiv(out.shape[-2], BM)
    batch, i = batch_of(t // tall, out, out.ndim - 2), t % tall
    acc = pk.zeros((BM, BN), work.dtype)
    for part in range(work.shape[0]):
        acc = acc + block(work, (part, *batch, i, j), BM, BN)
    finish(acc, scale, bias, residual, out, alpha, beta, (*batch, i, j), FUSED)
