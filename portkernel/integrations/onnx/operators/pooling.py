"""Pooling windows: the largest, the mean, the p-norm; whole images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from portkernel import ops

from ..registry import operator
from . import formulas
from .arrays import Array, along
from .convolution import Pairs, padding, reached


def _places(n: int, reach: int, stride: int, pair: tuple[int, int], ceil_mode: int) -> int:
    """How many windows an axis has; one that would begin in the padding behind does not count."""
    room = n + sum(pair) - reach
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= n + pair[0] else count


def _grown(
    x: Array, pairs: Pairs, reach: Sequence[int], stride: Sequence[int], ceil_mode: int
) -> tuple[Pairs, list[int]]:
    """The padding that gives every window its elements, and how many windows there are."""
    found, counts = [], []
    for n, pair, k, s in zip(x.shape[2:], pairs, reach, stride, strict=True):
        count = _places(n, k, s, pair, ceil_mode)
        counts.append(count)
        found.append((pair[0], max(0, (count - 1) * s + k - n - pair[0])))
    return found, counts


@operator("MaxPool")
def max_pool(
    x: Array,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    storage_order: int = 0,
    strides: Sequence[int] | None = None,
) -> tuple[Array, Array]:
    rank = x.ndim - 2
    dilated, stride = dilations or [1] * rank, strides or [1] * rank
    reach = reached(kernel_shape, dilated)
    pairs = padding(auto_pad, pads, x.shape[2:], reach, stride)
    pairs, counts = _grown(x, pairs, reach, stride, ceil_mode)
    lowest = -math.inf if x.dtype.kind not in "iu" else int(np.iinfo(x.dtype).min)
    seen = ops.pad(x, [(0, 0), (0, 0), *pairs], constant_values=lowest) if any(map(any, pairs)) else x
    window = tuple(slice(0, (c - 1) * s + k) for c, s, k in zip(counts, stride, reach, strict=True))
    seen = seen[(slice(None), slice(None), *window)]
    y, places = ops.max_pool(seen, tuple(kernel_shape), tuple(stride), 0, tuple(dilated), return_indices=True)
    return y, _numbered(x, places, seen.shape[2:], pairs, storage_order)


def _numbered(x: Array, places: Array, size: Sequence[int], pairs: Pairs, storage_order: int) -> Array:
    """Indices into the padded image of ``size`` as ONNX counts them: through the whole of x."""
    rank = len(size)
    order = range(rank) if storage_order == 0 else reversed(range(rank))
    steps, step = [0] * rank, 1
    for axis in reversed(list(order)):
        steps[axis] = step
        step *= x.shape[2 + axis]
    table = sum(
        along((np.arange(n) - before) * s, i, rank)
        for i, (n, s, (before, _)) in enumerate(zip(size, steps, pairs, strict=True))
    )
    local = ops.take(np.ascontiguousarray(table).reshape(-1), places.reshape(-1), 0).reshape(places.shape)
    images = np.arange(math.prod(x.shape[:2])).reshape(*x.shape[:2], *[1] * rank) * step
    return ops.add(local, images)


def _window_sums(x: Array, kernel: Sequence[int], stride: Sequence[int], dilated: Sequence[int]) -> Array:
    """The sum of each window of an image that needs no padding."""
    if all(d == 1 for d in dilated):
        return ops.avg_pool(x, tuple(kernel), tuple(stride), 0, divisor_override=1)
    run = ops.find(f"conv{len(kernel)}d")
    ones = np.ones((x.shape[1], 1, *kernel), x.dtype)
    return run(x, ones, None, tuple(stride), 0, tuple(dilated), x.shape[1])


def _padded(x: Array, pairs: Pairs, counts: Sequence[int], reach: Sequence[int], stride: Sequence[int]) -> Array:
    seen = ops.pad(x, [(0, 0), (0, 0), *pairs]) if any(map(any, pairs)) else x
    window = tuple(slice(0, (c - 1) * s + k) for c, s, k in zip(counts, stride, reach, strict=True))
    return seen[(slice(None), slice(None), *window)]


@operator("AveragePool")
def average_pool(
    x: Array,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Array:
    """Sums of windows over how many elements each counts: a table of the host, one factor for each axis."""
    rank = x.ndim - 2
    dilated, stride = dilations or [1] * rank, strides or [1] * rank
    reach = reached(kernel_shape, dilated)
    named = padding(auto_pad, pads, x.shape[2:], reach, stride)
    pairs, counts = _grown(x, named, reach, stride, ceil_mode)
    sums = _window_sums(_padded(x, pairs, counts, reach, stride), kernel_shape, stride, dilated)
    divisor: Any = np.ones([1] * (rank + 2), x.dtype)
    for i, (n, k, s, d, (a, b)) in enumerate(zip(x.shape[2:], kernel_shape, stride, dilated, named, strict=True)):
        taps = np.arange(counts[i])[:, None] * s + np.arange(k) * d - a
        inside = (taps >= -a) & (taps < n + b) if count_include_pad else (taps >= 0) & (taps < n)
        divisor = divisor * along(inside.sum(1).astype(x.dtype), i + 2, rank + 2)
    return ops.divide(sums, divisor)


@operator("LpPool")
def lp_pool(
    x: Array,
    kernel_shape: Sequence[int],
    p: float = 2,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Array:
    rank = x.ndim - 2
    dilated, stride = dilations or [1] * rank, strides or [1] * rank
    reach = reached(kernel_shape, dilated)
    pairs, counts = _grown(x, padding(auto_pad, pads, x.shape[2:], reach, stride), reach, stride, ceil_mode)
    powers = ops.elementwise(formulas.power_of_size, x, float(p))
    sums = _window_sums(_padded(powers, pairs, counts, reach, stride), kernel_shape, stride, dilated)
    return ops.elementwise(formulas.power_of_size, sums, 1 / p)


@operator("GlobalAveragePool")
def global_average_pool(x: Array) -> Array:
    return ops.mean(x, tuple(range(2, x.ndim)), keepdims=True)


@operator("GlobalMaxPool")
def global_max_pool(x: Array) -> Array:
    return ops.max(x, tuple(range(2, x.ndim)), keepdims=True)


@operator("GlobalLpPool")
def global_lp_pool(x: Array, p: float = 2) -> Array:
    return ops.norm(x, p, tuple(range(2, x.ndim)), True)
