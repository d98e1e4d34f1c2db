"""Convolution with a stride on one thread a program: windows as whole tiles of a copy that keeps the phases apart.

Elements whose coordinates leave the same remainder by the stride form a phase: an image of its own, in which neighbouring
outputs see neighbours. So the convolution is a sum of ones with stride 1, one for each phase, over the taps that fall
into it; each as :mod:`.windows` does it. No product is computed for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import gcd, prod
from typing import Any

import portkernel as pk
from portkernel.dtypes import dot_accumulator

from .. import arrays
from .blocks import block_of, store_block
from .geometry import Triple
from .sizes import Sides
from .views import Array
from .windows import MOST, workspace


@pk.kernel
def conv_split(
    x,
    out,
    deep,
    STRIDE: pk.constexpr[tuple] = (1, 1, 1),
    BLOCK: pk.constexpr[tuple] = (1, 8),
    ROW: pk.constexpr[int] = 64,
):
    """out ``(F, C + 1 + more, N·deep, HP, ROW)`` from x ``(N, C, D, H, W)``, any strides: phases first, then channels.

    With STRIDE (z, y, x) and F = z·y·x, ``out[(i·y + j)·x + k, c + 1, n·deep:] = x[n, c, i::z, j::y, k::x]``, and zeros
    elsewhere. Grid: (HP / BLOCK[1] · deep, N, channels of out / BLOCK[0]). Exact.
    """
    BC, BH = BLOCK
    Z, Y, X = STRIDE
    c, n = pk.program_id(2), pk.program_id(1)
    rows = pk.cdiv(out.shape[3], BH)
    d, h = pk.program_id(0) // rows, pk.program_id(0) % rows
    for k in pk.static_range(BC):
        at = c * BC + k
        tile = pk.load(x, (n, at - 1, d, h, 0), (1, 1, Z, BH * Y, ROW * X)).reshape((Z, BH, Y, ROW, X))
        tile = tile.transpose((0, 2, 4, 1, 3)).reshape((Z * Y * X, 1, 1, BH, ROW))
        pk.store(out, (0, at, n * deep + d, h, 0), tile)


@pk.kernel
def conv_split_weight(
    weight,
    out,
    STRIDE: pk.constexpr[tuple] = (1, 1, 1),
    PHASES: pk.constexpr[tuple] = (),
    BM: pk.constexpr[int] = 8,
    BC: pk.constexpr[int] = 8,
):
    """out ``(F, O, C, most planes of taps, most taps in one)`` from weight ``(O, C, KD, KH, KW)``, any strides.

    Each of PHASES is (its number, taps along each axis, the first of them, ...), its taps STRIDE apart. What no tap fills
    stays as it was. Grid: (O / BM, C / BC). Exact.
    """
    i, c = pk.program_id(0), pk.program_id(1)
    for p in pk.static_range(len(PHASES)):
        f, taps, first = PHASES[p][0], PHASES[p][1], PHASES[p][2]
        for t in range(taps[0] * taps[1] * taps[2]):
            z, y, x = t // (taps[1] * taps[2]), t // taps[2] % taps[1], t % taps[2]
            place = (i, c, first[0] + z * STRIDE[0], first[1] + y * STRIDE[1], first[2] + x * STRIDE[2])
            tile = pk.load(weight, place, (BM, BC, 1, 1, 1)).reshape((1, BM, BC, 1, 1))
            pk.store(out, (f, i, c, z, y * taps[2] + x), tile)


@pk.kernel
def conv_phases(
    x,
    weight,
    bias,
    residual,
    out,
    deep,
    tall,
    skip,
    PHASES: pk.constexpr[tuple] = (),
    BLOCK: pk.constexpr[tuple] = (1, 1, 1, 8),
    ROW: pk.constexpr[int] = 8,
    BIAS: pk.constexpr[bool] = False,
    RESIDUAL: pk.constexpr[bool] = False,
    ACTIVATION: pk.constexpr[object] = "none",
    BM: pk.constexpr[int] = 8,
    BN: pk.constexpr[int] = 32,
    BC: pk.constexpr[int] = 8,
):
    """out ``(N, O, OD, OH, OW)`` from overlapping windows x and weight ``(F, O, C, planes of taps, taps in one)``.

    Each of PHASES is (its number f, taps along each axis, the first of them, base). ``x[base + s, c, i, j, p]`` is what
    tap (0, i, j) of phase f of channel c sees at position ``s + p`` of the copy that :func:`conv_split` makes, with ``deep``
    planes an image, ``tall`` rows a plane and ROW positions a row; tap (d, i, j) sees it ``d · skip`` further on. Blocks,
    grid, dtypes, epilogue and error as :func:`conv_windows`.
    """
    BI, BD, BH, BW = BLOCK
    n, d, h, w = block_of(out, BLOCK)
    i = pk.program_id(1)
    start = ((n * (BI * deep) + d * BD) * tall + h * BH) * ROW + w * BW
    acc = pk.zeros((BM, BN), dot_accumulator(x.dtype))
    for p in pk.static_range(len(PHASES)):
        f, taps, base = PHASES[p][0], PHASES[p][1], PHASES[p][3]
        terms = BC * taps[1] * taps[2]
        for step in range(pk.cdiv(x.shape[1], BC) * taps[0]):
            k, z = step // taps[0], step % taps[0]
            a = pk.load(weight, (f, i, k, z, 0), (1, BM, BC, 1, taps[1] * taps[2])).reshape((BM, terms))
            seen = pk.load(x, (start + base + z * skip, k, 0, 0, 0), (1, BC, taps[1], taps[2], BN)).reshape((terms, BN))
            acc = pk.dot(a, seen, acc)
    store_block(acc, bias, residual, out, (n, i, d, h, w), BLOCK, BIAS, RESIDUAL, ACTIVATION)


# --- host side ----------------------------------------------------------------------------------------------

Phase = tuple[int, Triple, Triple, int]
"""Its number, its taps along each axis, the first of them, and where they begin in the copy."""


@dataclass(frozen=True, slots=True)
class Split:
    """The geometry of the copy of a strided convolution: every phase takes the same room."""

    channels: int
    images: int
    size: Triple
    """Planes, rows and positions of an image of one phase, with its zeros."""
    stride: Triple
    origin: int
    """Where the lowest tap of the first position of the first channel lies, behind the zeros of a whole channel."""
    step: Triple
    """Positions between neighbouring taps of a phase along each axis."""
    apart: Triple
    """Taps of the kernel between neighbouring taps of a phase."""
    phases: tuple[Phase, ...]
    """Those that a tap sees."""

    @property
    def count(self) -> int:
        return prod(self.stride)

    @property
    def channel(self) -> int:
        """Elements of a channel of one phase."""
        return self.images * prod(self.size)

    @property
    def most(self) -> Triple:
        """The most taps that a phase has along each axis."""
        return tuple(max(p[1][axis] for p in self.phases) for axis in range(3))  # type: ignore[return-value]

    @property
    def reach(self) -> int:
        """From the lowest tap to the highest, at most."""
        return max(p[3] + sum((k - 1) * s for k, s in zip(p[1], self.step, strict=True)) for p in self.phases)


def _axis(kernel: int, stride: int, dilation: int, before: int) -> list[tuple[int, int, int]]:
    """For each phase along one axis that a tap sees: its number, its first tap, and how far on in the phase that is."""
    found: dict[int, tuple[int, int, int]] = {}
    for k in range(kernel):
        shift, phase = divmod(k * dilation - before, stride)
        found.setdefault(phase, (phase, k, shift))
    return list(found.values())


@lru_cache(maxsize=1024)
def split(
    image: tuple[int, ...], size: tuple[int, ...], kernel: Triple, stride: Triple, front: Triple, dilation: Triple
) -> Split | None:
    """The copy of images ``(N, C, D, H, W)`` for outputs of ``size``; None if it would be too large."""
    axes = [_axis(*of) for of in zip(kernel, stride, dilation, front, strict=True)]
    apart = tuple(s // gcd(s, d) for s, d in zip(stride, dilation, strict=True))
    room, lowest = [], []
    for n, out, k, before, s, d in zip(image[2:], size, kernel, front, stride, dilation, strict=True):
        low, high, whole = -before // s, ((k - 1) * d - before) // s + out - 1, pk.cdiv(n, s)
        room.append(max(whole + max(-low, high - whole + 1, 0), out))
        lowest.append(low)
    if any(abs(low) > n for low, n in zip(lowest, room, strict=True)):
        return None
    _, tall, row = room
    away = (tall * row, row, 1)
    phases = tuple(
        (
            sum(p[0] * prod(stride[axis + 1 :]) for axis, p in enumerate(at)),
            tuple(pk.cdiv(k - p[1], a) for k, p, a in zip(kernel, at, apart, strict=True)),
            tuple(p[1] for p in at),
            sum((p[2] - low) * a for p, low, a in zip(at, lowest, away, strict=True)),
        )
        for at in product(*axes)
    )
    step = tuple(d // gcd(s, d) * a for s, d, a in zip(stride, dilation, away, strict=True))
    channel = image[0] * prod(room)
    origin = channel + sum(low * a for low, a in zip(lowest, away, strict=True))
    found = Split(image[1], image[0], tuple(room), stride, origin, step, apart, phases)  # type: ignore[arg-type]
    return found if origin >= 0 and found.count * channel * (image[1] + 2) <= MOST else None


def split_copy(x: Array, at: Split, slack: int, route: dict[str, Any]) -> tuple[Array, int]:
    """The copy of x ``(N, C, D, H, W)``, flat, with ``slack`` positions that can be read behind the last channel; the
    elements of a phase."""
    more = pk.cdiv(slack + at.reach + max(0, at.origin - at.channel), at.channel)
    deep, tall, row = at.size
    channels = at.channels + 1 + more
    flat = workspace(x, at.count * channels * at.channel, arrays.dtype_of("x", x))
    rows = max(1, min(tall, 4096 // (row * at.count)))
    count = min(channels, 16, max(1, 4096 // (rows * row * at.count))) if rows == tall else 1
    grid = (pk.cdiv(tall, rows) * deep, at.images, pk.cdiv(channels, count))
    out = flat.reshape((at.count, channels, at.images * deep, tall, row))
    conv_split[grid](x, out, deep, STRIDE=at.stride, BLOCK=(count, rows), ROW=row, **route)
    return flat, channels * at.channel


def _split_weight(weight: Array, at: Split, route: dict[str, Any]) -> Array:
    """weight ``(O, C, KD, KH, KW)`` as :func:`conv_phases` reads it."""
    o, c = weight.shape[:2]
    kd, kh, kw = at.most
    out = workspace(weight, at.count * o * c * kd * kh * kw, arrays.dtype_of("weight", weight))
    out = out.reshape((at.count, o, c, kd, kh * kw))
    bm = min(o, 8)
    bc = min(c, 32)
    conv_split_weight[(pk.cdiv(o, bm), pk.cdiv(c, bc))](
        weight, out, STRIDE=at.apart, PHASES=at.phases, BM=bm, BC=bc, **route
    )
    return out


def launch_phases(
    x: Array, at: Split, weight: Array, out: Array, sides: Sides, given: Sequence[Array | None], epilogue: dict[str, Any],
    route: dict[str, Any],
) -> None:  # fmt: skip
    """The copies and the product. ``given`` is bias and residual."""
    copy, phase = split_copy(x, at, sides.columns, route)
    _, kh, kw = at.most
    phases = tuple((f, taps, first, f * phase + base) for f, taps, first, base in at.phases)
    starts = at.channel + max(p[3] + (p[1][0] - 1) * at.step[0] for p in phases)
    view = arrays.View(
        copy[at.origin :], (starts, at.channels, kh, kw, sides.columns), (1, at.channel, at.step[1], at.step[2], 1)
    ).array()
    deep, tall, row = at.size
    n, o, od, oh, ow = out.shape
    bi, bd, bh, bw = sides.block
    blocks = pk.cdiv(n, bi) * pk.cdiv(od, bd) * pk.cdiv(oh, bh) * pk.cdiv(ow, bw)
    bias, residual = (view if a is None else a for a in given)
    conv_phases[(blocks, pk.cdiv(o, sides.rows))](
        view, _split_weight(weight, at, route), bias, residual, out, deep, tall, at.step[0], PHASES=phases,
        BLOCK=sides.block, ROW=row, BM=sides.rows, BN=sides.columns, BC=sides.channels, **epilogue,
    )  # fmt: skip
