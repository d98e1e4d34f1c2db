"""Constants rounded to a dtype without NumPy's optional types."""

from __future__ import annotations

import math

from ...dtypes import DType, float32


def nearest(value: float, dtype: DType) -> float:
    """``value`` rounded to nearest even in ``dtype``, as casts do: bfloat16 and the 8-bit floats by way of float32."""
    if dtype.name == "float8_e4m3fn" and math.isinf(value):
        return math.nan
    if not math.isfinite(value) or dtype.bits == 64:
        return value
    if dtype.name not in ("float32", "float16"):
        value = nearest(value, float32)
    if value == 0 or not math.isfinite(value):
        return nearest(value, dtype) if math.isinf(value) else value
    bias = (1 << (dtype.exponent - 1)) - 1
    scale = max(math.frexp(value)[1] - 1, 1 - bias) - dtype.mantissa
    rounded = math.ldexp(round(math.ldexp(value, -scale)), scale)
    if dtype.name == "float8_e4m3fn":  # no infinities: the top exponent holds numbers up to 448
        return rounded if abs(rounded) <= 448 else math.nan
    limit = math.ldexp(2 - 2.0**-dtype.mantissa, bias)
    return rounded if abs(rounded) <= limit else math.copysign(math.inf, value)
