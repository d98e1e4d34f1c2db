"""Sides of the tiles of a convolution on a CPU, from its shape: exact ones, as images come in few sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import portkernel as pk

ROWS = 8
"""Rows of the block of accumulators that stays in registers."""
MOST_ROWS, MOST_COLUMNS = 128, 512
MOST_BYTES = 1 << 18
"""Of a tile of the output: larger ones leave the cache."""
DEPTH = 192
"""Terms of a product at once: a panel of so many rows and two vectors stays in the first-level cache."""


@dataclass(frozen=True, slots=True)
class Sides:
    """A tile of the output: ``rows`` channels and ``block`` images, planes, rows and columns, which take ``columns``
    positions in whole vectors; ``channels`` are summed at once."""

    rows: int
    columns: int
    block: tuple[int, int, int, int]
    channels: int


def _parts(extent: int, most: int, step: int) -> Iterator[int]:
    """Sides that divide ``extent`` evenly, in multiples of ``step``, largest first."""
    seen = set()
    for parts in range(pk.cdiv(extent, most), pk.cdiv(extent, most) + 12):
        side = pk.cdiv(pk.cdiv(extent, parts), step) * step
        if side not in seen:
            seen.add(side)
            yield side


def _blocks(
    size: tuple[int, int, int, int], whole: tuple[int, int, int]
) -> Iterator[tuple[tuple[int, int, int, int], int]]:
    """Blocks of the output ``size`` (images, planes, rows, columns), and the positions that each takes in a copy whose
    images have ``whole`` planes, rows and positions."""
    images, planes, rows, columns = size
    deep, tall, row = whole
    for bw in _parts(columns, MOST_COLUMNS, 1) if row > MOST_COLUMNS else ():
        yield (1, 1, 1, bw), bw
    if row > MOST_COLUMNS:
        return
    for bh in range(1, rows + 1):
        if bh * row <= MOST_COLUMNS:
            yield (1, 1, bh, row), bh * row
    for bd in range(2, planes + 1):
        if bd * tall * row <= MOST_COLUMNS:
            yield (1, bd, tall, row), bd * tall * row
    for bi in range(2, images + 1):
        if bi * deep * tall * row <= MOST_COLUMNS:
            yield (bi, deep, tall, row), bi * deep * tall * row


def _lanes(itemsize: int, target: pk.targets.Target) -> int:
    """Columns of the narrowest panel of a product."""
    return max(1, (target.dot_vector_bytes or target.vector_bytes) // itemsize)


def _idle(programs: int, units: int) -> float:
    """The time of the slowest unit by that of even work."""
    return pk.cdiv(programs, units) * units / programs


def _cost(rows: int, bm: int, taken: int, blocks: int, lanes: int, units: int, shares: int = 1) -> float:
    """Time, in the units of an inner loop that runs at full speed: packing weighs the less, the more often it is used."""
    down = pk.cdiv(rows, bm)
    work = down * pk.cdiv(bm, ROWS) * ROWS * blocks * pk.cdiv(taken, lanes) * lanes
    return work * (1 + 14 / bm) * (1 + 12 / taken) * _idle(down * blocks * shares, units)


@lru_cache(maxsize=1024)
def whole_tiles(
    rows: int, channels: int, taps: int, size: tuple[int, int, int, int], whole: tuple[int, int, int], itemsize: int,
    target: pk.targets.Target,
) -> Sides:  # fmt: skip
    """For ``rows`` output channels and outputs of ``size`` from a padded copy. ``itemsize`` is the accumulator's."""
    lanes = _lanes(itemsize, target)
    best: tuple[float, int, int, tuple[int, int, int, int]] | None = None
    for block, taken in _blocks(size, whole):
        blocks = prod(pk.cdiv(n, b) for n, b in zip(size, block, strict=True))
        for bm in _parts(rows, MOST_ROWS, min(ROWS, rows)):
            columns = pk.cdiv(taken, lanes) * lanes
            if bm * columns * itemsize > MOST_BYTES:
                continue
            cost = _cost(rows, bm, taken, blocks, lanes, target.units)
            if best is None or cost < best[0]:
                best = (cost, bm, columns, block)
    assert best is not None
    return Sides(*best[1:], channels_of(channels, taps))


def channels_of(channels: int, taps: int) -> int:
    """How many channels of ``taps`` terms are summed at once, with little padding of the last."""
    most = max(1, DEPTH // taps)
    return min(candidates(channels, most), key=lambda c: (pk.cdiv(channels, c) * c * (1 + 8 / (c * taps)), -c))


def candidates(extent: int, most: int) -> Iterable[int]:
    """Multiples of 8 and the few below, up to ``most`` or the extent."""
    found = [c for c in (1, 2, 3, 4, *range(8, most + 1, 8)) if c <= min(most, extent)]
    return found or [1]


@lru_cache(maxsize=1024)
def product_tiles(
    rows: int, channels: int, images: int, pixels: int, itemsize: int, target: pk.targets.Target
) -> dict[str, int]:
    """BM, BN and BK of ``conv_pointwise``."""
    lanes = _lanes(itemsize, target)
    best: tuple[float, int, int] | None = None
    for bn in _parts(pixels, MOST_COLUMNS, 4):
        for bm in _parts(rows, MOST_ROWS, min(ROWS, rows)):
            if bm * bn * itemsize > MOST_BYTES:
                continue
            cost = _cost(rows, bm, bn, images * pk.cdiv(pixels, bn), lanes, target.units)
            if best is None or cost < best[0]:
                best = (cost, bm, bn)
    assert best is not None
    return {"BM": best[1], "BN": best[2], "BK": channels_of(channels, 1)}


@dataclass(frozen=True, slots=True)
class GradientSides:
    """A tile of the gradient for the weight: ``rows`` channels (with all their taps in a plane) by ``columns``, of sums over
    ``depth`` positions at once; ``splits`` shares of the positions."""

    rows: int
    columns: int
    depth: int
    splits: int


@lru_cache(maxsize=1024)
def gradient_tiles(
    channels: int, taps: int, outputs: int, depth: int, planes: int, itemsize: int, target: pk.targets.Target,
    added: bool = True,
) -> GradientSides:  # fmt: skip
    """For ``channels`` of ``taps`` rows each, and ``outputs`` columns; ``planes`` products beside each other. ``added`` says
    that shares are added up in any case, so that several cost no more than one."""
    lanes = _lanes(itemsize, target)
    best: tuple[float, int, int, int] | None = None
    most = max(1, MOST_ROWS // taps)
    for bc in sorted({*_parts(channels, most, 1), most}):
        for bn in _parts(outputs, 256, lanes):
            blocks = pk.cdiv(outputs, bn) * planes
            splits = max(1, min(pk.cdiv(target.units, pk.cdiv(channels, bc) * blocks), depth // 512))
            shares = splits if added else 1
            cost = _cost(channels * taps, bc * taps, bn, blocks, lanes, target.units, shares)
            if bc <= most and (best is None or cost < best[0]):
                best = (cost, bc, bn, splits)
    assert best is not None
    _, bc, bn, splits = best
    return GradientSides(bc, bn, evenly(depth, splits), splits)


def evenly(depth: int, splits: int = 1) -> int:
    """Terms of a product at once, about ``DEPTH`` at most, that divide ``depth`` with little padding of the last; as many
    in each of ``splits`` shares."""
    parts = pk.cdiv(pk.cdiv(depth, DEPTH + 16), splits) * splits
    return pk.cdiv(pk.cdiv(depth, parts), 8) * 8
