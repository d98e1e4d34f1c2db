"""Sums of a depth that was cut into shares, added up in a fixed order: the same bits on every run."""

from __future__ import annotations

import portkernel as pk

from .dense import pixel_of


@pk.kernel
def add_shares(parts, out, B: pk.constexpr[int] = pk.auto(64, 4096)):
    """out ``(O, C, KD, KH, KW)``, any strides: the sum of parts ``(S, O·C·KD·KH·KW)`` over S, in the order of S.

    Grid: (O · C · KD · KH · KW / B,). Accumulates in the dtype of parts. Error: γ(S - 1)·(sum of |parts|), one rounding.
    """
    i = pk.program_id(0)
    total = pk.zeros((1, B), parts.dtype)
    for s in range(parts.shape[0]):
        total = total + pk.load(parts, (s, i), (1, B))
    first, kz, ky, kx = pixel_of(i * B + pk.arange(B), out.shape)
    channels = out.shape[1]
    pk.scatter(out, (first // channels, first % channels, kz, ky, kx), total.reshape((B,)).astype(out.dtype))


@pk.kernel
def turn_shares(parts, out, BM: pk.constexpr[int] = pk.auto(1, 32), BN: pk.constexpr[int] = pk.auto(1, 32)):
    """out ``(O, K)``, any strides: the sum of parts ``(S, K, O)`` over S, in the order of S, turned round.

    Grid: (K / BM, O / BN). Accumulates in the dtype of parts. Error: γ(S - 1)·(sum of |parts|), one rounding.
    """
    i, j = pk.program_id(0), pk.program_id(1)
    total = pk.zeros((1, BM, BN), parts.dtype)
    for s in range(parts.shape[0]):
        total = total + pk.load(parts, (s, i, j), (1, BM, BN))
    pk.store(out, (j, i), total.reshape((BM, BN)).transpose().astype(out.dtype))
