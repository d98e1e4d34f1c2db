"""The product in float64 or exact integers, and the error that its kernels may make."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import portkernel as pk
from portkernel.catalog import exact, gamma, rounding
from portkernel.dtypes import dot_accumulator

from .. import activations

Operands = Mapping[str, np.ndarray]


def wide(x: np.ndarray) -> np.ndarray:
    """``x`` in float64, or in int64 if it holds integers or bools."""
    return x.astype(np.int64) if x.dtype.kind in "iub" else exact(x)


def before(a: np.ndarray, b: np.ndarray, extra: Operands, alpha: float = 1, beta: float = 0) -> np.ndarray:
    """``alpha·(a @ b)·scale + beta·out + bias + residual``; ``extra`` holds scale, out, bias and residual, if any."""
    with np.errstate(invalid="ignore"):
        found = np.matmul(wide(a), wide(b))
        found = found * alpha if alpha != 1 else found
        found = found * wide(extra["scale"]) if "scale" in extra else found
        found = found + beta * wide(extra["out"]) if beta else found
        for name in ("bias", "residual"):
            found = found + wide(extra[name]) if name in extra else found
    return np.asarray(found)


def bound(
    a: np.ndarray, b: np.ndarray, extra: Operands, dtype: pk.DType, stored: pk.DType, *, alpha: float = 1,
    beta: float = 0, activation: str = "none", splits: int = 1,
) -> np.ndarray:  # fmt: skip
    """What ``matmul`` promises for operands multiplied in ``dtype`` and a result in ``stored``."""
    sums = before(a, b, extra, alpha, beta)
    accumulator = dot_accumulator(dtype)
    if accumulator.is_integer and stored.is_integer:
        return np.zeros(sums.shape)
    working = accumulator if accumulator.is_float else pk.float32
    finite = [np.where(np.isfinite(wide(x)), np.abs(wide(x)), 0) for x in (a, b)]
    size = before(*finite, {k: np.abs(wide(x)) for k, x in extra.items()}, abs(alpha), abs(beta))
    terms = a.shape[-1] if accumulator.is_float else 1
    smallest = 2.0 ** (2 - (1 << (working.exponent - 1)) - working.mantissa)
    error = gamma(terms + splits + 5, working) * size + terms * smallest
    error = activations.error(np.nan_to_num(sums), error, activation, working)
    return error + rounding(activations.reference(sums, activation), stored)


def reference(a: np.ndarray, b: np.ndarray, extra: Operands, activation: str = "none", **factors: float) -> np.ndarray:
    """What ``matmul`` computes, before the rounding to the result's dtype."""
    return activations.reference(before(a, b, extra, **factors), activation)
