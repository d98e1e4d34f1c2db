"""Images read between their pixels: at points of a grid, of regions, of deformed windows.

A point has a place and a weight for each tap of each axis; the elements are gathered, weighted and added.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from portkernel import ops

from ..registry import operator
from . import formulas
from .arrays import Array, copied, integers, one_of, reshaped

Tap = tuple[Array, Array]
"""Places along an axis (int64, within it) and their weights."""


def _linear(at: Array, n: int) -> list[Tap]:
    """The two neighbours; those outside weigh nothing."""
    return [
        (ops.elementwise(formulas.neighbour, at, k, n, dtype=np.int64), _inside(formulas.linear_weight, at, k, n))
        for k in (0, 1)
    ]


def _nearest(at: Array, n: int) -> list[Tap]:
    middle = ops.round(at)
    return [
        (ops.elementwise(formulas.neighbour, middle, 0, n, dtype=np.int64), _inside(formulas.one_weight, middle, 0, n))
    ]


def _cubic(at: Array, n: int) -> list[Tap]:
    return [
        (ops.elementwise(formulas.neighbour, at, k, n, dtype=np.int64), _inside(formulas.cubic_weight, at, k, n))
        for k in (-1, 0, 1, 2)
    ]


def _inside(formula: Callable[..., Any], at: Array, k: int, n: int) -> Array:
    return ops.elementwise(formula, at, k, n)


_TAPS = {"linear": _linear, "nearest": _nearest, "cubic": _cubic}


def sampled(x: Array, taps: Sequence[list[Tap]]) -> Array:
    """``(N, C, P)`` from x ``(N, C, …)`` and, for each axis, taps of ``(N, 1, P)`` or ``(N, C, P)``."""
    size = x.shape[2:]
    flat = reshaped(x, (*x.shape[:2], math.prod(size)))
    total = None
    for chosen in itertools.product(*taps):
        place, weight = chosen[0]
        for (more, factor), n in zip(chosen[1:], size[1:], strict=True):
            place = ops.elementwise(formulas.multiplied_add, place, np.full((1, 1, 1), n), more)
            weight = ops.multiply(weight, factor)
        term = ops.multiply(ops.take_along_axis(flat, place, 2), weight)
        total = term if total is None else ops.add(total, term)
    return total


@operator("GridSample")
def grid_sample(
    x: Array, grid: Array, align_corners: int = 0, mode: str = "linear", padding_mode: str = "zeros"
) -> Array:
    mode = one_of("mode", {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode), _TAPS)
    one_of("padding_mode", padding_mode, ("zeros", "border", "reflection"))
    n, rank = x.shape[0], x.ndim - 2
    points = math.prod(grid.shape[1:-1])
    taps = []
    for axis, length in enumerate(x.shape[2:]):
        raw = reshaped(copied(grid[..., rank - 1 - axis]), (n, 1, points))
        formula = formulas.corner_place if align_corners else formulas.pixel_place
        at = ops.elementwise(formula, raw, length)
        low, high = (0.0, length - 1.0) if align_corners else (-0.5, length - 0.5)
        if mode == "cubic":
            taps.append(_cubic_padded(at, length, padding_mode, low, high))
            continue
        if mode == "nearest":
            at = ops.round(at)
        at = _padded(at, length, padding_mode, low, high)
        taps.append(_TAPS[mode](at, length))
    return sampled(x, taps).reshape(*x.shape[:2], *grid.shape[1:-1])


def _padded(at: Array, n: int, mode: str, low: float, high: float) -> Array:
    if mode == "border":
        return ops.clip(at, 0.0, n - 1.0)
    if mode == "reflection":
        return ops.clip(ops.elementwise(formulas.reflected, at, low, high), 0.0, n - 1.0)
    return at


def _cubic_padded(at: Array, n: int, mode: str, low: float, high: float) -> list[Tap]:
    """Every tap is brought inside for itself."""
    if mode == "zeros":
        return _cubic(at, n)
    found = []
    for k in (-1, 0, 1, 2):
        place = _padded(ops.elementwise(formulas.tap_place, at, k), n, mode, low, high)
        weight = ops.elementwise(formulas.free_cubic_weight, at, k)
        found.append((ops.elementwise(formulas.neighbour, place, 0, n, dtype=np.int64), weight))
    return found


# --- regions ------------------------------------------------------------------------------------------------


@operator("RoiAlign")
def roi_align(
    x: Array,
    rois: Array,
    batches: Array,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Array:
    """How many points a bin has is read on the host where the model leaves it to the size of the region."""
    one_of("mode", mode, ("avg", "max"))
    one_of("coordinate_transformation_mode", coordinate_transformation_mode, ("half_pixel", "output_half_pixel"))
    shift = 0.5 if coordinate_transformation_mode == "half_pixel" else 0.0
    least = 0.0 if shift else 1.0
    found = []
    for roi, batch in zip(np.asarray(rois), integers(batches), strict=True):
        image = x[batch : batch + 1]
        taps, counts = [], []
        for first, last, cells in ((roi[1], roi[3], output_height), (roi[0], roi[2], output_width)):
            length = max(float(last - first) * spatial_scale, least) if least else float(last - first) * spatial_scale
            count = sampling_ratio or max(1, math.ceil(length / cells))
            counts.append(count)
            steps = (np.arange(cells * count) + 0.5) / count
            taps.append((steps.astype(x.dtype), float(first) * spatial_scale - shift, length / cells))
        rows, columns = (ops.elementwise(formulas.affine, steps, bin_, start) for steps, start, bin_ in taps)
        points = (rows.size, columns.size)
        spread = [
            copied(np.broadcast_to(rows[:, None], points)).reshape(1, 1, -1),
            copied(np.broadcast_to(columns[None], points)).reshape(1, 1, -1),
        ]
        each = _region_values(image, spread, mode == "max")
        cells = each.reshape(x.shape[1], output_height, counts[0], output_width, counts[1])
        found.append(ops.max(cells, (2, 4)) if mode == "max" else ops.mean(cells, (2, 4)))
    return ops.stack(found) if found else np.zeros((0, x.shape[1], output_height, output_width), x.dtype)


def _region_values(image: Array, at: list[Array], largest: bool) -> Array:
    """Points less than one pixel outside are brought to the edge, those further away are 0.

    With ``largest``, the largest weighted neighbour takes the place of their sum.
    """
    size = image.shape[2:]
    taps = []
    for places, n in zip(at, size, strict=True):
        real = ops.elementwise(formulas.near_image, places, n)
        held = ops.clip(places, 0.0, n - 1.0)
        taps.append([(i, ops.multiply(w, real)) for i, w in _linear(held, n)])
    if not largest:
        return sampled(image, taps)
    parts = [sampled(image, [[a], [b]]) for a, b in itertools.product(*taps)]
    total = parts[0]
    for part in parts[1:]:
        total = ops.maximum(total, part)
    return total


@operator("DeformConv")
def deform_conv(
    x: Array,
    w: Array,
    offset: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    offset_group: int = 1,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Array:
    """The points of all windows are sampled, then multiplied by the weights as one matrix for each group."""
    n, channels, *size = x.shape
    kernel, outputs = w.shape[2:], offset.shape[2:]
    rank = len(size)
    dilated, stride, pad = dilations or [1] * rank, strides or [1] * rank, pads or [0] * (2 * rank)
    count, places = math.prod(kernel), math.prod(outputs)
    moves = offset.reshape(n, offset_group, count, rank, *outputs)
    taps = []
    for axis, length in enumerate(size):
        grid = np.arange(outputs[axis]) * stride[axis] - pad[axis]
        base = (np.arange(kernel[axis]) * dilated[axis]).reshape([-1 if i == axis else 1 for i in range(rank)])
        base = np.broadcast_to(base, kernel).reshape(1, 1, count, *[1] * rank) + grid.reshape(
            [1, 1, 1, *(-1 if i == axis else 1 for i in range(rank))]
        )
        at = ops.add(moves[:, :, :, axis], base.astype(x.dtype))
        flat = reshaped(at, (n, offset_group, 1, count * places))
        each = channels // offset_group
        spread = np.broadcast_to(flat, (n, offset_group, each, count * places))
        taps.append(_linear(copied(spread).reshape(n, channels, count * places), length))
    columns = sampled(x, taps).reshape(n, channels, count, places)
    if mask is not None:
        factor = mask.reshape(n, offset_group, 1, count, places)
        columns = ops.multiply(columns.reshape(n, offset_group, -1, count, places), factor)
    rows = columns.reshape(n, group, channels // group * count, places)
    weight = w.reshape(1, group, w.shape[0] // group, -1)
    y = ops.matmul(weight, rows).reshape(n, w.shape[0], *outputs)
    return y if bias is None else ops.add(y, bias.reshape([-1, *[1] * rank]))
