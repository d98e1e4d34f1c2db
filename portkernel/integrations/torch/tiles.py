"""ATen's elementwise functions as functions of tiles, for :mod:`.pointwise` to wrap and for graphs to fuse.

Arguments are tiles in the dtype of the computation, or numbers; they come in ATen's order.
"""

from __future__ import annotations

from typing import Any

import portkernel as pk
from portkernel.ops.library import module

from .. import tiles as shared

Tile = Any
fmod, divide_trunc = shared.fmod, shared.quotient
place = shared.place
_activations, _functions, _trigonometry = (module(name) for name in ("activations", "functions", "trigonometry"))
arcsin, arccos, arctan = (_trigonometry.arcsin.tile, _trigonometry.arccos.tile, _trigonometry.arctan.tile)
sinh, cosh = _trigonometry.sinh.tile, _trigonometry.cosh.tile
arcsinh, arccosh, arctanh = (_trigonometry.arcsinh.tile, _trigonometry.arccosh.tile, _trigonometry.arctanh.tile)


def add(x: Tile, y: Tile) -> Tile:
    return x + y


def add_scaled(x: Tile, y: Tile, alpha: Tile) -> Tile:
    return x + y * alpha


def subtract(x: Tile, y: Tile) -> Tile:
    return x - y


def subtract_scaled(x: Tile, y: Tile, alpha: Tile) -> Tile:
    return x - y * alpha


def reverse_subtract(x: Tile, y: Tile) -> Tile:
    return y - x


def reverse_subtract_scaled(x: Tile, y: Tile, alpha: Tile) -> Tile:
    return y - x * alpha


def multiply(x: Tile, y: Tile) -> Tile:
    return x * y


def multiply_bools(x: Tile, y: Tile) -> Tile:
    return pk.logical_and(x, y)


def add_bools(x: Tile, y: Tile) -> Tile:
    return pk.logical_or(x, y)


def divide(x: Tile, y: Tile) -> Tile:
    return x / y


def floor_divide(x: Tile, y: Tile) -> Tile:
    return x // y


def divide_trunc_float(x: Tile, y: Tile) -> Tile:
    return pk.trunc(x / y)


def remainder(x: Tile, y: Tile) -> Tile:
    return x % y


def power(x: Tile, y: Tile) -> Tile:
    return pk.power(x, y)


def square(x: Tile) -> Tile:
    return x * x


def cube(x: Tile) -> Tile:
    return x * x * x


def identity(x: Tile) -> Tile:
    return x


def negative(x: Tile) -> Tile:
    return pk.negative(x)


def absolute(x: Tile) -> Tile:
    return pk.abs(x)


def sign(x: Tile) -> Tile:
    return pk.sign(x)


def maximum(x: Tile, y: Tile) -> Tile:
    return pk.maximum(x, y)


def minimum(x: Tile, y: Tile) -> Tile:
    return pk.minimum(x, y)


def clamp(x: Tile, low: Tile, high: Tile) -> Tile:
    return pk.minimum(pk.maximum(x, low), high)


# --- comparisons, choice, bits ------------------------------------------------------------------------------


def equal(x: Tile, y: Tile) -> Tile:
    return x == y


def not_equal(x: Tile, y: Tile) -> Tile:
    return x != y


def less(x: Tile, y: Tile) -> Tile:
    return x < y


def less_equal(x: Tile, y: Tile) -> Tile:
    return x <= y


def greater(x: Tile, y: Tile) -> Tile:
    return x > y


def greater_equal(x: Tile, y: Tile) -> Tile:
    return x >= y


def where(condition: Tile, x: Tile, y: Tile) -> Tile:
    return pk.where(condition, x, y)


def masked_fill(x: Tile, mask: Tile, value: Tile) -> Tile:
    return pk.where(mask, value, x)


def logical_and(x: Tile, y: Tile) -> Tile:
    return pk.logical_and(x != 0, y != 0)


def logical_or(x: Tile, y: Tile) -> Tile:
    return pk.logical_or(x != 0, y != 0)


def logical_xor(x: Tile, y: Tile) -> Tile:
    return (x != 0) != (y != 0)


def logical_not(x: Tile) -> Tile:
    return x == 0


def isnan(x: Tile) -> Tile:
    return pk.isnan(x)


def isinf(x: Tile) -> Tile:
    return pk.isinf(x)


def isfinite(x: Tile) -> Tile:
    return pk.isfinite(x)


def never(x: Tile) -> Tile:
    return x != x


def always(x: Tile) -> Tile:
    return x == x


def bitwise_and(x: Tile, y: Tile) -> Tile:
    return x & y


def bitwise_or(x: Tile, y: Tile) -> Tile:
    return x | y


def bitwise_xor(x: Tile, y: Tile) -> Tile:
    return x ^ y


def bitwise_not(x: Tile) -> Tile:
    return pk.invert(x)


def left_shift(x: Tile, y: Tile) -> Tile:
    return x << y


def right_shift(x: Tile, y: Tile) -> Tile:
    return x >> y


# --- roundings, roots, exponentials, trigonometry -----------------------------------------------------------


def floor(x: Tile) -> Tile:
    return pk.floor(x)


def ceil(x: Tile) -> Tile:
    return pk.ceil(x)


def trunc(x: Tile) -> Tile:
    return pk.trunc(x)


def round(x: Tile) -> Tile:
    return pk.round(x)


def frac(x: Tile) -> Tile:
    return x - pk.trunc(x)


def sqrt(x: Tile) -> Tile:
    return pk.sqrt(x)


def rsqrt(x: Tile) -> Tile:
    return pk.rsqrt(x)


def reciprocal(x: Tile) -> Tile:
    return 1.0 / x


def exp(x: Tile) -> Tile:
    return pk.exp(x)


def exp2(x: Tile) -> Tile:
    return pk.exp2(x)


def expm1(x: Tile) -> Tile:
    return pk.expm1(x)


def log(x: Tile) -> Tile:
    return pk.log(x)


def log2(x: Tile) -> Tile:
    return pk.log2(x)


def log10(x: Tile) -> Tile:
    return pk.log10(x)


def log1p(x: Tile) -> Tile:
    return pk.log1p(x)


def sin(x: Tile) -> Tile:
    return pk.sin(x)


def cos(x: Tile) -> Tile:
    return pk.cos(x)


def tan(x: Tile) -> Tile:
    return pk.tan(x)


def arctan2(y: Tile, x: Tile) -> Tile:
    return pk.arctan2(y, x)


def tanh(x: Tile) -> Tile:
    return pk.tanh(x)


def erf(x: Tile) -> Tile:
    return pk.erf(x)


# --- activations and their gradients ------------------------------------------------------------------------


def sigmoid(x: Tile) -> Tile:
    return pk.sigmoid(x)


def relu(x: Tile) -> Tile:
    return pk.maximum(x, 0)


def silu(x: Tile) -> Tile:
    return x * pk.sigmoid(x)


def gelu(x: Tile) -> Tile:
    return _activations.activate(x, "gelu")


def gelu_tanh(x: Tile) -> Tile:
    return _activations.activate(x, "gelu_tanh")


def softplus(x: Tile, beta: Tile, threshold: Tile) -> Tile:
    z = x * beta
    return pk.where(z > threshold, x, (pk.maximum(z, 0) + pk.log1p(pk.exp(-pk.abs(z)))) / beta)


def leaky_relu(x: Tile, slope: Tile) -> Tile:
    return pk.where(x > 0, x, x * slope)


def elu(x: Tile, alpha: Tile, scale: Tile, input_scale: Tile) -> Tile:
    return pk.where(x > 0, x * scale, pk.expm1(pk.minimum(x, 0) * input_scale) * (alpha * scale))


def hardtanh(x: Tile, low: Tile, high: Tile) -> Tile:
    return pk.minimum(pk.maximum(x, low), high)


def hardsigmoid(x: Tile) -> Tile:
    return _functions.hardsigmoid.tile(x)


def hardswish(x: Tile) -> Tile:
    return _functions.hardswish.tile(x)


def mish(x: Tile) -> Tile:
    return _functions.mish.tile(x)


def relu6(x: Tile) -> Tile:
    return _functions.relu6.tile(x)


def softsign(x: Tile) -> Tile:
    return _functions.softsign.tile(x)


def logsigmoid(x: Tile) -> Tile:
    return _functions.logsigmoid.tile(x)


def threshold(x: Tile, limit: Tile, value: Tile) -> Tile:
    return pk.where(x <= limit, value, x)


def threshold_backward(grad: Tile, x: Tile, limit: Tile) -> Tile:
    return pk.where(x <= limit, 0, grad)


def sigmoid_backward(grad: Tile, y: Tile) -> Tile:
    return grad * y * (1 - y)


def tanh_backward(grad: Tile, y: Tile) -> Tile:
    return grad * (1 - y * y)


def silu_backward(grad: Tile, x: Tile) -> Tile:
    s = pk.sigmoid(x)
    return grad * s * (1 + x * (1 - s))


def gelu_backward(grad: Tile, x: Tile) -> Tile:
    phi = 0.5 * (1 + pk.erf(x * 0.7071067811865476))
    return grad * (phi + x * pk.exp(x * x * -0.5) * 0.3989422804014327)


def gelu_tanh_backward(grad: Tile, x: Tile) -> Tile:
    t = pk.tanh((x + x * x * x * 0.044715) * 0.7978845608028654)
    slope = (1 + 3 * 0.044715 * x * x) * 0.7978845608028654
    return grad * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)


def leaky_relu_backward(grad: Tile, x: Tile, slope: Tile) -> Tile:
    return pk.where(x > 0, grad, grad * slope)


def hardtanh_backward(grad: Tile, x: Tile, low: Tile, high: Tile) -> Tile:
    return pk.where(pk.logical_or(x <= low, x >= high), 0, grad)


def softplus_backward(grad: Tile, x: Tile, beta: Tile, limit: Tile) -> Tile:
    z = x * beta
    return pk.where(z > limit, grad, grad * pk.sigmoid(z))


# --- several operands ---------------------------------------------------------------------------------------


def addcmul(x: Tile, a: Tile, b: Tile, value: Tile) -> Tile:
    return x + value * a * b


def addcdiv(x: Tile, a: Tile, b: Tile, value: Tile) -> Tile:
    return x + value * a / b


def lerp(x: Tile, end: Tile, weight: Tile) -> Tile:
    return pk.where(pk.abs(weight) < 0.5, x + weight * (end - x), end - (end - x) * (1 - weight))


def fill(x: Tile, value: Tile) -> Tile:
    return pk.where(x == x, value, value)


def replace(x: Tile, y: Tile) -> Tile:
    return y
