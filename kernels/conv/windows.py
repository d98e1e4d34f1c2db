"""Convolution with stride 1 on one thread a program: windows read as whole tiles from a padded copy of the images.

The copy keeps channels apart and lays rows, planes and images end to end, each followed by the zeros that its neighbour
needs too. In it, tap k of the window of position p lies at p plus a constant, whatever the border: a tile of consecutive
positions is a tile of consecutive elements for every channel and tap, so that overlapping views of the copy are the right
operand of a matrix product. Positions past the end of a row are computed for nothing, and dropped by the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.dtypes import dot_accumulator

from .. import arrays
from .blocks import block_of, store_block
from .geometry import Triple
from .sizes import Sides
from .views import Array


@pk.kernel
def conv_arrange(
    x,
    out,
    BLOCK: pk.constexpr[tuple] = (1, 1, 1, 8),
    ROW: pk.constexpr[int] = 64,
):
    """out ``(C + 1 + more, N, DP, HP, ROW)`` from x ``(N, C, D, H, W)``, any strides: channels first, zeros all around.

    ``out[c + 1, n, :D, :H, :W] = x[n, c]`` and zeros elsewhere. Grid: (HP / BLOCK[3] · DP / BLOCK[2], N / BLOCK[1],
    channels of out / BLOCK[0]). Exact.
    """
    c, n = pk.program_id(2), pk.program_id(1)
    rows = pk.cdiv(out.shape[3], BLOCK[3])
    d, h = pk.program_id(0) // rows, pk.program_id(0) % rows
    BC, BI, BD, BH = BLOCK
    for k in pk.static_range(BC):
        at = c * BC + k
        tile = pk.load(x, (n, at - 1, d, h, 0), (BI, 1, BD, BH, ROW))
        pk.store(out, (at, n, d, h, 0), tile.reshape((1, BI, BD, BH, ROW)))


@pk.kernel
def conv_windows(
    x,
    weight,
    bias,
    residual,
    out,
    base,
    deep,
    tall,
    skip,
    TAPS: pk.constexpr[tuple] = (1, 1, 1),
    BLOCK: pk.constexpr[tuple] = (1, 1, 1, 8),
    ROW: pk.constexpr[int] = 8,
    TRANSPOSED: pk.constexpr[bool] = False,
    BIAS: pk.constexpr[bool] = False,
    RESIDUAL: pk.constexpr[bool] = False,
    ACTIVATION: pk.constexpr[object] = "none",
    BM: pk.constexpr[int] = 8,
    BN: pk.constexpr[int] = 32,
    BC: pk.constexpr[int] = 8,
):
    """out ``(N, O, OD, OH, OW)`` from overlapping windows x and weight ``(O, C·taps)``, or ``(O, C, KD, KH·KW)`` if KD > 1.

    ``x[base + s, c, i, j, p]`` is what tap (0, i, j) of channel c sees at position ``s + p`` of the padded copy that
    :func:`conv_arrange` makes, with ``deep`` planes an image, ``tall`` rows a plane and ROW positions a row; tap (d, i, j)
    sees it ``d · skip`` further on. A program computes BLOCK = (images, planes, rows, columns) of the output, of which
    only the first may have an extent that is not 1 or the whole of the copy's; BN is at least the positions that it
    takes. TRANSPOSED reads weight as ``(C, O, KD, KH·KW)``. Grid: (blocks, O / BM). Dtypes, epilogue and error as
    :func:`conv`.
    """
    BI, BD, BH, BW = BLOCK
    KD, KH, KW = TAPS
    n, d, h, w = block_of(out, BLOCK)
    i = pk.program_id(1)
    start = base + ((n * (BI * deep) + d * BD) * tall + h * BH) * ROW + w * BW
    acc = pk.zeros((BM, BN), dot_accumulator(x.dtype))
    terms = BC * KH * KW
    for step in range(pk.cdiv(x.shape[1], BC) * KD):
        k, z = step // KD, step % KD
        if TRANSPOSED:
            a = pk.load(weight, (k, i, z, 0), (BC, BM, 1, KH * KW)).transpose((1, 0, 2, 3)).reshape((BM, terms))
        elif KD == 1:
            a = pk.load(weight, (i, k), (BM, terms))
        else:
            a = pk.load(weight, (i, k, z, 0), (BM, BC, 1, KH * KW)).reshape((BM, terms))
        seen = pk.load(x, (start + z * skip, k, 0, 0, 0), (1, BC, KH, KW, BN)).reshape((terms, BN))
        acc = pk.dot(a, seen, acc)
    store_block(acc, bias, residual, out, (n, i, d, h, w), BLOCK, BIAS, RESIDUAL, ACTIVATION)


# --- host side ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Padded:
    """The geometry of a padded copy: what an image of ``size`` takes, and where windows begin in it."""

    channels: int
    images: int
    size: Triple
    """Planes, rows and positions of an image, with its zeros."""
    front: Triple
    step: Triple
    """Positions between neighbouring taps along each axis."""
    kernel: Triple

    @property
    def plane(self) -> int:
        return self.size[1] * self.size[2]

    @property
    def channel(self) -> int:
        """Elements of a channel."""
        return self.images * self.size[0] * self.plane

    @property
    def origin(self) -> int:
        """Where tap 0 of the first position of the first channel lies, behind the zeros of a whole channel."""
        front, (_, tall, row) = self.front, self.size
        return self.channel - (front[0] * tall + front[1]) * row - front[2]

    @property
    def reach(self) -> tuple[int, int]:
        """The lowest and the highest that a tap lies from tap 0."""
        ends = [(k - 1) * s for k, s in zip(self.kernel, self.step, strict=True)]
        return sum(e for e in ends if e < 0), sum(e for e in ends if e > 0)


MOST = 1 << 28
"""Elements of a copy; larger images are convolved where they lie."""


@lru_cache(maxsize=1024)
def padded(
    image: tuple[int, ...], size: tuple[int, ...], kernel: Triple, front: Triple, dilation: Triple
) -> Padded | None:
    """The copy of images ``(N, C, D, H, W)`` for outputs of ``size``; None if it does not suit, or would be too large."""
    room = []
    for n, out, k, before, step in zip(image[2:], size, kernel, front, dilation, strict=True):
        low, high = min(0, (k - 1) * step) - before, max(0, (k - 1) * step) - before + out - 1
        room.append(max(n + max(-low, high - n + 1, 0), out))
    if any(abs(f) > n for f, n in zip(front, room, strict=True)):
        return None
    _, tall, row = room
    steps = (dilation[0] * tall * row, dilation[1] * row, dilation[2])
    found = Padded(image[1], image[0], (room[0], tall, row), front, steps, kernel)
    fits = found.channel * (found.channels + 2) <= MOST
    return found if fits and found.origin + found.reach[0] >= 0 else None


def workspace(x: Array, size: int, dtype: pk.DType) -> Array:
    """Memory for ``size`` elements where a launch with x can use it; host memory is NumPy's, whose views may run backwards."""
    if pk.on_host(x):
        return pk.note_allocation(np.empty((size,), dtype.np))
    return arrays.empty(x, (size,), dtype)


def arranged(x: Array, at: Padded, slack: int, route: dict[str, Any]) -> Array:
    """The padded copy of x ``(N, C, D, H, W)``, flat, with ``slack`` positions that can be read behind the last channel."""
    more = pk.cdiv(slack + at.reach[1] + max(0, at.origin - at.channel), at.channel)
    deep, tall, row = at.size
    channels = at.channels + 1 + more
    flat = workspace(x, channels * at.channel, arrays.dtype_of("x", x))
    block = _copied(channels, at.images, deep, tall, row)
    out = flat.reshape((channels, at.images, deep, tall, row))
    grid = (
        pk.cdiv(tall, block[3]) * pk.cdiv(deep, block[2]),
        pk.cdiv(at.images, block[1]),
        pk.cdiv(channels, block[0]),
    )
    conv_arrange[grid](x, out, BLOCK=block, ROW=row, **route)
    return flat


def _copied(channels: int, images: int, deep: int, tall: int, row: int) -> tuple[int, int, int, int]:
    """Channels, images, planes and rows that a program of ``conv_arrange`` takes: some thousand elements."""
    room = max(1, 8192 // row)
    rows = min(tall, room)
    planes = min(deep, max(1, room // rows)) if rows == tall else 1
    count = min(images, max(1, room // (rows * planes))) if planes == deep else 1
    left = room // (rows * planes * count) if count == images else 1
    return min(channels, 16, max(1, 1 << (left.bit_length() - 1)) if left else 1), count, planes, rows


def launch_windows(
    copy: Array, at: Padded, weight: Array, out: Array, sides: Sides, transposed: bool, given: Sequence[Array | None],
    epilogue: dict[str, Any],
) -> None:  # fmt: skip
    """The product, from the padded copy. ``given`` is bias and residual."""
    kd, kh, kw = at.kernel
    over = (kd - 1) * at.step[0]
    base = max(0, -over)
    starts = at.channel + abs(over)
    view = arrays.View(
        copy[at.origin - base :],
        (starts, at.channels, kh, kw, sides.columns),
        (1, at.channel, at.step[1], at.step[2], 1),
    ).array()
    deep, tall, row = at.size
    bi, bd, bh, bw = sides.block
    n, o, od, oh, ow = out.shape
    blocks = pk.cdiv(n, bi) * pk.cdiv(od, bd) * pk.cdiv(oh, bh) * pk.cdiv(ow, bw)
    bias, residual = (view if a is None else a for a in given)
    conv_windows[(blocks, pk.cdiv(o, sides.rows))](
        view, weight, bias, residual, out, base, deep, tall, at.step[0], TAPS=at.kernel, BLOCK=sides.block, ROW=row, TRANSPOSED=transposed, BM=sides.rows,
        BN=sides.columns, BC=sides.channels, **epilogue,
    )  # fmt: skip
