"""What PyTorch and ONNX have and NumPy's operators have not: C's division, row-major places. Functions of tiles."""

from __future__ import annotations

from typing import Any

import portkernel as pk

Tile = Any


def quotient(x: Tile, y: Tile) -> Tile:
    """Of integers, rounded towards zero."""
    q = x // y
    return pk.where(pk.logical_and(q < 0, q * y != x), q + 1, q)


def fmod(x: Tile, y: Tile) -> Tile:
    """The remainder with the sign of x."""
    if x.dtype.is_float:
        rest = pk.abs(x) % pk.abs(y)  # also of an infinite y
        return pk.where(x < 0, -rest, rest)
    rest = x % y  # the least integer has no absolute value
    return pk.where(pk.logical_and(rest != 0, (rest < 0) != (x < 0)), rest - y, rest)


def place(i: Tile, n: Tile, step: Tile) -> Tile:
    """What an index into an axis of ``n``, perhaps from its end, adds to a row-major place; checked."""
    wide = i.astype(pk.int64)
    pk.device_assert(pk.logical_and(wide >= -n, wide < n), "an index outside the axis")
    return pk.where(wide < 0, wide + n, wide) * step
