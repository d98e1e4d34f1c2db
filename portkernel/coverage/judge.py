"""Results against their float64 reference: by how much they differ, and whether the bound holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalog import ratio
from ..dtypes import DType, as_dtype
from .model import Errors

Array = NDArray[Any]


def judge(got: Mapping[str, Array], want: Mapping[str, Array], bound: Mapping[str, Array], case: str) -> Errors:
    """The largest errors of all outputs. ``of_bound`` above 1, or NaN, means that the contract does not hold."""
    worst = Errors(case=case, cases=1)
    for name, reference in want.items():
        worst = merge(worst, compare(np.asarray(got[name]), np.asarray(reference), np.asarray(bound[name]), case))
    return replace(worst, cases=1)


def merge(a: Errors, b: Errors) -> Errors:
    """The larger of each; bound and case are those of the one closer to its bound."""
    near = b if not b.of_bound <= a.of_bound else a
    return Errors(
        near.of_bound,
        max(a.absolute, b.absolute),
        max(a.relative, b.relative),
        max(a.ulp, b.ulp),
        near.bound,
        near.case,
        a.cases + b.cases,
    )


def compare(got: Array, want: Array, bound: Array, case: str = "") -> Errors:
    """The errors of one output. Elements that are infinite or NaN on both sides agree; see :func:`portkernel.catalog.ratio`."""
    of_bound = ratio(got, want, bound)
    if got.shape != want.shape:
        return Errors(of_bound, case=case, cases=1)
    dtype = as_dtype(got.dtype)
    if not dtype.is_float:
        return Errors(of_bound, absolute=_count(got, want), case=case, cases=1)
    with np.errstate(all="ignore"):
        g, w = got.astype(np.float64), want.astype(np.float64)
        plain = np.isfinite(g) & np.isfinite(w)
        if not plain.any():
            return Errors(of_bound, case=case, cases=1)
        g, w, limit = g[plain], w[plain], np.broadcast_to(bound, want.shape)[plain].astype(np.float64)
        error: Array = np.abs(g - w)
        # Against zero there is no relative error; that element still counts in the other columns.
        relative = np.where(w != 0, error / np.abs(w), 0.0)
        nearest = int(np.argmax(np.where(error > 0, error / limit, 0.0)))
        steps = error / spacing(w, dtype)
    return Errors(
        of_bound, float(error.max()), float(relative.max()), float(steps.max()), float(limit[nearest]), case, 1
    )


def spacing(x: Array, dtype: DType) -> Array:
    """The distance between neighbouring values of ``dtype`` around each ``x``: the unit in the last place."""
    lowest = 2 - (1 << (dtype.exponent - 1))
    _, exponent = np.frexp(x)  # x = m · 2^exponent with m in [1/2, 1)
    place = np.maximum(np.where(x == 0, lowest, exponent - 1), lowest)
    return np.asarray(np.ldexp(1.0, place - dtype.mantissa))


def _count(got: Array, want: Array) -> float:
    """The largest difference of integers and bools."""
    if got.size == 0:
        return 0.0
    difference = np.abs(np.subtract(got.astype(object), want.astype(object))) if not np.array_equal(got, want) else 0
    return float(np.max(difference))
