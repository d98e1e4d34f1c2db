"""Shapes and views: nothing here computes with elements but the copies that put arrays together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from portkernel import ops
from portkernel.errors import ArgumentShapeError, UncoveredOperatorError

from ..executor import Node
from ..registry import Work, operator
from .arrays import Array, copied, integers, one_of, reshaped

VIEW = Work.VIEW


@operator("Identity", work=VIEW)
def identity(x: Any) -> Any:
    return x


@operator("Constant", work=VIEW)
def constant(
    value: Array | None = None,
    value_int: int | None = None,
    value_float: float | None = None,
    value_ints: Sequence[int] | None = None,
    value_floats: Sequence[float] | None = None,
    value_string: str | None = None,
    value_strings: Sequence[str] | None = None,
) -> Array:
    if value is not None:
        return value
    for given, dtype in (
        (value_int, np.int64), (value_ints, np.int64), (value_float, np.float32), (value_floats, np.float32),
        (value_string, object), (value_strings, object),
    ):  # fmt: skip
        if given is not None:
            return np.asarray(given, dtype)
    raise UncoveredOperatorError("onnx: Constant: expected a dense value, got a sparse one")


@operator("ConstantOfShape", work=VIEW)
def constant_of_shape(shape: Array, value: Array | None = None) -> Array:
    given = np.zeros((), np.float32) if value is None else value.reshape(())
    return np.broadcast_to(given, integers(shape))


@operator("Shape", work=VIEW)
def shape(x: Array, start: int = 0, end: int | None = None) -> Array:
    return np.asarray(x.shape[start:end], np.int64)


@operator("Size", work=VIEW)
def size(x: Array) -> Array:
    return np.asarray(x.size, np.int64)


@operator("Reshape", since=5, work=VIEW)
def reshape(x: Array, shape: Array, allowzero: int = 0) -> Array:
    wanted = integers(shape)
    if not allowzero:
        wanted = [x.shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    if -1 in wanted:
        rest = -math.prod(wanted)
        wanted[wanted.index(-1)] = x.size // rest if rest else 0
    return reshaped(x, wanted)


@operator("Reshape", until=4, work=VIEW)
def reshape_attribute(x: Array, shape: Sequence[int], **_: Any) -> Array:
    return reshape(x, np.asarray(shape))


@operator("Flatten", work=VIEW)
def flatten(x: Array, axis: int = 1) -> Array:
    at = axis + x.ndim if axis < 0 else axis
    return reshaped(x, (math.prod(x.shape[:at]), math.prod(x.shape[at:])))


@operator("Transpose", work=VIEW)
def transpose(x: Array, perm: Sequence[int] | None = None) -> Array:
    return x.transpose(perm)


@operator("Squeeze", work=VIEW)
def squeeze(x: Array, axes_input: Array | None = None, axes: Sequence[int] | None = None) -> Array:
    named = axes if axes_input is None else integers(axes_input)
    return np.squeeze(x, None if named is None else tuple(named))


@operator("Unsqueeze", work=VIEW)
def unsqueeze(x: Array, axes_input: Array | None = None, axes: Sequence[int] | None = None) -> Array:
    return np.expand_dims(x, tuple(integers(axes if axes_input is None else axes_input)))


@operator("Expand", work=VIEW)
def expand(x: Array, shape: Array) -> Array:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(integers(shape))))


@operator("Slice", since=10, work=VIEW)
def slice_(x: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None) -> Array:
    first = integers(starts)
    where = range(len(first)) if axes is None else integers(axes)
    step = [1] * len(first) if steps is None else integers(steps)
    index = [slice(None)] * x.ndim
    for axis, a, b, s in zip(where, first, integers(ends), step, strict=True):
        n = x.shape[axis]
        # An end far below zero means "through the first element", which Python spells None.
        low = a + n if a < 0 else a
        high = b + n if b < 0 else b
        if s > 0:
            index[axis] = slice(min(max(low, 0), n), min(max(high, 0), n), s)
        else:
            last = min(max(high, -1), n - 1)
            index[axis] = slice(min(max(low, 0), n - 1) if n else 0, None if last < 0 else last, s)
            if low < 0:
                index[axis] = slice(0, 0, 1)
    return x[tuple(index)]


@operator("Slice", until=1, work=VIEW)
def slice_attributes(x: Array, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int] | None = None) -> Array:
    return slice_(x, np.asarray(starts), np.asarray(ends), None if axes is None else np.asarray(axes))


@operator("Split", work=VIEW, node=True)
def split(
    x: Array,
    sizes: Array | None = None,
    axis: int = 0,
    num_outputs: int | None = None,
    split: Sequence[int] | None = None,
    node: Node | None = None,
) -> tuple[Array, ...]:
    assert node is not None
    n = x.shape[axis]
    parts = integers(sizes) if sizes is not None else list(split or ())
    if not parts:
        count = num_outputs or len(node.outputs)
        each = -(-n // count)
        parts = [max(0, min(each, n - i * each)) for i in range(count)]
    return pieces(x, parts, axis)


def pieces(x: Array, sizes: Sequence[int], axis: int) -> tuple[Array, ...]:
    """``x`` in parts of ``sizes`` along ``axis``: views."""
    at = axis % x.ndim
    if sum(sizes) != x.shape[at] or min(sizes, default=0) < 0:
        raise ArgumentShapeError(f"onnx: split: expected parts of {x.shape[at]} elements, got {list(sizes)}")
    ends = np.cumsum(sizes).tolist()
    return tuple(x[(slice(None),) * at + (slice(e - k, e),)] for k, e in zip(sizes, ends, strict=True))


@operator("Concat")
def concat(*arrays: Array, axis: int = 1) -> Array:
    return ops.concatenate(arrays, axis)


@operator("Tile", since=6)
def tile(x: Array, repeats: Array) -> Array:
    for axis, times in enumerate(integers(repeats)):
        if times == 1:
            continue
        spread = np.broadcast_to(np.expand_dims(x, axis), (*x.shape[:axis], times, *x.shape[axis:]))
        x = copied(spread).reshape([times * n if i == axis else n for i, n in enumerate(x.shape)])
    return copied(x) if not x.flags.owndata else x


@operator("DepthToSpace")
def depth_to_space(x: Array, blocksize: int, mode: str = "DCR") -> Array:
    n, c, h, w = x.shape
    b, d = blocksize, c // blocksize**2
    if one_of("mode", mode, ("DCR", "CRD")) == "DCR":
        seen = reshaped(x, (n, b, b, d, h, w)).transpose(0, 3, 4, 1, 5, 2)
    else:
        seen = reshaped(x, (n, d, b, b, h, w)).transpose(0, 1, 4, 2, 5, 3)
    return copied(seen).reshape(n, d, h * b, w * b)


@operator("SpaceToDepth")
def space_to_depth(x: Array, blocksize: int, mode: str = "DCR") -> Array:
    n, c, h, w = x.shape
    b = blocksize
    seen = reshaped(x, (n, c, h // b, b, w // b, b))
    order = (0, 3, 5, 1, 2, 4) if one_of("mode", mode, ("DCR", "CRD")) == "DCR" else (0, 1, 3, 5, 2, 4)
    return copied(seen.transpose(order)).reshape(n, c * b * b, h // b, w // b)


@operator("BitCast", work=VIEW)
def bit_cast(x: Array, to: int) -> Array:
    from .casts import numpy_dtype

    dtype = numpy_dtype(to)
    return x.view(dtype) if x.flags.c_contiguous or dtype.itemsize == x.dtype.itemsize else copied(x).view(dtype)


@operator("Pad", since=11)
def pad(x: Array, pads: Array, value: Array | None = None, axes: Array | None = None, mode: str = "constant") -> Array:
    where = range(x.ndim) if axes is None else [a % x.ndim for a in integers(axes)]
    given = integers(pads)
    widths = [(0, 0)] * x.ndim
    for i, axis in enumerate(where):
        widths[axis] = (given[i], given[i + len(given) // 2])
    fill = 0 if value is None or value.size == 0 else value.reshape(()).item()
    cut = x[tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(x.shape, widths, strict=True))]
    grown = [(max(0, a), max(0, b)) for a, b in widths]
    if mode == "wrap":
        return wrapped(cut, grown)
    return ops.pad(cut, grown, mode, fill) if mode == "constant" else ops.pad(cut, grown, mode)


@operator("Pad", until=2)
def pad_attributes(
    x: Array, pads: Sequence[int] = (), mode: str = "constant", value: float = 0.0, **given: Any
) -> Array:
    return pad(x, np.asarray(pads or given["paddings"]), np.asarray(value, x.dtype), None, mode)


def wrapped(x: Array, widths: Sequence[tuple[int, int]]) -> Array:
    """``x`` continued periodically: the indices are made on the host, one vector for each axis."""
    for axis, (before, after) in enumerate(widths):
        if before or after:
            n = x.shape[axis]
            x = ops.take(x, np.arange(-before, n + after) % n, axis)
    return x
