"""What kernels that compute whole blocks of the output share: where a program's block lies, and how it is stored."""

from __future__ import annotations

import portkernel as pk

from ..activations import activate


def block_of(out, BLOCK):
    """(image, plane, row, column) of this program's BLOCK of out ``(N, O, OD, OH, OW)``, in blocks; columns run fastest."""
    _, BD, BH, BW = BLOCK
    wide, rows, planes = pk.cdiv(out.shape[4], BW), pk.cdiv(out.shape[3], BH), pk.cdiv(out.shape[2], BD)
    t = pk.program_id(0)
    return t // (wide * rows * planes), t // (wide * rows) % planes, t // wide % rows, t % wide


def store_block(acc, bias, residual, out, place, BLOCK, BIAS, RESIDUAL, ACTIVATION):
    """Store ``activation(acc + bias + residual)`` at ``place`` (image, channel, plane, row, column) of out, in blocks.

    acc is ``(BM, BN)``: BM channels, and BLOCK = (images, planes, rows, columns) in the first of its columns.
    """
    BI, BD, BH, BW = BLOCK
    BM, BN = acc.shape
    if BIAS:
        acc = acc + pk.load(bias, (place[1],), (BM,)).astype(acc.dtype)[:, None]
    tile = acc
    if BN > BI * BD * BH * BW:
        tile = pk.extract(acc, (0, 0), (BM, BI * BD * BH * BW))
    tile = tile.reshape((BM, BI, BD, BH, BW)).transpose((1, 0, 2, 3, 4))
    if RESIDUAL:
        tile = tile + pk.load(residual, place, (BI, BM, BD, BH, BW)).astype(acc.dtype)
    pk.store(out, place, activate(tile, ACTIVATION).astype(out.dtype))
