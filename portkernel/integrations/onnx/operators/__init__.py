"""The implementations, by family; importing this package fills the table."""

from __future__ import annotations

from . import (
    attention,
    casts,
    control,
    convolution,
    elementwise,
    indexing,
    matrix,
    normalization,
    pooling,
    recurrent,
    reduction,
    resize,
    sampling,
    scatter,
    selection,
    sequence,
    shape,
    text,
    training,
)

__all__ = [
    "attention", "casts", "control", "convolution", "elementwise", "indexing", "matrix", "normalization", "pooling",
    "recurrent", "reduction", "resize", "sampling", "scatter", "selection", "sequence", "shape", "text", "training",
]  # fmt: skip
