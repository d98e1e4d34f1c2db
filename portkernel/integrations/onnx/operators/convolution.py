"""Convolutions of one to three spatial axes, and what is one in disguise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from portkernel import ops

from ..registry import operator
from .arrays import Array, integers
from .casts import decoded, quantize

Pairs = list[tuple[int, int]]


def padding(
    auto_pad: str, pads: Sequence[int] | None, size: Sequence[int], reach: Sequence[int], strides: Sequence[int]
) -> Pairs:
    """(before, after) of each spatial axis; ``reach`` is what a dilated window covers."""
    rank = len(size)
    if auto_pad in ("NOTSET", ""):
        given = list(pads or [0] * (2 * rank))
        return list(zip(given[:rank], given[rank:], strict=True))
    if auto_pad == "VALID":
        return [(0, 0)] * rank
    found = []
    for n, k, s in zip(size, reach, strides, strict=True):
        total = max(0, (-(-n // s) - 1) * s + k - n)
        less = total // 2
        found.append((less, total - less) if auto_pad == "SAME_UPPER" else (total - less, less))
    return found


def reached(kernel: Sequence[int], dilations: Sequence[int]) -> list[int]:
    return [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]


@operator("Conv")
def conv(
    x: Array,
    w: Array,
    bias: Array | None = None,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Array:
    rank = x.ndim - 2
    dilated, stride = dilations or [1] * rank, strides or [1] * rank
    pairs = padding(auto_pad, pads, x.shape[2:], reached(w.shape[2:], dilated), stride)
    run = ops.find(f"conv{rank}d")
    return run(x, w, bias, tuple(stride), tuple(pairs), tuple(dilated), group)


@operator("ConvTranspose")
def conv_transpose(
    x: Array,
    w: Array,
    bias: Array | None = None,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Array:
    """Computed whole, without padding, then cut where the padding takes away, as ONNX pads each side for itself."""
    rank = x.ndim - 2
    dilated, stride = dilations or [1] * rank, strides or [1] * rank
    more = output_padding or [0] * rank
    reach = reached(w.shape[2:], dilated)
    full = [(n - 1) * s + k + m for n, s, k, m in zip(x.shape[2:], stride, reach, more, strict=True)]
    if output_shape is not None or auto_pad.startswith("SAME"):
        wanted = list(output_shape or [n * s for n, s in zip(x.shape[2:], stride, strict=True)])[-rank:]
        pairs = []
        for n, k in zip(full, wanted, strict=True):
            total = max(0, n - k)
            before = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            pairs.append((before, n - k - before))  # below zero: what is missing at the end is zero
    else:
        pairs = padding("NOTSET", pads if auto_pad != "VALID" else None, full, reach, stride)
    run = ops.find(f"conv_transpose{rank}d")
    tail = [n - a - b for n, (a, b) in zip(full, pairs, strict=True)]
    # What an output padding adds behind the last window is zero, and the bias.
    extra = [max(0, m - (s - 1)) for m, s in zip(more, stride, strict=True)]
    usual = tuple(m - e for m, e in zip(more, extra, strict=True))
    y = run(x, w, None, tuple(stride), 0, usual, group, tuple(dilated))
    grow = [max(0, -b) + e for (_, b), e in zip(pairs, extra, strict=True)]
    first = [max(0, -a) for a, _ in pairs]
    if any(grow) or any(first):
        y = ops.pad(y, [(0, 0), (0, 0), *zip(first, grow, strict=True)])
    cut = tuple(slice(max(0, a), max(0, a) + n) for (a, _), n in zip(pairs, tail, strict=True))
    y = y[(slice(None), slice(None), *cut)]
    return y if bias is None else ops.add(y, bias.reshape([-1, *[1] * rank]))


def _integer_conv(x: Array, w: Array, x_zero: Array | None, w_zero: Array | None, given: dict[str, Any]) -> Array:
    """Exact: the products of bytes are summed in float64."""
    wide = []
    for t, zero, lead in ((x, x_zero, 1), (w, w_zero, 0)):
        value = ops.astype(t, np.float64)
        if zero is not None:
            shift = ops.astype(zero, np.float64)
            shape = [1] * lead + [-1] + [1] * (t.ndim - lead - 1)
            value = ops.subtract(value, shift.reshape(shape) if shift.size > 1 else shift.reshape(()))
        wide.append(value)
    return conv(*wide, **given)


@operator("ConvInteger")
def conv_integer(x: Array, w: Array, x_zero: Array | None = None, w_zero: Array | None = None, **given: Any) -> Array:
    return ops.astype(_integer_conv(x, w, x_zero, w_zero, given), np.int32)


@operator("QLinearConv")
def qlinear_conv(
    x: Array,
    x_scale: Array,
    x_zero: Array,
    w: Array,
    w_scale: Array,
    w_zero: Array,
    y_scale: Array,
    y_zero: Array,
    bias: Array | None = None,
    **given: Any,
) -> Array:
    sums = _integer_conv(x, w, x_zero, w_zero, given)
    tail = [1] * (x.ndim - 2)
    if bias is not None:
        sums = ops.add(sums, ops.astype(bias, np.float64).reshape([-1, *tail]))
    scales = [ops.astype(decoded(s), np.float64) for s in (x_scale, w_scale, y_scale)]
    scale = ops.divide(ops.multiply(scales[0], scales[1]), scales[2])
    scaled = ops.multiply(sums, scale.reshape([-1, *tail]) if scale.size > 1 else scale.reshape(()))
    return quantize(scaled, np.ones((), np.float64), y_zero)


@operator("Col2Im")
def col2im(
    x: Array,
    image_shape: Array,
    block_shape: Array,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Array:
    """A transposed convolution with weights of one 1 each, the columns' rows as channels."""
    image, block = integers(image_shape), integers(block_shape)
    rank = len(image)
    dilated, stride = dilations or [1] * rank, strides or [1] * rank
    pairs = padding("NOTSET", pads, image, block, stride)
    reach = reached(block, dilated)
    tiles = [(n + a + b - k) // s + 1 for n, (a, b), k, s in zip(image, pairs, reach, stride, strict=True)]
    size = math.prod(block)
    n, rows, _ = x.shape
    channels = rows // size
    weight = np.broadcast_to(np.eye(size, dtype=x.dtype), (channels, size, size)).reshape(rows, 1, *block)
    columns = x.reshape(n, rows, *tiles)
    room = [n + a + b for n, (a, b) in zip(image, pairs, strict=True)]
    more = [r - ((t - 1) * s + k) for r, t, s, k in zip(room, tiles, stride, reach, strict=True)]
    return conv_transpose(
        columns, weight, group=channels, dilations=dilated, strides=stride, pads=pads, output_padding=more
    )
