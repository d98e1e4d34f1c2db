"""Functions of tiles that ONNX defines and NumPy has no name for: each becomes one kernel by ``pk.ops.elementwise``.

Errors are those of the functions of the language that they are made of; the docstrings say where it is more.
"""

from __future__ import annotations

from typing import Any

import portkernel as pk

Tile = Any


def unchanged(x: Tile) -> Tile:
    return x


def reciprocal(x: Tile) -> Tile:
    return 1.0 / x


def quotient(x: Tile, y: Tile) -> Tile:
    """Of integers, rounded towards zero."""
    down = x // y
    return pk.where((x % y != 0) & ((x < 0) != (y < 0)), down + 1, down)


def quotient_by(x: Tile, y: Tile) -> Tile:
    return x / y


def fmod(x: Tile, y: Tile) -> Tile:
    """The remainder with the sign of x."""
    rest = pk.abs(x) % pk.abs(y)
    return pk.where(x < 0, -rest, rest)


def softsign(x: Tile) -> Tile:
    return x / (1.0 + pk.abs(x))


def leaky_relu(x: Tile, alpha: Tile) -> Tile:
    return pk.where(x < 0, x * alpha, x)


def prelu(x: Tile, slope: Tile) -> Tile:
    return pk.where(x < 0, x * slope, x)


def elu(x: Tile, alpha: Tile) -> Tile:
    return pk.where(x < 0, pk.expm1(pk.minimum(x, 0)) * alpha, x)


def celu(x: Tile, alpha: Tile) -> Tile:
    return pk.maximum(x, 0) + pk.minimum(pk.expm1(x / alpha) * alpha, 0)


def selu(x: Tile, alpha: Tile, gamma: Tile) -> Tile:
    return pk.where(x > 0, x, pk.expm1(pk.minimum(x, 0)) * alpha) * gamma


def hard_sigmoid(x: Tile, alpha: Tile, beta: Tile) -> Tile:
    return pk.minimum(pk.maximum(x * alpha + beta, 0), 1)


def hard_swish(x: Tile) -> Tile:
    return x * pk.minimum(pk.maximum(x * (1.0 / 6.0) + 0.5, 0), 1)


def mish(x: Tile) -> Tile:
    return x * pk.tanh(pk.maximum(x, 0) + pk.log1p(pk.exp(-pk.abs(x))))


def swish(x: Tile, alpha: Tile) -> Tile:
    return x * pk.sigmoid(x * alpha)


def thresholded_relu(x: Tile, alpha: Tile) -> Tile:
    return pk.where(x > alpha, x, pk.zeros_like(x))


def shrink(x: Tile, bias: Tile, limit: Tile) -> Tile:
    zero = pk.zeros_like(x)
    return pk.where(x < -limit, (x + bias).astype(x.dtype), pk.where(x > limit, (x - bias).astype(x.dtype), zero))


def square(x: Tile) -> Tile:
    return x * x


def inverse_root(x: Tile, eps: Tile) -> Tile:
    return 1.0 / pk.sqrt(x + eps)


def nan_above(x: Tile, limit: Tile) -> Tile:
    """NaN where |x| is above ``limit``."""
    return pk.where(pk.abs(x) > limit, x - x + float("nan"), x)


def wrapped_unsigned(x: Tile, size: Tile) -> Tile:
    """The integer part of x modulo ``size``, a power of two."""
    return (x.astype(pk.int32) & (size - 1)).astype(pk.int8)


def wrapped_signed(x: Tile, size: Tile) -> Tile:
    """As :func:`wrapped_unsigned`, in ``[-size / 2, size / 2)``, its low bits the pattern of a small signed integer."""
    return (x.astype(pk.int32) & (size - 1)).astype(pk.int8)


def power_of_two(x: Tile) -> Tile:
    """The exponent byte of |x|, rounded up to a power of two: 255 for what is no number."""
    bits = pk.bitcast(pk.abs(x), pk.int32)
    exponent = (bits >> 23) + pk.where((bits & 0x7FFFFF) > 0, 1, 0)
    return pk.where(pk.isfinite(x), pk.minimum(exponent, 254), 255)


def small_float(x: Tile, mantissa: int, bias: int, unsigned_zero: bool) -> Tile:
    """The bits of x as a float of ``mantissa`` fraction bits and exponent ``bias``, nearest even; x is in range.

    Scaling by a power of two puts the last kept bit at 1, so that rounding to an integer rounds the fraction.
    """
    size = pk.abs(x)
    exponent = pk.maximum((pk.bitcast(size, pk.int32) >> 23) - 127, 1 - bias)
    unit = pk.bitcast((exponent - mantissa + 127) << 23, pk.float32)
    count = pk.round(size / unit).astype(pk.int32)
    carried = count >= (2 << mantissa)
    count = pk.where(carried, count >> 1, count)
    exponent = pk.where(carried, exponent + 1, exponent)
    normal = count >= (1 << mantissa)
    code = pk.where(normal, ((exponent + bias) << mantissa) + count - (1 << mantissa), count)
    negative = pk.bitcast(x, pk.int32) < 0
    if unsigned_zero:
        negative = negative & (code != 0)
    return code, negative


def e4m3fnuz(x: Tile) -> Tile:
    code, negative = small_float(x, 3, 8, True)
    code = pk.where(negative, code + 128, code)
    return pk.where(pk.isfinite(x) & (pk.abs(x) < 248.0), code, 128)


def e5m2fnuz(x: Tile) -> Tile:
    code, negative = small_float(x, 2, 16, True)
    code = pk.where(negative, code + 128, code)
    return pk.where(pk.isfinite(x) & (pk.abs(x) < 61440.0), code, 128)


def e2m1(x: Tile) -> Tile:
    code, negative = small_float(x, 1, 1, False)
    return pk.where(negative, code + 8, code)


def quantized(x: Tile, zero: Tile, low: Tile, high: Tile) -> Tile:
    """x rounded to even, plus the zero point, within the range of the quantized type."""
    rounded = pk.round(x)
    return pk.minimum(pk.maximum(rounded + zero.astype(rounded.dtype), low), high)


def span(high: Tile, low: Tile) -> Tile:
    return (high - low) / 255.0


def zero_of(low: Tile, scale: Tile) -> Tile:
    return pk.minimum(pk.maximum(pk.round(0.0 - low / scale), 0), 255)


def blend(old: Tile, new: Tile, momentum: Tile) -> Tile:
    return old * momentum + new * (1 - momentum)


def quotient_or_zero(x: Tile, y: Tile) -> Tile:
    return pk.where(y == 0, pk.zeros_like(x), x / pk.where(y == 0, pk.ones_like(y), y))


def local_response(x: Tile, total: Tile, alpha: Tile, beta: Tile, bias: Tile) -> Tile:
    return x / pk.power(total * alpha + bias, beta)


def standardized(x: Tile, mean: Tile, var: Tile) -> Tile:
    return (x - mean) / (pk.sqrt(var) + 1e-9)


def power_of_size(x: Tile, p: Tile) -> Tile:
    """|x| to the power of p."""
    return pk.power(pk.abs(x), p)


def progression(i: Tile, start: Tile, step: Tile) -> Tile:
    return i.astype(start.dtype) * step + start


def upper_triangle(x: Tile, row: Tile, column: Tile) -> Tile:
    return pk.where(column >= row, x, pk.zeros_like(x))


def lower_triangle(x: Tile, row: Tile, column: Tile) -> Tile:
    return pk.where(column <= row, x, pk.zeros_like(x))


def wrapped_index(i: Tile, n: Tile) -> Tile:
    """A negative index counted from the end."""
    return pk.where(i < 0, i + n, i)
