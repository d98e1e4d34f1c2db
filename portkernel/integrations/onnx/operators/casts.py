"""Casts between all types of ONNX, quantization and back.

Types of 8 bits and less that the kernel language lacks travel as bytes: a table of 256 values decodes one, and a
formula over float32 finds the byte that stands for a number.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import helper

from portkernel import ops
from portkernel.dtypes import BY_NAME
from portkernel.errors import UncoveredOperatorError

from ..registry import operator
from . import formulas
from .arrays import Array, along, copied

_LARGEST = {
    "float8_e4m3fn": 448.0, "float8_e4m3fnuz": 240.0, "float8_e5m2": 57344.0, "float8_e5m2fnuz": 57344.0,
    "float4_e2m1fn": 6.0,
}  # fmt: skip


def numpy_dtype(to: int) -> np.dtype[Any]:
    """NumPy's dtype of an ONNX element type. Raises UncoveredOperatorError for strings and complex numbers."""
    if to in (onnx.TensorProto.STRING, onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128):
        raise UncoveredOperatorError(f"onnx: expected numbers, got {onnx.TensorProto.DataType.Name(to)}")
    return np.dtype(helper.tensor_dtype_to_np_dtype(to))


def is_ours(dtype: np.dtype[Any]) -> bool:
    """True for a dtype of the kernel language."""
    return dtype.name in BY_NAME


@cache
def _table(dtype: np.dtype[Any]) -> Array:
    """The value of every byte: float32, or int32 for integers of few bits."""
    values = np.arange(256, dtype=np.uint8).view(dtype)
    return values.astype(np.int32 if dtype.name.startswith(("int", "uint")) else np.float32)


def decoded(x: Array) -> Array:
    """``x`` in a dtype of the kernel language: what is not is looked up."""
    if x.dtype.kind == "O":
        raise UncoveredOperatorError("onnx: expected numbers, got strings")
    if x.dtype.kind == "c":
        raise UncoveredOperatorError("onnx: expected real numbers, got complex ones")
    if is_ours(x.dtype):
        return x
    flat = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
    return ops.take(_table(x.dtype), ops.astype(flat, np.int32), 0).reshape(x.shape)


def cast(x: Array, dtype: np.dtype[Any], saturate: bool = True) -> Array:
    """``x`` as ``dtype``, by ONNX's rules: floats round to even, to integers they truncate, 8-bit floats saturate or not."""
    x = decoded(x)
    if x.dtype.kind == "f" and dtype.kind in "iu" and is_ours(dtype) and dtype.itemsize < 4:
        return ops.astype(ops.astype(x, np.int32), dtype)  # through int32, as C does it: what is outside wraps
    if is_ours(dtype) and dtype.name not in _LARGEST:
        return ops.astype(x, dtype)
    x = x if x.dtype == np.float32 else ops.astype(x, np.float32)
    return encoded(x, dtype, saturate)


def encoded(x: Array, dtype: np.dtype[Any], saturate: bool = True) -> Array:
    """float32 ``x`` as a type of 8 bits or less, nearest even."""
    name = dtype.name
    if name.startswith(("int", "uint")):
        bits = int(name.lstrip("uint"))
        return ops.elementwise(formulas.low_bits, ops.astype(x, np.int32), (1 << bits) - 1, dtype=np.uint8).view(dtype)
    if name == "float8_e8m0fnu":
        return ops.elementwise(formulas.power_of_two, x, dtype=np.uint8).view(dtype)
    if is_ours(dtype):
        if saturate:
            return ops.astype(ops.clip(x, -_LARGEST[name], _LARGEST[name]), dtype)
        if name == "float8_e4m3fn":
            return ops.astype(ops.elementwise(formulas.nan_above, x, 464.0), dtype)
        return ops.astype(x, dtype)
    kind = {"float8_e4m3fnuz": formulas.e4m3fnuz, "float8_e5m2fnuz": formulas.e5m2fnuz, "float4_e2m1fn": formulas.e2m1}
    formula = kind[name]
    limit = _LARGEST[name]
    if saturate or name == "float4_e2m1fn":
        x = ops.clip(x, -limit, limit)
    return ops.elementwise(formula, x, dtype=np.uint8).view(dtype)


@operator("Cast")
def cast_to(x: Array, to: int, saturate: int = 1, round_mode: str = "up") -> Array:
    return _converted(x, numpy_dtype(to), bool(saturate), round_mode)


@operator("CastLike")
def cast_like(x: Array, target: Array, saturate: int = 1, round_mode: str = "up") -> Array:
    if target.dtype.kind == "O":
        raise UncoveredOperatorError("onnx: CastLike: expected numbers, got strings")
    return _converted(x, target.dtype, bool(saturate), round_mode)


def _converted(x: Array, dtype: np.dtype[Any], saturate: bool, round_mode: str) -> Array:
    if dtype.name == "float8_e8m0fnu" and round_mode != "up":
        raise UncoveredOperatorError(f"onnx: round_mode: expected 'up', got {round_mode!r}")
    return cast(x, dtype, saturate) if x.dtype != dtype else copied(x)


# --- quantization -------------------------------------------------------------------------------------------


def spread(x: Array, scale: Array, axis: int, block: int) -> Array:
    """``scale`` so that it broadcasts with ``x``: one, one for each place of an axis, or one for each block of it."""
    if scale.size == 1 and not block:
        return scale.reshape(())
    axis %= x.ndim
    if (scale.ndim == 1 and x.ndim > 1) or not block:
        return along(scale, axis, x.ndim)
    bytes_ = scale.view(np.uint8) if not is_ours(scale.dtype) else scale
    times = np.broadcast_to(
        np.expand_dims(bytes_, axis + 1), (*scale.shape[: axis + 1], block, *scale.shape[axis + 1 :])
    )
    whole = copied(times).reshape([n * block if i == axis else n for i, n in enumerate(scale.shape)])
    cut = whole[(slice(None),) * axis + (slice(0, x.shape[axis]),)]
    return cut if bytes_ is scale else copied(cut).view(scale.dtype)


_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535), "int4": (-8, 7),
           "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3)}  # fmt: skip


@operator("QuantizeLinear")
def quantize(
    x: Array, scale: Array, zero_point: Array | None = None, axis: int = 1, block_size: int = 0, output_dtype: int = 0,
    saturate: int = 1, precision: int = 0,
) -> Array:  # fmt: skip
    if zero_point is not None:
        dtype = zero_point.dtype
    else:
        dtype = numpy_dtype(output_dtype) if output_dtype else np.dtype(np.uint8)
    factor = spread(x, decoded(scale), axis, block_size)
    wide = np.float64 if x.dtype == np.float64 else np.float32
    scaled = ops.divide(ops.astype(x, wide), ops.astype(factor, wide))
    if dtype.name not in _RANGES:
        return cast(scaled, dtype, bool(saturate))
    zero = np.zeros((), np.int32)
    if zero_point is not None:
        zero = ops.astype(spread(x, decoded(zero_point), axis, block_size), np.int32)
    low, high = _RANGES[dtype.name]
    found = ops.elementwise(formulas.quantized, scaled, zero, low, high, dtype=np.int32)
    return ops.astype(found, dtype) if is_ours(dtype) else encoded(ops.astype(found, np.float32), dtype)


@operator("DequantizeLinear")
def dequantize(
    x: Array, scale: Array, zero_point: Array | None = None, axis: int = 1, block_size: int = 0, output_dtype: int = 0
) -> Array:
    dtype = numpy_dtype(output_dtype) if output_dtype else scale.dtype
    value = ops.astype(decoded(x), np.float32) if x.dtype != np.int32 else x
    factor = ops.astype(spread(x, decoded(scale), axis, block_size), np.float32)
    if zero_point is not None:
        zero = spread(x, decoded(zero_point), axis, block_size)
        value = ops.subtract(value, zero if x.dtype == np.int32 else ops.astype(zero, np.float32))
    found = ops.multiply(ops.astype(value, np.float32), factor)
    return found if found.dtype == dtype else cast(found, dtype)


@operator("DynamicQuantizeLinear")
def dynamic_quantize(x: Array) -> tuple[Array, Array, Array]:
    high = ops.maximum(ops.max(x), 0.0)
    low = ops.minimum(ops.min(x), 0.0)
    scale = ops.elementwise(formulas.span, high, low)
    zero = ops.elementwise(formulas.zero_of, low, scale, dtype=np.uint8)
    return quantize(x, scale, zero), scale, zero
