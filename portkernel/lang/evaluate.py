"""What elementwise operations compute, on NumPy arrays: shared by constant folding and the reference backend.

Arrays hold the logical dtype (bfloat16 and the 8-bit floats as ``ml_dtypes`` types) and are never 0-d, because NumPy's
scalars follow other rules of overflow.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import cast

import numpy as np

from ..dtypes import DType, Scalar, float32
from .functions import BINARY, UNARY, Array

_SINGLE = np.dtype(np.float32)


def quiet() -> AbstractContextManager[None]:
    """No NumPy warnings: overflow, division by zero and NaN are values here, not events."""
    return np.errstate(all="ignore")


def is_narrow(dtype: DType) -> bool:
    """True for the floats that compute in float32 and round each result."""
    return dtype.is_float and dtype.bits < 32


def constant(value: Scalar, dtype: DType) -> Array:
    """``value`` rounded to ``dtype``: an array of one element."""
    if dtype.is_float:
        with quiet():
            return narrowed(np.array([float(value)], np.float64), dtype)
    return np.array([value], dtype.np)


def scalar(x: Array, dtype: DType) -> Scalar:
    """The only element of ``x`` as Python's bool, int or float."""
    if dtype.is_float:
        return float(x.astype(np.float64).reshape(-1)[0])
    found = x.reshape(-1)[0].item()
    return bool(found) if dtype.is_bool else int(found)


def narrowed(x: Array, target: DType) -> Array:
    """Floats ``x`` rounded to the float ``target``, to nearest even: to bfloat16 and the 8-bit floats by way of float32.

    ``ml_dtypes`` does the same up to version 0.6; 0.7 rounds float64 once.
    """
    if x.dtype == np.float64 and is_narrow(target) and target.name != "float16":
        x = x.astype(_SINGLE)
    return x.astype(target.np)


def unary(fn: str, x: Array, dtype: DType, result: DType) -> Array:
    """``UNARY[fn]`` of ``x``, whose elements are of ``dtype``."""
    return _finish(UNARY[fn].numpy(_start(x, dtype)), result)


def binary(fn: str, x: Array, y: Array, dtype: DType, result: DType) -> Array:
    """``BINARY[fn]`` of ``x`` and ``y``, whose elements are of ``dtype``."""
    return _finish(BINARY[fn].numpy(_start(x, dtype), _start(y, dtype)), result)


def _start(x: Array, dtype: DType) -> Array:
    return x.astype(_SINGLE) if is_narrow(dtype) else x


def _finish(x: Array, result: DType) -> Array:
    return x if x.dtype == result.np else x.astype(result.np)


def convert(x: Array, source: DType, target: DType) -> Array:
    """``x`` cast: nearest even; integers wrap; float to integer truncates and saturates, NaN gives 0; nonzero is true.

    float64 and the integers go to bfloat16 and the 8-bit floats through float32, with two roundings (float64 to float16 has
    one); what overflows float8_e4m3fn is NaN, float8_e5m2 infinite.
    """
    if source == target:
        return x
    if target.is_bool:
        wide = _start(x, source)
        return cast(Array, wide != wide.dtype.type(0))
    if source.is_float and target.is_integer:
        return _saturate(_start(x, source), target)
    if is_narrow(target) and not source.is_float:
        return x.astype(_SINGLE).astype(target.np)
    return narrowed(x, target) if source.is_float and target.is_float else x.astype(target.np)


def _saturate(x: Array, target: DType) -> Array:
    """The limits are exact: the least value and one above the largest are powers of two (or 0)."""
    kind = x.dtype.type
    above = np.greater_equal(x, kind(float(target.max + 1)))
    below = np.less_equal(x, kind(float(target.min)))
    inside = ~(above | below | np.isnan(x))
    result = np.where(inside, x, kind(0)).astype(target.np)
    result[above] = target.np.type(target.max)
    result[below] = target.np.type(target.min)
    return result


def round_to_tf32(x: Array) -> Array:
    """float32 rounded to 10 fraction bits, to nearest, ties away from zero; infinities and NaN stay."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    rounded = ((bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(float32.np)
    return cast(Array, np.where(np.isfinite(x), rounded, x))
