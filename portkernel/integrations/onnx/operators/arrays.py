"""What the families share: looks at arrays that copy nothing, and copies made by a kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from portkernel import ops
from portkernel.errors import ArgumentError

Array = Any


def unchanged(x: Any) -> Any:
    """The function of a tile that copies."""
    return x


def copied(x: Array, out: Array | None = None) -> Array:
    """``x`` in new row-major memory, or in ``out``, by a kernel."""
    out = np.empty(x.shape, x.dtype) if out is None else out
    if runs(x) > 5:  # a kernel takes five dimensions
        for part, target in zip(x, out, strict=True):
            copied(part, target)
        return out
    return ops.elementwise(unchanged, x, out=out)


def runs(x: Array) -> int:
    """In how many dimensions ``x`` lies in memory, beside one that is row-major."""
    count = 0
    before = None
    for n, s in zip(x.shape, x.strides, strict=True):
        if n != 1 and (before is None or before != s * n):
            count += 1
        if n != 1:
            before = s
    return count


def reshaped(x: Array, shape: Sequence[int]) -> Array:
    """``x`` under another shape of as many elements: a view where memory allows, else of a copy by a kernel."""
    try:
        return np.reshape(x, tuple(shape), copy=False)
    except ValueError:
        if x.size != int(np.prod(shape)):
            raise
    return copied(x).reshape(tuple(shape))


def one_of(name: str, value: str, words: Iterable[str]) -> str:
    """``value``, the attribute ``name`` of a node, which must be one of ``words``."""
    if value not in words:
        raise ArgumentError(f"onnx: {name}: expected {', '.join(words)}, got {value!r}")
    return value


def integers(x: Any) -> list[int]:
    """A small array of integers, or a list, as a list: shapes, axes, pads."""
    return [int(v) for v in np.asarray(x).reshape(-1)]


def along(vector: Array, axis: int, rank: int) -> Array:
    """A vector as an array of ``rank`` whose only long axis is ``axis``: it broadcasts with others."""
    return vector.reshape([-1 if i == axis else 1 for i in range(rank)])
