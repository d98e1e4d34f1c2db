"""Inverse trigonometric and hyperbolic functions, made of the language's own, each one kernel over arrays that broadcast.

Bounds are in ulp of float32 and float64; float16 and bfloat16 are computed in float32 and rounded once.
"""

from __future__ import annotations

from functools import partial

import portkernel as pk

from . import functions

LN2 = 0.6931471805599453


def _arcsin(x):
    return pk.arctan2(x, pk.sqrt((1 - x) * (1 + x)))


def _arccos(x):
    return pk.arctan2(pk.sqrt((1 - x) * (1 + x)), x)


def _arctan(x):
    return pk.arctan2(x, 1)


def _sinh(x):
    """Near 0 by expm1; elsewhere by squaring exp(|x| / 2), which overflows where sinh does."""
    size = pk.abs(x)
    e = pk.expm1(pk.minimum(size, 1.0))
    half = pk.exp(size * 0.5)
    large = half * 0.5 * half - 0.5 / half / half
    y = pk.where(size < 1.0, (e + e / (e + 1)) * 0.5, large)
    return pk.where(x < 0, -y, pk.where(size == 0, x, y))


def _cosh(x):
    half = pk.exp(pk.abs(x) * 0.5)
    return half * 0.5 * half + 0.5 / half / half


def _arcsinh(x):
    """log1p of a form that cancels nothing; log |x| + log 2 where x² would overflow."""
    size = pk.abs(x)
    small = pk.minimum(size, 1e8)
    square = small * small
    y = pk.where(size < 1e8, pk.log1p(small + square / (1 + pk.sqrt(square + 1))), pk.log(size) + LN2)
    return pk.where(x < 0, -y, pk.where(size == 0, x, y))


def _arccosh(x):
    above = pk.minimum(x, 1e8) - 1
    y = pk.log1p(above + pk.sqrt(above) * pk.sqrt(above + 2))
    return pk.where(x < 1e8, y, pk.log(x) + LN2)


def _arctanh(x):
    size = pk.abs(x)
    y = pk.log1p(2 * size / (1 - size)) * 0.5
    return pk.where(x < 0, -y, pk.where(size == 0, x, y))


_made = partial(functions.made, module=__name__)

arcsin = _made("arcsin", _arcsin, 1, "The angle whose sine is x; NaN outside [-1, 1]. At most 10 ulp.")
arccos = _made("arccos", _arccos, 1, "The angle whose cosine is x; NaN outside [-1, 1]. At most 10 ulp.")
arctan = _made("arctan", _arctan, 1, "The angle whose tangent is x. At most 6 ulp.")
sinh = _made("sinh", _sinh, 1, "Hyperbolic sine. At most 12 ulp.")
cosh = _made("cosh", _cosh, 1, "Hyperbolic cosine. At most 12 ulp.")
arcsinh = _made("arcsinh", _arcsinh, 1, "Inverse hyperbolic sine. At most 8 ulp.")
arccosh = _made("arccosh", _arccosh, 1, "Inverse hyperbolic cosine; NaN below 1. At most 8 ulp.")
arctanh = _made("arctanh", _arctanh, 1, "Inverse hyperbolic tangent; NaN outside [-1, 1]. At most 8 ulp.")
