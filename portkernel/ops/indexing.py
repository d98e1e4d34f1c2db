"""Indexing and joining under PyTorch's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ArgumentShapeError
from .library import module

arrays, library, pads, scatters = module("arrays"), module("gather"), module("pad"), module("scatter")
Array = Any


def index_select(
    x: Array, dim: int, index: Array, *, out: Array | None = None, backend: str | None = None, device: str | None = None
) -> Array:
    """``torch.index_select``: the slices of x at ``index``, a vector, along ``dim``; as ``take``."""
    return library.take(x, index, dim, out=out, backend=backend, device=device)


def gather(
    x: Array, dim: int, index: Array, *, out: Array | None = None, backend: str | None = None, device: str | None = None
) -> Array:
    """``torch.gather``: ``x[…, index[…, i, …], …]`` along ``dim``, for index of x's rank and at most its other sizes.

    Any dtype, strides; exact. A negative index counts from the end; one outside raises DeviceAssertionError.
    """
    where = "gather()"
    arrays.dtype_of(f"{where}: x", x)
    arrays.dtype_of(f"{where}: index", index)
    ndim = len(x.shape)
    (a,) = arrays.normal_axes(where, (dim,), ndim)
    sizes = zip(index.shape, x.shape, strict=False)
    if len(index.shape) != ndim or any(m > n for i, (m, n) in enumerate(sizes) if i != a):
        raise ArgumentShapeError(
            f"{where}: index: expected at most shape {tuple(x.shape)} but along axis {a}, got {tuple(index.shape)}"
        )
    cut = x[tuple(slice(None) if i == a else slice(0, int(n)) for i, n in enumerate(index.shape))]
    return library.take_along_axis(cut, index, a, out=out, backend=backend, device=device)


def index_add(
    x: Array, dim: int, index: Array, source: Array, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``torch.index_add``: a copy of x with ``source`` added along ``dim`` at ``index``; as ``scatter_add``."""
    return scatters.scatter_add(x, dim, index, source, out=out, backend=backend, device=device)


def cat(
    tensors: Sequence[Array], dim: int = 0, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``torch.cat``: as ``concatenate``."""
    return pads.concatenate(tensors, dim, out=out, backend=backend, device=device)
