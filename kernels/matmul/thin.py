"""Matrix times vector, and a few vectors: bound by the memory that the matrix takes, so it is read once and in order."""

from __future__ import annotations

import portkernel as pk
from portkernel.dtypes import dot_accumulator

from .blocked import shared
from .fused import NOTHING, Fused, batch_of, block, finish, put


@pk.kernel(name="matmul_rows")
def rows_kernel(
    a, b, scale, bias, residual, out, alpha, beta,
    N: pk.constexpr[int] = 1,
    FUSED: pk.constexpr[Fused] = NOTHING,
    DTYPE: pk.constexpr[pk.DType | None] = None,
    SPLITS: pk.constexpr[int] = 1,
    LINES: pk.constexpr[int] = 1,
    BM: pk.constexpr[int] = pk.auto(1, 16),
    BK: pk.constexpr[int] = pk.auto(16, 256),
):  # fmt: skip
    """As ``matmul``, for b ``(…, N, K)`` (transposed) with few rows and a ``(…, M, K)`` whose rows lie in order in memory.

    A row of a is multiplied with each row of b and summed at the end; LINES times BM rows by a program. Grid:
    (matrices · SPLITS · cdiv(M, BM · LINES),).
    """
    t = pk.program_id(0)
    part, t = (t % SPLITS, t // SPLITS) if SPLITS > 1 else (0, t)
    tall = pk.cdiv(a.shape[-2], BM * LINES)
    batch, i = batch_of(t // tall, a, a.ndim - 2), t % tall
    if LINES == 1:
        _rows(a, b, scale, bias, residual, out, alpha, beta, part, batch, i, N, FUSED, DTYPE, SPLITS, BM, BK)
    else:
        for line in range(i * LINES, pk.minimum((i + 1) * LINES, pk.cdiv(a.shape[-2], BM))):
            _rows(a, b, scale, bias, residual, out, alpha, beta, part, batch, line, N, FUSED, DTYPE, SPLITS, BM, BK)


def _rows(a, b, scale, bias, residual, out, alpha, beta, part, batch, i, N, FUSED, DTYPE, SPLITS, BM, BK):
    """BM rows of the product, or of one part of its sums."""
    steps = pk.cdiv(a.shape[-1], BK)
    share = pk.cdiv(steps, SPLITS)
    acc = pk.zeros((BM, N, BK), dot_accumulator(DTYPE or a.dtype))
    for k in range(part * share, pk.minimum(part * share + share, steps)):
        left = shared(block(a, (*batch, i, k), BM, BK), DTYPE).astype(acc.dtype)
        right = shared(block(b, (*batch, 0, k), N, BK), DTYPE).astype(acc.dtype)
        acc = acc + left[:, None, :] * right[None, :, :]
    total = acc.sum(axis=2, dtype=acc.dtype)
    if SPLITS > 1:
        put(out, (part, *batch, i, 0), total)
    else:
        finish(total, scale, bias, residual, out, alpha, beta, (*batch, i, 0), FUSED)


@pk.kernel(name="matmul_columns")
def columns_kernel(
    a, b, scale, bias, residual, out, alpha, beta,
    M: pk.constexpr[int] = 1,
    FUSED: pk.constexpr[Fused] = NOTHING,
    DTYPE: pk.constexpr[pk.DType | None] = None,
    SPLITS: pk.constexpr[int] = 1,
    BK: pk.constexpr[int] = 8,
    BN: pk.constexpr[int] = pk.auto(128, 4096),
):  # fmt: skip
    """As ``matmul``, for a ``(…, M, K)`` with few rows and b ``(…, K, N)`` whose rows lie in order in memory.

    Rows of b, weighted by the elements of a, are added up, BK of them at a time. Grid: (matrices · SPLITS · cdiv(N, BN),).
    """
    t = pk.program_id(0)
    part, t = (t % SPLITS, t // SPLITS) if SPLITS > 1 else (0, t)
    wide = pk.cdiv(b.shape[-1], BN)
    batch, j = batch_of(t // wide, b, b.ndim - 2), t % wide
    steps = pk.cdiv(a.shape[-1], BK)
    share = pk.cdiv(steps, SPLITS)
    acc = pk.zeros((M, BN), dot_accumulator(DTYPE or a.dtype))
    for k in range(part * share, pk.minimum(part * share + share, steps)):
        for r in pk.static_range(BK):
            left = shared(block(a, (*batch, 0, k * BK + r), M, 1), DTYPE).astype(acc.dtype)
            right = shared(block(b, (*batch, k * BK + r, j), 1, BN), DTYPE).astype(acc.dtype)
            acc = acc + left * right
    if SPLITS > 1:
        put(out, (part, *batch, 0, j), acc)
    else:
        finish(acc, scale, bias, residual, out, alpha, beta, (*batch, 0, j), FUSED)
