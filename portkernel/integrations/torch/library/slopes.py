"""Gradients of elementwise functions as functions of tiles: of the result's gradient, what was kept, and the numbers."""

from __future__ import annotations

from typing import Any

import portkernel as pk

Tile = Any


# --- of the argument ----------------------------------------------------------------------------------------


def absolute(g: Tile, x: Tile) -> Tile:
    return g * pk.sign(x)


def square(g: Tile, x: Tile) -> Tile:
    return 2 * x * g


def log(g: Tile, x: Tile) -> Tile:
    return g / x


def log2(g: Tile, x: Tile) -> Tile:
    return g / (x * 0.6931471805599453)


def log10(g: Tile, x: Tile) -> Tile:
    return g / (x * 2.302585092994046)


def log1p(g: Tile, x: Tile) -> Tile:
    return g / (x + 1)


def sin(g: Tile, x: Tile) -> Tile:
    return g * pk.cos(x)


def cos(g: Tile, x: Tile) -> Tile:
    return -g * pk.sin(x)


def arcsin(g: Tile, x: Tile) -> Tile:
    return g * pk.rsqrt((1 - x) * (1 + x))


def arccos(g: Tile, x: Tile) -> Tile:
    return -g * pk.rsqrt((1 - x) * (1 + x))


def arctan(g: Tile, x: Tile) -> Tile:
    return g / (x * x + 1)


def sinh(g: Tile, x: Tile) -> Tile:
    e = pk.exp(pk.abs(x) * 0.5)
    return g * (e * 0.5 * e + 0.5 / e / e)


def cosh(g: Tile, x: Tile) -> Tile:
    a = pk.abs(x)
    u = pk.expm1(pk.minimum(a, 1))
    e = pk.exp(a * 0.5)
    return g * pk.sign(x) * pk.where(a < 1, 0.5 * (u + u / (u + 1)), e * 0.5 * e - 0.5 / e / e)


def arcsinh(g: Tile, x: Tile) -> Tile:
    return g * pk.rsqrt(x * x + 1)


def arccosh(g: Tile, x: Tile) -> Tile:
    return g * pk.rsqrt((x - 1) * (x + 1))


def arctanh(g: Tile, x: Tile) -> Tile:
    return g / ((1 - x) * (1 + x))


def erf(g: Tile, x: Tile) -> Tile:
    return g * pk.exp(-x * x) * 1.1283791670955126


def softsign(g: Tile, x: Tile) -> Tile:
    d = pk.abs(x) + 1
    return g / d / d


def logsigmoid(g: Tile, x: Tile) -> Tile:
    return g * pk.sigmoid(-x)


def mish(g: Tile, x: Tile) -> Tile:
    t = pk.tanh(pk.maximum(x, 0) + pk.log1p(pk.exp(-pk.abs(x))))
    return g * (t + x * pk.sigmoid(x) * (1 - t * t))


def relu6(g: Tile, x: Tile) -> Tile:
    return pk.where(pk.logical_or(x <= 0, x >= 6), 0, g)


def hardsigmoid(g: Tile, x: Tile) -> Tile:
    return pk.where(pk.logical_or(x <= -3, x >= 3), 0, g / 6)


def hardswish(g: Tile, x: Tile) -> Tile:
    return pk.where(x <= -3, 0, pk.where(x >= 3, g, g * (x / 3 + 0.5)))


def clamp(g: Tile, x: Tile, low: Tile, high: Tile) -> Tile:
    return pk.where(pk.logical_and(x >= low, x <= high), g, 0)


def elu(g: Tile, x: Tile, alpha: Tile) -> Tile:
    return pk.where(x > 0, g, g * alpha * pk.exp(pk.minimum(x, 0)))


# --- of the result ------------------------------------------------------------------------------------------


def relu(g: Tile, y: Tile) -> Tile:
    return pk.where(y <= 0, 0, g)


def expm1(g: Tile, y: Tile) -> Tile:
    return g * (y + 1)


def exp2(g: Tile, y: Tile) -> Tile:
    return g * y * 0.6931471805599453


def tan(g: Tile, y: Tile) -> Tile:
    return g * (y * y + 1)


def sqrt(g: Tile, y: Tile) -> Tile:
    return g / (2 * y)


def rsqrt(g: Tile, y: Tile) -> Tile:
    return -0.5 * g * y * y * y


def reciprocal(g: Tile, y: Tile) -> Tile:
    return -g * y * y


# --- of one of two arguments --------------------------------------------------------------------------------


def maximum(g: Tile, x: Tile, y: Tile) -> Tile:
    return pk.where(x > y, g, pk.where(x == y, g * 0.5, 0))


def minimum(g: Tile, x: Tile, y: Tile) -> Tile:
    return pk.where(x < y, g, pk.where(x == y, g * 0.5, 0))


def power(g: Tile, x: Tile, y: Tile) -> Tile:
    return pk.where(y == 0, 0, g * y * pk.power(x, y - 1))


def power_exponent(g: Tile, x: Tile, y: Tile) -> Tile:
    return pk.where(pk.logical_and(x == 0, y >= 0), 0, g * pk.power(x, y) * pk.log(x))


def arctan2(g: Tile, y: Tile, x: Tile) -> Tile:
    return g * x / (x * x + y * y)
