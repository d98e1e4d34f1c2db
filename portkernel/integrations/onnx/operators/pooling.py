"""Pooling windows: the largest, the mean, the p-norm; whole images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from portkernel import ops

from ..registry import operator
from . import formulas
from .arrays import Array, along
from .convolution import Pairs, Windows, windows


@dataclass(frozen=True, slots=True)
class _Pool:
    """The windows of a pooling over x, and how many of them each axis has."""

    at: Windows
    counts: tuple[int, ...]

    @classmethod
    def of(cls, x: Array, kernel_shape: Sequence[int], ceil_mode: int, given: dict[str, Any]) -> _Pool:
        at = windows(x.shape[2:], kernel_shape, **given)
        each = zip(x.shape[2:], at.reach, at.stride, at.pairs, strict=True)
        return cls(at, tuple(_count(n, k, s, pair, ceil_mode) for n, k, s, pair in each))

    def seen(self, x: Array, fill: float = 0.0) -> tuple[Array, Pairs]:
        """x with ``fill`` where windows reach beyond it, without what no window sees; and the padding of that."""
        ends = [(c - 1) * s + k for c, s, k in zip(self.counts, self.at.stride, self.at.reach, strict=True)]
        pairs = tuple((a, max(0, end - n - a)) for n, end, (a, _) in zip(x.shape[2:], ends, self.at.pairs, strict=True))
        padded = ops.pad(x, [(0, 0), (0, 0), *pairs], constant_values=fill) if any(map(any, pairs)) else x
        return padded[(slice(None), slice(None), *(slice(0, end) for end in ends))], pairs

    def sums(self, x: Array) -> Array:
        """The sum of each window."""
        seen, _ = self.seen(x)
        at = self.at
        if all(d == 1 for d in at.dilation):
            return ops.avg_pool(seen, at.kernel, at.stride, 0, divisor_override=1)
        ones = np.ones((x.shape[1], 1, *at.kernel), x.dtype)
        return ops.find(f"conv{len(at.kernel)}d")(seen, ones, None, at.stride, 0, at.dilation, x.shape[1])


def _count(n: int, reach: int, stride: int, pair: tuple[int, int], ceil_mode: int) -> int:
    """How many windows an axis has; one that would begin in the padding behind does not count."""
    room = n + sum(pair) - reach
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= n + pair[0] else count


@operator("MaxPool")
def max_pool(
    x: Array, kernel_shape: Sequence[int], ceil_mode: int = 0, storage_order: int = 0, **given: Any
) -> tuple[Array, Array]:
    pool = _Pool.of(x, kernel_shape, ceil_mode, given)
    seen, pairs = pool.seen(x, -math.inf if x.dtype.kind not in "iu" else int(np.iinfo(x.dtype).min))
    at = pool.at
    y, places = ops.max_pool(seen, at.kernel, at.stride, 0, at.dilation, return_indices=True)
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


@operator("AveragePool")
def average_pool(
    x: Array, kernel_shape: Sequence[int], ceil_mode: int = 0, count_include_pad: int = 0, **given: Any
) -> Array:
    """Sums of windows over how many elements each counts: a table of the host, one factor for each axis."""
    pool = _Pool.of(x, kernel_shape, ceil_mode, given)
    at, rank = pool.at, len(kernel_shape)
    divisor: Any = np.ones([1] * (rank + 2), x.dtype)
    each = zip(x.shape[2:], pool.counts, at.kernel, at.stride, at.dilation, at.pairs, strict=True)
    for i, (n, count, k, s, d, (a, b)) in enumerate(each):
        taps = np.arange(count)[:, None] * s + np.arange(k) * d - a
        inside = (taps >= -a) & (taps < n + b) if count_include_pad else (taps >= 0) & (taps < n)
        divisor = divisor * along(inside.sum(1).astype(x.dtype), i + 2, rank + 2)
    return ops.divide(pool.sums(x), divisor)


@operator("LpPool")
def lp_pool(x: Array, kernel_shape: Sequence[int], p: float = 2, ceil_mode: int = 0, **given: Any) -> Array:
    powers = ops.elementwise(formulas.power_of_size, x, float(p))
    sums = _Pool.of(x, kernel_shape, ceil_mode, given).sums(powers)
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
