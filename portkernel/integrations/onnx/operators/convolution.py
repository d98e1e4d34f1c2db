"""Convolutions of one to three spatial axes, and what is one in disguise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from portkernel import ops
from portkernel.errors import ArgumentShapeError

from ..registry import operator
from .arrays import Array, integers, one_of
from .casts import decoded, quantize

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Windows:
    """How windows lie over the spatial axes of an image; ``pairs`` is the padding before and after each axis."""

    kernel: tuple[int, ...]
    dilation: tuple[int, ...]
    stride: tuple[int, ...]
    pairs: Pairs

    @property
    def reach(self) -> tuple[int, ...]:
        """What a dilated window covers of each axis."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))


def windows(
    size: Sequence[int],
    kernel: Sequence[int],
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Windows:
    """What a node's attributes say of windows of the shape ``kernel`` over an image of ``size``."""
    rank = len(kernel)
    dilation, stride = dilations or [1] * rank, strides or [1] * rank
    given = list(pads or [0] * (2 * rank))
    for name, found, wanted in (
        ("kernel_shape", kernel, len(size)), ("dilations", dilation, rank), ("strides", stride, rank),
        ("pads", given, 2 * rank),
    ):  # fmt: skip
        if len(found) != wanted:
            raise ArgumentShapeError(f"onnx: {name}: expected {wanted} numbers, got {list(found)}")
    bare = Windows(tuple(kernel), tuple(dilation), tuple(stride), tuple(zip(given[:rank], given[rank:], strict=True)))
    match one_of("auto_pad", auto_pad or "NOTSET", ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")):
        case "NOTSET":
            return bare
        case "VALID":
            return replace(bare, pairs=((0, 0),) * rank)
        case same:
            whole = [max(0, (-(-n // s) - 1) * s + k - n) for n, k, s in zip(size, bare.reach, stride, strict=True)]
            halves = [(n // 2, n - n // 2) for n in whole]
            return replace(bare, pairs=tuple(h if same == "SAME_UPPER" else h[::-1] for h in halves))


def _kernel_of(w: Array, kernel_shape: Sequence[int] | None) -> tuple[int, ...]:
    if kernel_shape is not None and tuple(kernel_shape) != w.shape[2:]:
        raise ArgumentShapeError(f"onnx: kernel_shape: expected {list(w.shape[2:])} as w has, got {list(kernel_shape)}")
    return w.shape[2:]  # type: ignore[no-any-return]


@operator("Conv")
def conv(
    x: Array,
    w: Array,
    bias: Array | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    **given: Any,
) -> Array:
    at = windows(x.shape[2:], _kernel_of(w, kernel_shape), **given)
    return ops.find(f"conv{len(at.kernel)}d")(x, w, bias, at.stride, at.pairs, at.dilation, group)


@operator("ConvTranspose")
def conv_transpose(
    x: Array, w: Array, bias: Array | None = None, group: int = 1, kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None, output_shape: Sequence[int] | None = None, **given: Any,
) -> Array:  # fmt: skip
    """Computed whole, without padding, then cut where the padding takes away, as ONNX pads each side for itself."""
    at = windows(x.shape[2:], _kernel_of(w, kernel_shape), **given)
    rank = len(at.kernel)
    more = output_padding or [0] * rank
    full = [(n - 1) * s + k + m for n, s, k, m in zip(x.shape[2:], at.stride, at.reach, more, strict=True)]
    auto_pad = given.get("auto_pad", "NOTSET")
    pairs: Sequence[tuple[int, int]] = at.pairs
    if output_shape is not None or auto_pad.startswith("SAME"):
        wanted = list(output_shape or [n * s for n, s in zip(x.shape[2:], at.stride, strict=True)])[-rank:]
        pairs = []
        for n, k in zip(full, wanted, strict=True):
            total = max(0, n - k)
            before = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            pairs.append((before, n - k - before))  # below zero: what is missing at the end is zero
    run = ops.find(f"conv_transpose{rank}d")
    tail = [n - a - b for n, (a, b) in zip(full, pairs, strict=True)]
    # What an output padding adds behind the last window is zero, and the bias.
    extra = [max(0, m - (s - 1)) for m, s in zip(more, at.stride, strict=True)]
    usual = tuple(m - e for m, e in zip(more, extra, strict=True))
    y = run(x, w, None, at.stride, 0, usual, group, at.dilation)
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
    image = integers(image_shape)
    at = windows(image, integers(block_shape), dilations=dilations, pads=pads, strides=strides)
    room = [n + a + b for n, (a, b) in zip(image, at.pairs, strict=True)]
    tiles = [(r - k) // s + 1 for r, k, s in zip(room, at.reach, at.stride, strict=True)]
    size = math.prod(at.kernel)
    n, rows, _ = x.shape
    channels = rows // size
    weight = np.broadcast_to(np.eye(size, dtype=x.dtype), (channels, size, size)).reshape(rows, 1, *at.kernel)
    columns = x.reshape(n, rows, *tiles)
    more = [r - ((t - 1) * s + k) for r, t, s, k in zip(room, tiles, at.stride, at.reach, strict=True)]
    return conv_transpose(
        columns, weight, group=channels, dilations=at.dilation, strides=at.stride, pads=pads, output_padding=more
    )
