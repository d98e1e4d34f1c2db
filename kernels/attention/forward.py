"""Attention in one pass over the keys: no matrix of scores is ever stored (Milakov and Gimelshein 2018, Dao et al. 2022)."""

from __future__ import annotations

import portkernel as pk
from portkernel.dtypes import dot_accumulator

from ..matmul.fused import block, put
from ..programs import head_of

INF = float("inf")
CONFIGS = (
    pk.Config(), pk.Config(BM=32, BN=32), pk.Config(BM=16, BN=16), pk.Config(BM=8, BN=8),
    pk.Config(BM=4, BN=4), pk.Config(BM=2, BN=2),
)  # fmt: skip
"""The sizes of the defaults, then less for devices whose local memory does not hold the tiles of so many features."""


def masked(scores, tile, rows, cols, keys, MASK, CAUSAL):
    """Scores with the mask's tile applied, and -inf where a row may not look; ``rows`` and ``cols`` broadcast to them."""
    if MASK == "add":
        scores = scores + tile.astype(scores.dtype)
    allowed = cols < keys
    if CAUSAL:
        allowed = allowed & (cols <= rows)
    if MASK == "bool":
        allowed = allowed & tile
    return pk.where(allowed, scores, -INF)


@pk.kernel(name="attention", configs=CONFIGS)
def attention_kernel(
    q, k, v, mask, out, lse, scale,
    HEAD: pk.constexpr[int],
    VALUE: pk.constexpr[int],
    MASK: pk.constexpr[str] = "none",
    AXES: pk.constexpr[str] = "mn",
    CAUSAL: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = 64,
    BN: pk.constexpr[int] = 64,
):  # fmt: skip
    """out ``(B, H, S, VALUE)`` = softmax(scale·q @ kᵀ + mask) @ v, and the logarithm of each row's sum in lse ``(B, H, S)``.

    q ``(B, H, S, HEAD)``, k ``(B, G, T, HEAD)``, v ``(B, G, T, VALUE)`` with G a divisor of H: H / G heads in a row share one
    of k and v. mask ``(B, H, S, T)``, of length 1 in S or T where AXES lacks m or n; MASK is none (not read), bool (True: look) or
    add. CAUSAL: row i looks at columns up to i. Grid: cdiv(S, BM) · H · B. Any strides. A row that may look nowhere
    gives 0 and -inf.
    """
    i, h, b = head_of(q, BM)
    shared = h // (q.shape[1] // k.shape[1])
    keys = k.shape[2]
    rows = (i * BM + pk.arange(BM))[:, None]
    queries = block(q, (b, h, i, 0), BM, HEAD)
    wide = dot_accumulator(q.dtype)
    top = pk.full((BM,), -INF, wide)
    total = pk.zeros((BM,), wide)
    acc = pk.zeros((BM, VALUE), wide)
    stop = pk.cdiv(keys, BN)
    if CAUSAL:
        stop = pk.minimum(stop, pk.cdiv(i * BM + BM, BN))
    for j in range(stop):
        scores = pk.dot(queries, block(k, (b, shared, j, 0), BN, HEAD).T, pk.zeros((BM, BN), wide))
        tile = block(mask, (b, h, i, j), BM, BN, AXES) if MASK != "none" else None
        cols = (j * BN + pk.arange(BN))[None, :]
        scores = masked(scores * pk.astype(scale, wide), tile, rows, cols, keys, MASK, CAUSAL)
        higher = pk.maximum(top, scores.max(axis=1))
        base = pk.where(higher == -INF, 0.0, higher)
        weights = pk.exp(scores - base[:, None])
        fade = pk.exp(top - base)
        total = total * fade + weights.sum(axis=1)
        values = block(v, (b, shared, j, 0), BN, VALUE)
        acc = pk.dot(weights.astype(v.dtype), values, acc * fade[:, None])
        top = higher
    base = pk.where(top == -INF, 0.0, top)
    put(out, (b, h, i, 0), acc / pk.where(total == 0.0, 1.0, total)[:, None])
    pk.store(lse, (b, h, i), (base + pk.log(total)).reshape(1, 1, BM))
