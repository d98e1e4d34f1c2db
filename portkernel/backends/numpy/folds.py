"""Folds along an axis: reductions, arg-reductions, scans. Axes count from the tile's first; programs stand before them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...dtypes import DType
from ...lang.evaluate import is_narrow
from ...lang.functions import BINARY, FOLDS, Array

Arrays = tuple[Array, ...]
Combine = Callable[[Arrays], Arrays]


def _ufunc(fn: str) -> np.ufunc:
    found = BINARY[FOLDS[fn]].numpy
    assert isinstance(found, np.ufunc), fn
    return found


def _widened(x: Array, dtype: DType) -> Array:
    return x.astype(np.float32) if is_narrow(dtype) else x


def reduce(fn: str, x: Array, axis: int, dtype: DType) -> Array:
    """A named fold. Integers wrap in ``dtype``; 16-bit floats fold in float32 and are rounded once."""
    wide = _widened(x, dtype)
    folded: Array = _ufunc(fn).reduce(wide, axis=axis + 1, dtype=wide.dtype)
    return folded.astype(dtype.np, copy=False)


def arg_reduce(fn: str, x: Array, axis: int, dtype: DType) -> Array:
    """int32 index of the extreme: the first of equals, the first NaN before all."""
    find = {"argmax": np.argmax, "argmin": np.argmin}[fn]
    found: Array = find(_widened(x, dtype), axis=axis + 1)
    return found.astype(np.int32)


def scan(fn: str, x: Array, axis: int, reverse: bool, dtype: DType) -> Array:
    """The inclusive running fold."""
    wide = _widened(x, dtype)
    wide = np.flip(wide, axis + 1) if reverse else wide
    folded: Array = _ufunc(fn).accumulate(wide, axis=axis + 1, dtype=wide.dtype)
    return (np.flip(folded, axis + 1) if reverse else folded).astype(dtype.np, copy=False)


def lines(x: Array, axis: int) -> Array:
    """``(side, programs * other sides)``: the elements along ``axis``, one row after the other."""
    moved = np.moveaxis(x, axis + 1, 0)
    return moved.reshape(moved.shape[0], -1)


def combine_reduce(rows: Arrays, combine: Combine) -> Arrays:
    """Fold rows with ``combine``, from the first to the last."""
    found = tuple(r[0] for r in rows)
    for i in range(1, len(rows[0])):
        found = combine((*found, *(r[i] for r in rows)))
    return found


def combine_scan(rows: Arrays, reverse: bool, combine: Combine) -> Arrays:
    """Every accumulator on the way, in the order of the rows."""
    order = range(len(rows[0]))[::-1] if reverse else range(len(rows[0]))
    found = tuple(r[order[0]] for r in rows)
    results = tuple(np.empty_like(r) for r in rows)
    for step, i in enumerate(order):
        if step:
            found = combine((*found, *(r[i] for r in rows)))
        for result, value in zip(results, found, strict=True):
            result[i] = value
    return results
