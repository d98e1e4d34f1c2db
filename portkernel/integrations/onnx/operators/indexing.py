"""Elements by index, and arrays made of indices."""

from __future__ import annotations

import numpy as np

from portkernel import ops

from ..registry import operator
from . import formulas
from .arrays import Array, along, integers, reshaped
from .casts import numpy_dtype


@operator("Gather")
def gather(x: Array, indices: Array, axis: int = 0) -> Array:
    at = axis % x.ndim
    flat = reshaped(indices, (indices.size,))
    return ops.take(x, flat, at).reshape((*x.shape[:at], *indices.shape, *x.shape[at + 1 :]))


@operator("GatherElements")
def gather_elements(x: Array, indices: Array, axis: int = 0) -> Array:
    seen = x[tuple(slice(0, n) if i != axis % x.ndim else slice(None) for i, n in enumerate(indices.shape))]
    return ops.take_along_axis(seen, indices, axis)


@operator("Range")
def range_(start: Array, limit: Array, delta: Array) -> Array:
    """The count is found on the host, the values are ``start + i·delta`` by a kernel."""
    first, last, step = (t.reshape(()).item() for t in (start, limit, delta))
    count = max(0, int(np.ceil((last - first) / step)))
    return ops.elementwise(
        formulas.progression, np.arange(count), start.reshape(()), delta.reshape(()), dtype=start.dtype
    )


@operator("EyeLike")
def eye_like(x: Array, dtype: int | None = None, k: int = 0) -> Array:
    rows, columns = np.arange(x.shape[0])[:, None], np.arange(x.shape[1])[None]
    stored = x.dtype if dtype is None else numpy_dtype(dtype)
    return ops.astype(ops.equal(ops.add(rows, np.full((1, 1), k)), columns), stored)


@operator("Trilu")
def trilu(x: Array, k: Array | None = None, upper: int = 1) -> Array:
    shift = 0 if k is None else integers(k)[0]
    return ops.triu(x, shift) if upper else ops.tril(x, shift)


@operator("OneHot")
def one_hot(indices: Array, depth: Array, values: Array, axis: int = -1) -> Array:
    count = int(depth.reshape(()))
    rank = indices.ndim + 1
    at = axis % rank
    wrapped = ops.elementwise(formulas.wrapped_index, np.expand_dims(ops.astype(indices, np.int64), at), count)
    return ops.where(
        ops.equal(wrapped, along(np.arange(count), at, rank)), values[1:2].reshape(()), values[:1].reshape(())
    )


@operator("ArrayFeatureExtractor", domain="ai.onnx.ml")
def array_feature_extractor(x: Array, indices: Array) -> Array:
    return ops.take(x, indices.reshape(-1), -1)
