"""Sequences and optionals: lists of arrays, kept on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from portkernel import ops
from portkernel.errors import ArgumentError

from ..registry import Work, operator
from .arrays import Array, integers
from .shape import pieces

VIEW = Work.VIEW
Sequence = list[Any]


@operator("SequenceEmpty", work=VIEW)
def sequence_empty(dtype: int = 1) -> Sequence:
    return []


@operator("SequenceConstruct", work=VIEW)
def sequence_construct(*values: Any) -> Sequence:
    return list(values)


def _position(values: Sequence, at: Array | None, end: int) -> int:
    """``at`` counted from the first value, below ``end``; the last place where it is left out."""
    if at is None:
        return end - 1
    (i,) = integers(at)
    if not -len(values) <= i < end:
        raise ArgumentError(f"onnx: position: expected {-len(values)} to {end - 1}, got {i}")
    return i if i >= 0 else i + len(values)


@operator("SequenceInsert", work=VIEW)
def sequence_insert(values: Sequence, x: Array, at: Array | None = None) -> Sequence:
    made = list(values)
    made.insert(_position(values, at, len(values) + 1), x)
    return made


@operator("SequenceErase", work=VIEW)
def sequence_erase(values: Sequence, at: Array | None = None) -> Sequence:
    made = list(values)
    del made[_position(values, at, len(values))]
    return made


@operator("SequenceAt", work=VIEW)
def sequence_at(values: Sequence, at: Array) -> Any:
    return values[_position(values, at, len(values))]


@operator("SequenceLength", work=VIEW)
def sequence_length(values: Sequence) -> Array:
    return np.asarray(len(values), np.int64)


@operator("SplitToSequence", work=VIEW)
def split_to_sequence(x: Array, split: Array | None = None, axis: int = 0, keepdims: int = 1) -> Sequence:
    n = x.shape[axis]
    if split is None:
        parts = pieces(x, [1] * n, axis)
        return [p if keepdims else np.squeeze(p, axis) for p in parts]
    if split.ndim == 0:
        size = integers(split)[0]
        return list(pieces(x, [min(size, n - i) for i in range(0, n, size)], axis))
    return list(pieces(x, integers(split), axis))


@operator("ConcatFromSequence")
def concat_from_sequence(values: Sequence, axis: int, new_axis: int = 0) -> Array:
    return ops.concatenate([np.expand_dims(v, axis) for v in values] if new_axis else values, axis)


@operator("Optional", work=VIEW)
def optional(x: Any = None, type: Any = None) -> Any:
    return x


@operator("OptionalHasElement", work=VIEW)
def optional_has_element(x: Any = None) -> Array:
    return np.asarray(x is not None)


@operator("OptionalGetElement", work=VIEW)
def optional_get_element(x: Any) -> Any:
    return x


@operator("ReverseSequence")
def reverse_sequence(x: Array, lengths: Array, batch_axis: int = 1, time_axis: int = 0) -> Array:
    """The indices are made on the host, one for each place of both axes; the elements move in a kernel."""
    steps = np.arange(x.shape[time_axis])
    each = np.asarray(lengths)[:, None]
    places = np.where(steps < each, each - 1 - steps, steps)
    places = places if batch_axis < time_axis else places.T
    shape = [n if i in (batch_axis, time_axis) else 1 for i, n in enumerate(x.shape)]
    return ops.take_along_axis(x, places.reshape(shape), time_axis)
