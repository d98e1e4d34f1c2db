"""Elements that satisfy something: how many there are is read on the host, as it decides a shape."""

from __future__ import annotations

import math

import numpy as np

from portkernel import ops

from ..registry import operator
from . import formulas
from .arrays import Array, integers, reshaped


def marked(flags: Array) -> Array:
    """The places of the true elements of a vector, in order."""
    count = int(ops.count_nonzero(flags))
    return ops.argsort(ops.astype(flags, np.int8), -1, True)[:count]


@operator("NonZero")
def non_zero(x: Array) -> Array:
    flat = reshaped(x, (x.size,))
    at = marked(ops.not_equal(flat, np.zeros((), x.dtype)))
    steps = [math.prod(x.shape[i + 1 :]) for i in range(x.ndim)]
    rows = [ops.elementwise(formulas.digit, at, step, n) for step, n in zip(steps, x.shape, strict=True)]
    return ops.stack(rows) if rows else np.zeros((0, at.size), np.int64)


@operator("Compress")
def compress(x: Array, condition: Array, axis: int | None = None) -> Array:
    seen = reshaped(x, (x.size,)) if axis is None else x
    return ops.take(seen, marked(condition), axis or 0)


@operator("Unique")
def unique(x: Array, axis: int | None = None, sorted: int = 1) -> tuple[Array, ...]:
    """Rows in order, equal neighbours found by comparing each with the one before."""
    at = 0 if axis is None else axis % x.ndim
    seen = reshaped(x, (x.size,)) if axis is None else x
    n = seen.shape[at]
    lines = reshaped(np.moveaxis(seen, at, 0), (n, seen.size // n if n else 0))
    order = ops.arange(n)
    for column in reversed(range(lines.shape[1])):
        keys = ops.take(lines[:, column], order, 0)
        order = ops.take(order, ops.argsort(keys), 0)
    ranked = ops.take(lines, order, 0)
    differs = ops.any(ops.not_equal(ranked[1:], ranked[:-1]), 1)
    new = ops.concatenate([ops.ones(1, np.bool_), differs])
    group = ops.subtract(ops.cumsum(new, 0, dtype=np.int64), np.ones((), np.int64))
    starts = marked(new)
    first = ops.take(order, starts, 0)
    counts = ops.subtract(ops.concatenate([starts[1:], np.asarray([n])]), starts)
    inverse = ops.take(group, ops.argsort(order), 0)
    if not sorted:
        by_first = ops.argsort(first)
        rank = ops.argsort(by_first)
        first, counts = ops.take(first, by_first, 0), ops.take(counts, by_first, 0)
        inverse = ops.take(rank, inverse, 0)
    return ops.take(seen, first, at), first, inverse, counts


@operator("NonMaxSuppression")
def non_max_suppression(
    boxes: Array,
    scores: Array,
    max_output_boxes_per_class: Array | None = None,
    iou_threshold: Array | None = None,
    score_threshold: Array | None = None,
    center_point_box: int = 0,
) -> Array:
    most = 0 if max_output_boxes_per_class is None else integers(max_output_boxes_per_class)[0]
    limit = 0.0 if iou_threshold is None else float(np.asarray(iou_threshold).reshape(()))
    edges = _edges(boxes, bool(center_point_box))
    found = [np.zeros((0, 3), np.int64)]
    for batch in range(scores.shape[0]):
        for kind in range(scores.shape[1]):
            value, order = ops.sort(scores[batch, kind], -1, True)
            if score_threshold is not None:
                high = ops.greater(value, np.asarray(score_threshold).reshape(()))
                order = order[: int(ops.count_nonzero(high))]
            if not most or not order.size:
                continue
            chosen = [ops.take(e[batch], order, 0) for e in edges]
            overlap = _overlaps(chosen)
            at = marked(ops.greedy_suppress(overlap[None], limit)[0])[:most]
            picked = ops.take(order, at, 0)
            lead = [ops.full((picked.size,), k, np.int64) for k in (batch, kind)]
            found.append(ops.stack([*lead, picked], 1))
    return ops.concatenate(found, 0)


def _edges(boxes: Array, centred: bool) -> list[Array]:
    """Top, left, bottom and right of all boxes ``(B, N)``, whichever corner comes first."""
    parts = [boxes[..., i] for i in range(4)]
    if centred:
        x, y, w, h = parts
        pairs = [(y, h), (x, w)]
        low = [ops.elementwise(formulas.beside, c, s, -0.5) for c, s in pairs]
        high = [ops.elementwise(formulas.beside, c, s, 0.5) for c, s in pairs]
        return [*low, *high]
    a, b, c, d = parts
    return [ops.minimum(a, c), ops.minimum(b, d), ops.maximum(a, c), ops.maximum(b, d)]


def _overlaps(edges: list[Array]) -> Array:
    """Intersection over union of each two boxes."""
    rows, columns = ([e[:, None] for e in edges], [e[None] for e in edges])
    return ops.elementwise(formulas.intersection_over_union, *rows, *columns)
