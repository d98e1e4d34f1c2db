"""Samples of elementwise functions: NumPy's function, the ulp that ours may be off, and where its arguments lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ... import dtypes
from ...catalog import exact, rounding, sample
from ...dtypes import DType
from .sample import Array, Maker, Sample, sample_of

Function = Callable[..., Any]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _gelu(x: Array) -> Array:
    return x * 0.5 * (1 + _erf(x / math.sqrt(2)))


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, 0)


def _hardsigmoid(x: Array) -> Array:
    return np.clip(x + 3, 0, 6) / 6


FLOATING: dict[str, tuple[Function, float, str]] = {
    "sqrt": (np.sqrt, 1, "above"), "rsqrt": (lambda x: 1 / np.sqrt(x), 2, "above"), "exp": (np.exp, 3, ""),
    "exp2": (np.exp2, 3, ""), "expm1": (np.expm1, 3, ""), "log": (np.log, 3, "above"), "log2": (np.log2, 3, "above"),
    "log10": (np.log10, 3, "above"), "log1p": (np.log1p, 2, "above"), "sin": (np.sin, 4, ""), "cos": (np.cos, 4, ""),
    "tan": (np.tan, 5, "unit"), "tanh": (np.tanh, 5, ""), "erf": (_erf, 16, ""), "sigmoid": (_sigmoid, 8, ""),
    "silu": (lambda x: x * _sigmoid(x), 9, ""), "softplus": (_softplus, 8, ""),
    "softsign": (lambda x: x / (1 + np.abs(x)), 4, ""), "logsigmoid": (lambda x: -_softplus(-x), 8, ""),
    "gelu": (_gelu, 40, ""), "mish": (lambda x: x * np.tanh(_softplus(x)), 24, ""), "hardsigmoid": (_hardsigmoid, 8, ""),
    "hardswish": (lambda x: x * _hardsigmoid(x), 8, ""), "reciprocal": (lambda x: 1 / x, 2, "above"),
    "leaky_relu": (lambda x: np.where(x > 0, x, x * 0.01), 2, ""),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), 4, ""),
    "arcsin": (np.arcsin, 10, "unit"), "arccos": (np.arccos, 10, "unit"), "arctan": (np.arctan, 6, ""),
    "sinh": (np.sinh, 12, ""), "cosh": (np.cosh, 12, ""), "arcsinh": (np.arcsinh, 8, ""),
    "arccosh": (np.arccosh, 12, "over one"), "arctanh": (np.arctanh, 8, "unit"),
}  # fmt: skip
"""Function in float64, ulp, and where its argument must lie."""
LARGEST_SLOPE = {"gelu", "mish", "hardswish", "hardsigmoid", "logsigmoid", "softplus"}
"""Functions whose bound is in ulp of |x| or 1, not of the result."""

PLAIN: dict[str, Function] = {
    "negative": np.negative, "absolute": np.abs, "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
    "round": np.round, "relu": lambda x: np.maximum(x, 0), "relu6": lambda x: np.clip(x, 0, 6),
    "hardtanh": lambda x: np.clip(x, -1, 1), "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite,
    "logical_not": np.logical_not, "square": np.square,
}  # fmt: skip
"""Exact, or rounded once, on floats and integers."""
BINARY: dict[str, Function] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "maximum": np.maximum,
    "minimum": np.minimum, "equal": np.equal, "not_equal": np.not_equal, "less": np.less, "less_equal": np.less_equal,
    "greater": np.greater, "greater_equal": np.greater_equal, "logical_and": np.logical_and,
    "logical_or": np.logical_or, "logical_xor": np.logical_xor,
}  # fmt: skip
QUOTIENT: dict[str, Function] = {"floor_divide": np.floor_divide, "remainder": np.remainder}
BITS: dict[str, Function] = {
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    "left_shift": np.left_shift, "right_shift": np.right_shift,
}  # fmt: skip


def working(dtype: DType) -> DType:
    """The dtype that a floating function of ``dtype`` is computed in."""
    return dtypes.float64 if dtype is dtypes.float64 else dtypes.float32


def stored(dtype: DType) -> DType:
    """The dtype of a floating function's result."""
    return dtype if dtype.is_float and not dtype.is_storage_only else dtypes.float32


def layouts(dtype: DType, rng: np.random.Generator, place: str = "") -> Iterator[tuple[str, Array]]:
    """An array in several memories, its elements where ``place`` says."""
    for label, x in (
        ("plain", sample(rng, (7, 65), dtype)),
        ("transposed", sample(rng, (33, 5), dtype).T),
        ("strided", sample(rng, (10, 2, 34), dtype)[::-2, :, ::3]),
        ("empty", sample(rng, (0, 3), dtype)),
        ("scalar", sample(rng, (), dtype)),
    ):
        yield label, placed(x, dtype, place)


def placed(x: Array, dtype: DType, place: str) -> Array:
    """``x`` moved into the domain of a function; its strides may be lost where it moves."""
    if not place:
        return x
    wide = np.abs(exact(x).astype(np.float64))
    match place:
        case "above":
            moved = wide + 1 if not dtype.is_float else wide + 0.125
        case "over one":
            moved = wide + 1.125
        case "unit":
            moved = np.clip(exact(x).astype(np.float64) / 4, -0.9, 0.9)
        case _:
            raise ValueError(place)
    out = np.empty_like(x)
    out[...] = moved.astype(dtype.np)
    return out


def _floating(name: str, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    fn, ulp, place = FLOATING[name]
    for label, x in layouts(dtype, rng, place):

        def reference(x: Array = x) -> Array:
            with np.errstate(all="ignore"):
                return np.asarray(fn(exact(x).astype(np.float64)))

        def bound(want: Array, x: Array = x) -> Array:
            size = np.abs(np.where(np.isfinite(want), want, 0))
            size = np.maximum(size, np.abs(exact(x).astype(np.float64))) + 1 if name in LARGEST_SLOPE else size
            return ulp * working(dtype).eps * size + rounding(want, stored(dtype))

        yield sample_of(label, (x,), {}, reference, bound, label if label != "plain" else "")


def _plain(name: str, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    fn = PLAIN[name]
    for label, x in layouts(dtype, rng):
        wide = exact(x)

        def reference(wide: Array = wide) -> Array:
            return np.asarray(fn(wide))

        def bound(want: Array) -> Array:
            return rounding(want, dtype) if name == "square" and dtype.is_float else np.zeros(want.shape)

        yield sample_of(label, (x,), {}, reference, bound, label if label != "plain" else "")


def pairs(dtype: DType, rng: np.random.Generator) -> Iterator[tuple[str, Array, Array]]:
    """Two arrays that broadcast, in several memories."""
    yield "plain", sample(rng, (7, 65), dtype), sample(rng, (7, 65), dtype)
    yield "broadcast", sample(rng, (7, 1, 33), dtype), sample(rng, (5, 1), dtype)
    yield "transposed", sample(rng, (33, 5), dtype).T, sample(rng, (5, 33), dtype)
    yield "strided", sample(rng, (10, 34), dtype)[::-2, ::3], sample(rng, (5, 12), dtype)
    yield "empty", sample(rng, (0, 3), dtype), sample(rng, (1, 3), dtype)


def _binary(name: str, fn: Function, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, y in pairs(dtype, rng):
        if name in ("divide", *QUOTIENT):
            y = placed(y, dtype, "above")
        if name in ("left_shift", "right_shift"):
            y = np.abs(y) % dtype.np.type(dtype.bits if dtype.bits > 1 else 8) if dtype.is_integer else y

        def reference(x: Array = x, y: Array = y) -> Array:
            wide = (exact(x), exact(y))
            if name == "divide":
                wide = (wide[0].astype(np.float64), wide[1].astype(np.float64))
            with np.errstate(all="ignore"):
                return np.asarray(fn(*wide))

        def bound(want: Array) -> Array:
            kind = stored(dtype) if name == "divide" else dtype
            if want.dtype == np.bool_ or not kind.is_float or name in ("maximum", "minimum", *QUOTIENT):
                return rounding(want, dtype) if name in QUOTIENT and dtype.is_float else np.zeros(want.shape)
            return 2 * working(kind).eps * np.abs(want) * (name == "divide") + rounding(want, kind)

        yield sample_of(label, (x, y), {}, reference, bound, label if label != "plain" else "")


# --- those with a shape of their own ------------------------------------------------------------------------


def _power(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, y in pairs(dtype, rng):
        x = placed(x, dtype, "above")
        y = np.abs(y) % dtype.np.type(3) if dtype.is_integer else y

        def reference(x: Array = x, y: Array = y) -> Array:
            return np.power(exact(x), exact(y))

        def bound(want: Array) -> Array:
            return (
                16 * working(dtype).eps * np.abs(want) + rounding(want, dtype)
                if dtype.is_float
                else np.zeros(want.shape)
            )

        yield sample_of(label, (x, y), {}, reference, bound, label if label != "plain" else "")


def _arctan2(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, y, x in pairs(dtype, rng):
        yield sample_of(
            label, (y, x), {}, lambda y=y, x=x: np.arctan2(exact(y).astype(np.float64), exact(x).astype(np.float64)),
            lambda want: 6 * working(dtype).eps * np.abs(want) + rounding(want, stored(dtype)),
            label if label != "plain" else "",
        )  # fmt: skip


def _clip(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    x, low, high = sample(rng, (7, 65), dtype), sample(rng, (65,), dtype), sample(rng, (7, 1), dtype)
    yield sample_of("numbers", (x, 1, 2), {}, lambda: np.clip(exact(x), 1, 2))
    yield sample_of(
        "broadcast", (x, low, high), {}, lambda: np.minimum(np.maximum(exact(x), exact(low)), exact(high)), None,
        "broadcast",
    )  # fmt: skip


def _clamp(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    x = sample(rng, (7, 65), dtype)
    yield sample_of("both", (x, 1, 2), {}, lambda: np.clip(exact(x), 1, 2))
    yield sample_of("below", (x,), {"min": 1}, lambda: np.maximum(exact(x), 1))


def _where(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, y in pairs(dtype, rng):
        c = rng.integers(0, 2, np.broadcast_shapes(x.shape, y.shape)).astype(np.bool_)
        yield sample_of(
            label, (c, x, y), {}, lambda c=c, x=x, y=y: np.where(c, exact(x), exact(y)), None,
            label if label != "plain" else "",
        )  # fmt: skip


def _invert(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x in layouts(dtype, rng):
        yield sample_of(label, (x,), {}, lambda x=x: np.invert(x), None, label if label != "plain" else "")


def _astype(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x in layouts(dtype, rng):
        want = lambda x=x: exact(x).astype(np.float64)  # noqa: E731
        yield sample_of(
            label, (x, "float32"), {}, want, lambda w: rounding(w, dtypes.float32), label if label != "plain" else ""
        )


def _elementwise(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, y in pairs(dtype, rng):
        yield sample_of(
            label, (_axpy, x, y), {}, lambda x=x, y=y: exact(x) + exact(y) + exact(y),
            lambda want, x=x, y=y: 2 * working(dtype).eps * (np.abs(exact(x)) + 2 * np.abs(exact(y))) + rounding(want, dtype)
            if dtype.is_float else np.zeros(want.shape),
            label if label != "plain" else "",
        )  # fmt: skip


def _axpy(x: Any, y: Any) -> Any:
    return x + y + y


MAKERS: dict[str, Maker] = {
    **{name: partial(_floating, name) for name in FLOATING},
    **{name: partial(_plain, name) for name in PLAIN},
    **{name: partial(_binary, name, fn) for name, fn in (BINARY | QUOTIENT | BITS).items()},
    "power": _power,
    "arctan2": _arctan2,
    "clip": _clip,
    "clamp": _clamp,
    "where": _where,
    "invert": _invert,
    "astype": _astype,
    "elementwise": _elementwise,
}
