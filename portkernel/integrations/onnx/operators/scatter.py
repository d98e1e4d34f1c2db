"""Elements by tuples of indices, and elements written to places."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from portkernel import ops

from ... import tiles
from ..registry import operator
from .arrays import Array, copied, one_of, reshaped

_MODES = {"none": "none", "add": "sum", "mul": "prod", "max": "max", "min": "min"}


def _mode(reduction: str) -> str:
    return _MODES[one_of("reduction", reduction, _MODES)]


@operator("ScatterElements", "Scatter")
def scatter_elements(x: Array, indices: Array, updates: Array, axis: int = 0, reduction: str = "none") -> Array:
    at = axis % x.ndim
    if all(n == m for i, (n, m) in enumerate(zip(x.shape, indices.shape, strict=True)) if i != at):
        return ops.put_along_axis(x, indices, updates, at, _mode(reduction))
    # Fewer indices than elements along another axis: the corner that they cover.
    corner = tuple(slice(0, m) if i != at else slice(None) for i, m in enumerate(indices.shape))
    out = copied(x)
    ops.put_along_axis(out[corner], indices, updates, at, _mode(reduction), out=out[corner])
    return out


def places(indices: Array, shape: Sequence[int], lead: tuple[Array, ...] = ()) -> Array:
    """The row-major places in ``shape`` that tuples of indices (the last axis) name, after those of ``lead``."""
    steps = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    parts = [*lead, *(indices[..., i] for i in range(indices.shape[-1]))]
    found = None
    for part, n, step in zip(parts, shape, steps, strict=True):
        term = ops.elementwise(tiles.place, part, n, step, dtype=np.int64)
        found = term if found is None else ops.add(found, term)
    return found


@operator("GatherND")
def gather_nd(x: Array, indices: Array, batch_dims: int = 0) -> Array:
    depth = indices.shape[-1]
    lead = tuple(
        np.arange(n).reshape([-1 if i == a else 1 for i in range(indices.ndim - 1)])
        for a, n in enumerate(x.shape[:batch_dims])
    )
    head, rest = x.shape[: batch_dims + depth], x.shape[batch_dims + depth :]
    where = places(indices, head, lead)
    rows = reshaped(x, (math.prod(head), math.prod(rest)))
    found = ops.take(rows, reshaped(where, (where.size,)), 0)
    return found.reshape((*indices.shape[:-1], *rest))


@operator("ScatterND")
def scatter_nd(x: Array, indices: Array, updates: Array, reduction: str = "none") -> Array:
    depth = indices.shape[-1]
    head, rest = x.shape[:depth], x.shape[depth:]
    where = places(indices, head)
    rows = reshaped(x, (math.prod(head), math.prod(rest)))
    each = np.broadcast_to(reshaped(where, (where.size, 1)), (where.size, rows.shape[1]))
    values = reshaped(updates, (where.size, rows.shape[1]))
    return ops.put_along_axis(rows, each, values, 0, _mode(reduction)).reshape(x.shape)


@operator("TensorScatter")
def tensor_scatter(
    past: Array, update: Array, write_indices: Array | None = None, axis: int = -2, mode: str = "linear"
) -> Array:
    one_of("mode", mode, ("linear", "circular"))
    at, n = axis % past.ndim, past.shape[axis]
    first = np.zeros(past.shape[0], np.int64) if write_indices is None else np.asarray(write_indices)
    steps = first[:, None] + np.arange(update.shape[at])
    steps = steps % n if mode == "circular" else steps
    shape = [update.shape[i] if i in (0, at) else 1 for i in range(past.ndim)]
    return ops.put_along_axis(past, np.broadcast_to(steps.reshape(shape), update.shape), update, at)


@operator("MaxUnpool")
def max_unpool(
    x: Array, indices: Array, output_shape: Array | None = None, kernel_shape: Sequence[int] = (),
    pads: Sequence[int] | None = None, strides: Sequence[int] | None = None,
) -> Array:  # fmt: skip
    """Indices count through the image that the pooling saw; a larger output keeps the places as numbers."""
    rank = x.ndim - 2
    step, pad = strides or [1] * rank, pads or [0] * (2 * rank)
    usual = [
        (n - 1) * s + k - a - b
        for n, s, k, a, b in zip(x.shape[2:], step, kernel_shape, pad[:rank], pad[rank:], strict=True)
    ]
    inner = (*x.shape[:2], *usual)
    flat = ops.zeros((math.prod(inner),), x.dtype)
    y = ops.put_along_axis(flat, reshaped(indices, (x.size,)), reshaped(x, (x.size,)), 0).reshape(inner)
    if output_shape is None or tuple(output_shape) == inner:
        return y
    more = [(0, int(n) - m) for n, m in zip(output_shape, inner, strict=True)]
    return ops.pad(y, more)
