"""Gradients of attention: weights are computed again from the logarithms of the sums, never stored (Dao et al. 2022).

One kernel for each output that a program owns whole: nothing is added atomically, so every run gives the same bits.
"""

from __future__ import annotations

import portkernel as pk
from portkernel.dtypes import dot_accumulator

from ..matmul.fused import block, put
from ..programs import head_of, tile_of
from .forward import CONFIGS, INF, masked


@pk.kernel(name="attention_delta")
def delta_kernel(
    grad, out, delta,
    VALUE: pk.constexpr[int],
    BM: pk.constexpr[int] = pk.auto(1, 64),
):  # fmt: skip
    """delta ``(B, H, S)`` = sum of grad·out ``(B, H, S, VALUE)`` along the last axis. Grid: cdiv(S, BM) · H · B."""
    i, h, b = head_of(grad, BM)
    product = block(grad, (b, h, i, 0), BM, VALUE).astype(delta.dtype) * block(out, (b, h, i, 0), BM, VALUE).astype(
        delta.dtype
    )
    pk.store(delta, (b, h, i), product.sum(axis=1).reshape(1, 1, BM))


def weights_of(scores, lse):
    """The softmax from the scores and the logarithms of the sums; 0 for -inf."""
    return pk.where(scores == -INF, 0.0, pk.exp(scores - pk.where(lse == -INF, 0.0, lse)))


@pk.kernel(name="attention_query_gradient", configs=CONFIGS)
def query_kernel(
    grad, q, k, v, mask, lse, delta, dq, scale,
    HEAD: pk.constexpr[int],
    VALUE: pk.constexpr[int],
    MASK: pk.constexpr[str] = "none",
    AXES: pk.constexpr[str] = "mn",
    CAUSAL: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = 64,
    BN: pk.constexpr[int] = 64,
):  # fmt: skip
    """dq for the gradient ``grad`` of out; arguments as of ``attention``. Grid: cdiv(S, BM) · H · B."""
    i, h, b = head_of(q, BM)
    shared = h // (q.shape[1] // k.shape[1])
    keys = k.shape[2]
    wide = dot_accumulator(q.dtype)
    rows = (i * BM + pk.arange(BM))[:, None]
    queries, above = block(q, (b, h, i, 0), BM, HEAD), block(grad, (b, h, i, 0), BM, VALUE)
    sums = pk.load(lse, (b, h, i), (1, 1, BM)).reshape(BM, 1)
    means = pk.load(delta, (b, h, i), (1, 1, BM)).reshape(BM, 1)
    acc = pk.zeros((BM, HEAD), wide)
    stop = pk.cdiv(keys, BN)
    if CAUSAL:
        stop = pk.minimum(stop, pk.cdiv(i * BM + BM, BN))
    for j in range(stop):
        near = block(k, (b, shared, j, 0), BN, HEAD)
        scores = pk.dot(queries, near.T, pk.zeros((BM, BN), wide)) * pk.astype(scale, wide)
        tile = block(mask, (b, h, i, j), BM, BN, AXES) if MASK != "none" else None
        scores = masked(scores, tile, rows, (j * BN + pk.arange(BN))[None, :], keys, MASK, CAUSAL)
        values = block(v, (b, shared, j, 0), BN, VALUE)
        change = pk.dot(above, values.T, pk.zeros((BM, BN), wide))
        slope = weights_of(scores, sums) * (change - means)
        acc = pk.dot(slope.astype(k.dtype), near, acc)
    put(dq, (b, h, i, 0), acc * pk.astype(scale, wide))


@pk.kernel(name="attention_key_gradient", configs=CONFIGS)
def key_kernel(
    grad, q, k, v, mask, lse, delta, dk, dv, scale,
    HEAD: pk.constexpr[int],
    VALUE: pk.constexpr[int],
    MASK: pk.constexpr[str] = "none",
    AXES: pk.constexpr[str] = "mn",
    CAUSAL: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = 64,
    BN: pk.constexpr[int] = 64,
):  # fmt: skip
    """dk and dv for the gradient ``grad`` of out; arguments as of ``attention``. Grid: cdiv(T, BN) · G · B.

    Tiles are transposed, keys by queries, so that every product finds its operands in the order that it wants.
    """
    j, shared, b = head_of(k, BN)
    group = q.shape[1] // k.shape[1]
    keys = k.shape[2]
    wide = dot_accumulator(q.dtype)
    cols = (j * BN + pk.arange(BN))[:, None]
    near, values = block(k, (b, shared, j, 0), BN, HEAD), block(v, (b, shared, j, 0), BN, VALUE)
    to_key = pk.zeros((BN, HEAD), wide)
    to_value = pk.zeros((BN, VALUE), wide)
    first = 0
    if CAUSAL:
        first = j * BN // BM
    for h in range(shared * group, shared * group + group):
        for i in range(first, pk.cdiv(q.shape[2], BM)):
            queries, above = block(q, (b, h, i, 0), BM, HEAD), block(grad, (b, h, i, 0), BM, VALUE)
            scores = pk.dot(near, queries.T, pk.zeros((BN, BM), wide)) * pk.astype(scale, wide)
            tile = block(mask, (b, h, i, j), BM, BN, AXES).T if MASK != "none" else None
            scores = masked(scores, tile, (i * BM + pk.arange(BM))[None, :], cols, keys, MASK, CAUSAL)
            # Beyond the last query: weights of 0, whatever the mask holds there.
            weights = weights_of(scores, pk.load(lse, (b, h, i), (1, 1, BM), pad=INF).reshape(1, BM))
            to_value = pk.dot(weights.astype(grad.dtype), above, to_value)
            change = pk.dot(values, above.T, pk.zeros((BN, BM), wide))
            slope = weights * (change - pk.load(delta, (b, h, i), (1, 1, BM)).reshape(1, BM))
            to_key = pk.dot(slope.astype(q.dtype), queries, to_key)
    put(dk, (b, shared, j, 0), to_key * pk.astype(scale, wide))
    put(dv, (b, shared, j, 0), to_value)


@pk.kernel(name="attention_mask_gradient", configs=CONFIGS)
def mask_kernel(
    grad, q, k, v, mask, lse, delta, dmask, scale,
    HEAD: pk.constexpr[int],
    VALUE: pk.constexpr[int],
    AXES: pk.constexpr[str] = "mn",
    CAUSAL: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = 64,
    BN: pk.constexpr[int] = 64,
):  # fmt: skip
    """The slopes of the scores, added to dmask ``(B or 1, H or 1, S, T)``, of length 1 in S or T where AXES lacks m or n.

    Other arguments as of ``attention``, with a mask that is added. A program owns its block of dmask, and adds up the
    images, heads, rows and columns that share an element in order. Grid: cdiv(S, BM) · cdiv(T, BN) · the rest of dmask.
    """
    tall, wide_side = "m" in AXES, "n" in AXES
    a, top, left = tile_of(dmask, BM if tall else 1, BN if wide_side else 1)
    images, heads = q.shape[0] // dmask.shape[0], q.shape[1] // dmask.shape[1]
    image, head = a // dmask.shape[1], a % dmask.shape[1]
    group = q.shape[1] // k.shape[1]
    keys = k.shape[2]
    wide = dot_accumulator(q.dtype)
    above, below = (top, top + 1) if tall else (0, pk.cdiv(q.shape[2], BM))
    first, last = (left, left + 1) if wide_side else (0, pk.cdiv(keys, BN))
    acc = block(dmask, (image, head, top, left), BM, BN, AXES)
    for b in range(image * images, image * images + images):
        for h in range(head * heads, head * heads + heads):
            for i in range(above, below):
                queries, slopes = block(q, (b, h, i, 0), BM, HEAD), block(grad, (b, h, i, 0), BM, VALUE)
                sums = pk.load(lse, (b, h, i), (1, 1, BM), pad=INF).reshape(BM, 1)
                means = pk.load(delta, (b, h, i), (1, 1, BM)).reshape(BM, 1)
                rows = (i * BM + pk.arange(BM))[:, None]
                for j in range(first, last):
                    near, values = block(k, (b, h // group, j, 0), BN, HEAD), block(v, (b, h // group, j, 0), BN, VALUE)
                    scores = pk.dot(queries, near.T, pk.zeros((BM, BN), wide)) * pk.astype(scale, wide)
                    cols = (j * BN + pk.arange(BN))[None, :]
                    tile = block(mask, (b, h, i, j), BM, BN, AXES)
                    scores = masked(scores, tile, rows, cols, keys, "add", CAUSAL)
                    change = pk.dot(slopes, values.T, pk.zeros((BM, BN), wide))
                    slope = weights_of(scores, sums) * (change - means)
                    if not tall:
                        slope = slope.sum(axis=0).reshape(1, BN)
                    if not wide_side:
                        slope = slope.sum(axis=1).reshape(BM if tall else 1, 1)
                    acc = acc + slope
    put(dmask, (image, head, top, left), acc)
