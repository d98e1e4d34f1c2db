"""Counter-based random numbers: Philox 4x32-10, the same stream on every backend.

Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3; constants from its
table 2. Written with the language's own integer operations, so that no backend has a generator of its own.
"""

from __future__ import annotations

from ..dtypes import float32, int32, uint32, uint64
from ..errors import DTypeError
from .elementwise import binary, unary
from .op import op
from .values import TileLike, TileValue, as_tile, cast_to

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def _word(x: TileLike, where: str) -> TileValue:
    tile = as_tile(x, where)
    if not tile.dtype.is_integer:
        raise DTypeError(f"{where}: expected integers, got {tile.dtype}")
    return tile


def _halves(x: TileValue) -> tuple[TileValue, TileValue]:
    """Low and high 32 bits."""
    wide = cast_to(x, uint64)
    return cast_to(wide, uint32), cast_to(binary("shr", wide, 32), uint32)


def _multiply(x: TileValue, factor: int) -> tuple[TileValue, TileValue]:
    """Low and high words of the 64-bit product."""
    return _halves(binary("mul", cast_to(x, uint64), factor))


@op
def philox(seed: TileLike, offset: TileLike) -> tuple[TileValue, TileValue, TileValue, TileValue]:
    """Four independent uint32 tiles of random bits for each element of ``offset``.

    ``seed`` (an integer scalar, 64 bits count) is the key, ``offset`` (an integer tile) the counter.
    """
    key = _halves(_word(seed, "philox(): seed"))
    low, high = _halves(_word(offset, "philox(): offset"))
    zero = binary("mul", low, 0)
    c0, c1, c2, c3 = low, high, zero, zero
    k0, k1 = key
    for _ in range(_ROUNDS):
        lo0, hi0 = _multiply(c0, _MULTIPLIERS[0])
        lo1, hi1 = _multiply(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = binary("xor", binary("xor", hi1, c1), k0), lo1, binary("xor", binary("xor", hi0, c3), k1), lo0
        k0, k1 = binary("add", k0, _WEYL[0]), binary("add", k1, _WEYL[1])
    return c0, c1, c2, c3


def _uniform(bits: TileValue) -> TileValue:
    """float32 in [0, 1): the upper 24 bits, exact."""
    return binary("mul", cast_to(binary("shr", bits, 8), float32), 2.0**-24)


@op
def rand(seed: TileLike, offset: TileLike) -> TileValue:
    """Uniform float32 in [0, 1) for each element of the integer tile ``offset``; bit-identical on every backend."""
    return _uniform(philox(seed, offset)[0])


@op
def randn(seed: TileLike, offset: TileLike) -> TileValue:
    """Standard normal float32 for each element of ``offset`` (Box and Muller 1958); equal within the bounds of log, sqrt and cos."""
    first, second, _, _ = philox(seed, offset)
    radius = unary("sqrt", binary("mul", unary("log", binary("sub", 1.0, _uniform(first))), -2.0))
    return binary("mul", radius, unary("cos", binary("mul", _uniform(second), 6.283185307179586)))


@op
def randint(seed: TileLike, offset: TileLike) -> TileValue:
    """Uniform int32 over its whole range for each element of ``offset``."""
    return cast_to(philox(seed, offset)[0], int32)
