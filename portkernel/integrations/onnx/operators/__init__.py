"""The implementations, by family; importing this package fills the table."""

from __future__ import annotations

from . import (
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
    training,
)

__all__ = [
    "casts", "control", "convolution", "elementwise", "indexing", "matrix", "normalization", "pooling", "recurrent",
    "reduction", "resize", "sampling", "scatter", "selection", "sequence", "shape", "training",
]  # fmt: skip
