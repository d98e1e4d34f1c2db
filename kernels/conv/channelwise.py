"""Convolution of each channel by itself on one thread a program, and its weight gradient: tiles of the padded copy that
:mod:`.windows` makes, shifted by each tap."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import portkernel as pk
from portkernel.dtypes import dot_accumulator

from .. import arrays
from ..activations import activate
from .views import Array
from .windows import Padded

MOST_TAPS = 16
"""Taps along a row up to which they are unrolled."""
_NARROW = 24
"""Columns below which rows are taken end to end, with what lies between."""
_TILE = 4096
"""Elements of a tile: sums and what they read stay in the first-level cache."""


@pk.kernel
def conv_channels(
    x,
    weight,
    bias,
    residual,
    out,
    base,
    deep,
    tall,
    z_step,
    y_step,
    ROW: pk.constexpr[int] = 8,
    TAPS: pk.constexpr[tuple] = (1, 1, 1),
    X_STEP: pk.constexpr[int] = 1,
    BIAS: pk.constexpr[bool] = False,
    RESIDUAL: pk.constexpr[bool] = False,
    ACTIVATION: pk.constexpr[object] = "none",
    BLOCK: pk.constexpr[tuple] = (1, 8, 8),
    FLAT: pk.constexpr[bool] = False,
):
    """out ``(N, C, OD, OH, OW)`` from windows x ``(S, C, h, w)`` and weight ``(C, taps)``.

    ``x[base + s, c, i, j]`` is what tap 0 of channel c sees at position ``s + i·ROW + j`` of the copy that
    :func:`conv_arrange` makes, with ``deep`` planes an image and ``tall`` rows a plane; tap (k, i, j) sees it
    ``k·z_step + i·y_step + j·X_STEP`` further on. A program computes BLOCK = (channels, rows, columns) of one plane; if
    FLAT, h is 1 and w runs on over all of them, ROW columns a row. Grid: (blocks of a plane, N · OD, C / BLOCK[0]).
    Dtypes, epilogue and error as :func:`conv_depthwise`.
    """
    BC, BH, BW = BLOCK
    KD, KH, KW = TAPS
    across = pk.cdiv(out.shape[4], BW)
    h, w = pk.program_id(0) // across, pk.program_id(0) % across
    n, d = pk.program_id(1) // out.shape[2], pk.program_id(1) % out.shape[2]
    c = pk.program_id(2)
    start = base + ((n * deep + d) * tall + h * BH) * ROW + w * BW
    rows, columns = (1, BH * BW) if FLAT else (BH, BW)
    acc = pk.zeros((BC, rows, columns), dot_accumulator(x.dtype))
    for tap in range(KD * KH):
        there = start + tap // KH * z_step + tap % KH * y_step
        for k in pk.static_range(KW):
            a = pk.load(weight, (c, tap * KW + k), (BC, 1)).astype(acc.dtype)
            seen = pk.load(x, (there + k * X_STEP, c, 0, 0), (1, BC, rows, columns)).reshape((BC, rows, columns))
            acc = acc + a[:, :, None] * seen.astype(acc.dtype)
    acc = acc.reshape((BC, BH, BW))
    place = (n, c, d, h, w)
    if BIAS:
        acc = acc + pk.load(bias, (c,), (BC,)).astype(acc.dtype)[:, None, None]
    if RESIDUAL:
        acc = acc + pk.load(residual, place, (1, BC, 1, BH, BW)).reshape((BC, BH, BW)).astype(acc.dtype)
    pk.store(out, place, activate(acc, ACTIVATION).astype(out.dtype).reshape((1, BC, 1, BH, BW)))


@pk.kernel
def conv_channels_gradient(
    x,
    grad,
    out,
    base,
    deep,
    tall,
    z_step,
    y_step,
    x_step,
    ROW: pk.constexpr[int] = 8,
    TAPS: pk.constexpr[tuple] = (1, 1, 1),
    BLOCK: pk.constexpr[tuple] = (8, 16),
):
    """out ``(S, C, taps)``, shares of the gradient for the weight of :func:`conv_channels`, from grad ``(N, C, OD, OH, OW)``.

    ``out[s, c, k] = sum over positions p of tile s of grad[n, c, p]·(what tap k sees at p)``; tiles of BLOCK = (rows,
    columns) follow each other along a row, a plane, an image. x is as in :func:`conv_channels`; what lies past the end of
    a row is multiplied by 0. Grid: (tiles, C). Accumulates in float64 for float64, float32 else. Error: γ(P)·(sum of
    |products|).
    """
    BH, BW = BLOCK
    _, KH, KW = TAPS
    step, c = pk.program_id(0), pk.program_id(1)
    tiles, across = pk.cdiv(grad.shape[3], BH), pk.cdiv(grad.shape[4], BW)
    w, h = step % across, step // across % tiles
    d, n = step // (across * tiles) % grad.shape[2], step // (across * tiles) // grad.shape[2]
    start = base + ((n * deep + d) * tall + h * BH) * ROW + w * BW
    wide = dot_accumulator(x.dtype)
    dy = pk.load(grad, (n, c, d, h, w), (1, 1, 1, BH, BW)).reshape((BH, BW)).astype(wide)
    for tap in range(TAPS[0] * KH * KW):
        there = start + tap // (KH * KW) * z_step + tap // KW % KH * y_step + tap % KW * x_step
        seen = pk.load(x, (there, c, 0, 0), (1, 1, BH, BW)).reshape((BH, BW)).astype(wide)
        total = (dy * seen).sum(axis=0).sum(axis=0)
        pk.store(out, (step, c, tap), total.reshape((1, 1, 1)).astype(out.dtype))


# --- host side ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def tiles_of(channels: int, size: tuple[int, ...], row: int, least: int) -> tuple[bool, tuple[int, int, int]]:
    """Whether rows are taken end to end, and channels, rows and columns of a tile; ``least`` programs or more."""
    flat = size[-1] < _NARROW
    columns = row if flat else min(size[-1], _TILE)
    rows = max(1, min(size[-2], _TILE // columns))
    planes = pk.cdiv(size[-1], columns) * pk.cdiv(size[-2], rows)
    count = max(1, min(_TILE // (rows * columns), channels * planes // least))
    return flat, (1 << (count.bit_length() - 1), rows, columns)


def seen_by(copy: Array, at: Padded, block: tuple[int, int, int], flat: bool) -> Array:
    """The windows that begin at each position of an image, from the lowest tap of its first on."""
    _, rows, columns = block
    row = at.size[2]
    shape, steps = ((1, rows * columns), (0, 1)) if flat else ((rows, columns), (row, 1))
    starts = at.channel + at.reach[1] - at.reach[0]
    return arrays.View(copy[at.origin + at.reach[0] :], (starts, at.channels, *shape), (1, at.channel, *steps)).array()


def launch_channels(
    copy: Array, at: Padded, weight: Array, out: Array, given: Sequence[Array | None], units: int,
    epilogue: dict[str, Any],
) -> None:  # fmt: skip
    """``weight`` is ``(C, taps)``, ``given`` bias and residual."""
    n, c, od, oh, ow = out.shape
    flat, block = tiles_of(c, (oh, ow), at.size[2], 4 * units)
    view = seen_by(copy, at, block, flat)
    bias, residual = (view if a is None else a for a in given)
    grid = (pk.cdiv(oh, block[1]) * pk.cdiv(ow, block[2]), n * od, pk.cdiv(c, block[0]))
    conv_channels[grid](
        view, weight, bias, residual, out, -at.reach[0], at.size[0], at.size[1], at.step[0], at.step[1], ROW=at.size[2],
        TAPS=at.kernel, X_STEP=at.step[2], BLOCK=block, FLAT=flat, **epilogue,
    )  # fmt: skip


def launch_channels_gradient(copy: Array, at: Padded, grad: Array, out: Array, route: dict[str, Any]) -> None:
    """``out`` is ``(S, C, taps)`` with as many shares as :func:`shares_of` says."""
    _, c, _, oh, ow = grad.shape
    block = gradient_block(oh, ow)
    conv_channels_gradient[(out.shape[0], c)](
        seen_by(copy, at, (1, *block), False), grad, out, -at.reach[0], at.size[0], at.size[1], *at.step,
        ROW=at.size[2], TAPS=at.kernel, BLOCK=block, **route,
    )  # fmt: skip


def gradient_block(tall: int, wide: int) -> tuple[int, int]:
    """Rows and columns of a tile of the gradient: whole vectors of columns, rows in even parts."""
    columns = pk.cdiv(min(wide, 1024), 16) * 16
    parts = pk.cdiv(tall, max(1, _TILE // columns))
    return pk.cdiv(tall, parts), columns


def shares_of(grad: Array) -> int:
    """The tiles of ``grad``, each of which gives a share."""
    rows, columns = gradient_block(*grad.shape[3:])
    return int(grad.shape[0] * grad.shape[2] * pk.cdiv(grad.shape[3], rows) * pk.cdiv(grad.shape[4], columns))
