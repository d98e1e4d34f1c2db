"""The implementations, by family; importing this package fills the table."""

from __future__ import annotations

from . import control, convolution, elementwise, indexing, matrix, normalization, pooling, reduction, sequence, shape

__all__ = [
    "control", "convolution", "elementwise", "indexing", "matrix", "normalization", "pooling", "reduction", "sequence",
    "shape",
]  # fmt: skip
