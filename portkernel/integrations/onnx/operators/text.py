"""Counts of n-grams of numbers. Text itself has no kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from portkernel import ops
from portkernel.errors import UncoveredOperatorError

from ..registry import operator
from .arrays import Array


@operator("TfIdfVectorizer")
def tf_idf(
    x: Array,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: Sequence[int],
    ngram_indexes: Sequence[int],
    pool_int64s: Sequence[int] | None = None,
    weights: Sequence[float] | None = None,
    **_: Any,
) -> Array:
    """Each gram of the pool is compared with the numbers that lie 1 to ``max_skip_count + 1`` apart, in every row."""
    if pool_int64s is None:
        raise UncoveredOperatorError("onnx: TfIdfVectorizer: expected a pool of integers, got strings")
    rows = ops.astype(x if x.ndim == 2 else x[None], np.int64)
    width = max(ngram_indexes) + 1
    counts = ops.zeros((rows.shape[0], width), np.float32)
    starts = [*ngram_counts, len(pool_int64s)]
    first = 0
    for size in range(1, max_gram_length + 1):
        pool = np.asarray(pool_int64s[starts[size - 1] : starts[size]], np.int64).reshape(-1, size)
        places = np.asarray(ngram_indexes[first : first + len(pool)], np.int64)
        first += len(pool)
        if size < min_gram_length or not len(pool):
            continue
        for gap in range(1, max_skip_count + 2 if size > 1 else 2):
            length = rows.shape[1] - (size - 1) * gap
            if length <= 0:
                continue
            seen: Any = None
            for i in range(size):
                part = ops.equal(rows[:, i * gap : i * gap + length, None], pool[None, None, :, i])
                seen = part if seen is None else ops.logical_and(seen, part)
            found = ops.astype(ops.count_nonzero(seen, 1), np.float32)
            spread = np.broadcast_to(places, found.shape)
            counts = ops.put_along_axis(counts, spread, found, 1, "sum")
    y = counts if mode == "TF" else _weighted(counts, mode, weights, ngram_indexes)
    return y if x.ndim == 2 else y[0]


def _weighted(counts: Array, mode: str, weights: Sequence[float] | None, places: Sequence[int]) -> Array:
    """A weight belongs to a gram of the pool, and so to the place of its count."""
    factor = np.ones(counts.shape[1], np.float32)
    factor[np.asarray(places)] = 1.0 if weights is None else weights
    return ops.multiply(ops.minimum(counts, 1.0) if mode == "IDF" else counts, factor)
