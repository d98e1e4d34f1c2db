"""Arguments to try every operator on, each with the answer and the error allowed.

What the tests compare, what ``pk.supports`` asks a target about, and what the coverage report measures are these samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module

import numpy as np

from ...dtypes import DType, as_dtype
from .sample import Array, Maker, Sample

_FAMILIES = (
    "elementwise", "products", "convolution", "pooling", "reductions", "normalisation", "indexing", "shapes",
)  # fmt: skip


@cache
def makers() -> dict[str, Maker]:
    """What makes the samples of each operator, by its name; :func:`add` adds to it."""
    found: dict[str, Maker] = {}
    for family in _FAMILIES:
        found.update(import_module(f"{__name__}.{family}").MAKERS)
    return found


def add(op: str, maker: Maker) -> None:
    """Let ``maker(dtype, rng)`` make the samples of the operator ``op``."""
    makers()[op] = maker


def samples(op: str, dtype: DType | str, rng: np.random.Generator | int = 0) -> list[Sample]:
    """Samples of the operator ``op`` on arrays of ``dtype``, the plainest first; none if it has none.

    They are made for any dtype, also one that the operator refuses: calling it says so. The same for a seeded ``rng``.

    >>> [s.label for s in samples("softmax", "float32")][0]
    'last axis'
    """
    maker = makers().get(op)
    seeded = np.random.default_rng(rng) if isinstance(rng, int) else rng
    return [] if maker is None else list(maker(as_dtype(dtype), seeded))


__all__ = ["Array", "Callable", "Iterator", "Maker", "Sample", "add", "makers", "samples"]
