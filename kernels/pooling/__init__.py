"""Pooling in one to three dimensions: maxima with indices, means, adaptive windows, gradients."""

from __future__ import annotations

from .cases import ENTRIES
from .host import (
    adaptive_avg_pool,
    adaptive_avg_pool_input,
    adaptive_max_pool,
    adaptive_max_pool_input,
    avg_pool,
    avg_pool_input,
    max_pool,
    max_pool_input,
)

__all__ = [
    "ENTRIES",
    "adaptive_avg_pool", "adaptive_avg_pool_input", "adaptive_max_pool", "adaptive_max_pool_input", "avg_pool",
    "avg_pool_input", "max_pool", "max_pool_input",
]  # fmt: skip
