"""The table of elementwise functions: type rule, NumPy meaning, error bound. Spelling is each backend's own.

A function of float16 or bfloat16 is computed in float32 and rounded once; ``ulp`` bounds the error of the
float32 and float64 forms, in units in the last place (OpenCL 1.2 specification, section 7.4, is the loosest of
our routes and sets most of them).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..dtypes import DType, bool_, check_arithmetic, floating, promote
from ..errors import DTypeError

Array = NDArray[np.generic]
Rule = Literal["number", "floating", "predicate", "compare", "any", "bits", "shift"]


@dataclass(frozen=True, slots=True)
class Function:
    """``numpy`` takes arrays of the operands' dtype and returns one of the result's."""

    name: str
    rule: Rule
    numpy: Callable[..., Array]
    ulp: float = 0.0


def operand_dtype(fn: Function, dtype: DType) -> DType:
    """The dtype that operands of ``dtype`` are cast to. Raises :class:`DTypeError` where the function has no meaning."""
    check_arithmetic(dtype, f"{fn.name}(): x")
    match fn.rule:
        case "floating" | "predicate":
            return floating(dtype)
        case "bits":
            if dtype.is_float:
                raise DTypeError(f"{fn.name}(): x: expected an integer or bool dtype, got {dtype}")
        case "shift":
            if not dtype.is_integer:
                raise DTypeError(f"{fn.name}(): x: expected an integer dtype, got {dtype}")
        case "number":
            if dtype.is_bool:
                raise DTypeError(
                    f"{fn.name}(): x: expected a number, got bool", hint="use & | ^ ~ for logic, or astype(pk.int32)"
                )
        case "compare" | "any":
            pass
    return dtype


def result_dtype(fn: Function, dtype: DType) -> DType:
    return bool_ if fn.rule in ("predicate", "compare") else dtype


def common_dtype(fn: Function, a: DType, b: DType) -> DType:
    """The dtype that both operands of a binary function are cast to."""
    check_arithmetic(a, f"{fn.name}(): x")
    check_arithmetic(b, f"{fn.name}(): y")
    return operand_dtype(fn, promote(a, b))


def _erf(x: Array) -> Array:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x)).astype(x.dtype)


def _floordiv(x: Array, y: Array) -> Array:
    return np.floor_divide(x, y)  # integers: x // 0 is 0 and the least value // -1 wraps


def _pow(x: Array, y: Array) -> Array:
    """Floats: C's pow. Integers: the product wraps; a negative exponent gives 0, but 1 for 1 and ±1 for -1."""
    if x.dtype.kind == "f":
        return np.power(x, y)
    negative = np.less(y, 0)
    result = np.power(x, np.where(negative, 0, y).astype(y.dtype))
    odd_sign = np.where(np.bitwise_and(y, 1), x, np.ones_like(x))
    inverse = np.where((x == 1) | (x == -1), odd_sign, np.zeros_like(x)) if x.dtype.kind == "i" else result
    return np.where(negative, inverse, result).astype(x.dtype)


UNARY: dict[str, Function] = {
    f.name: f
    for f in (
        Function("neg", "number", np.negative),
        Function("abs", "number", np.abs),
        Function("sign", "number", np.sign),
        Function("invert", "bits", np.invert),
        Function("exp", "floating", np.exp, 3),
        Function("exp2", "floating", np.exp2, 3),
        Function("expm1", "floating", np.expm1, 3),
        Function("log", "floating", np.log, 3),
        Function("log2", "floating", np.log2, 3),
        Function("log10", "floating", np.log10, 3),
        Function("log1p", "floating", np.log1p, 2),
        Function("sqrt", "floating", np.sqrt, 0),
        Function("rsqrt", "floating", lambda x: (1 / np.sqrt(x)).astype(x.dtype), 2),
        Function("sin", "floating", np.sin, 4),
        Function("cos", "floating", np.cos, 4),
        Function("tan", "floating", np.tan, 5),
        Function("tanh", "floating", np.tanh, 5),
        Function("erf", "floating", _erf, 16),
        Function("floor", "floating", np.floor),
        Function("ceil", "floating", np.ceil),
        Function("trunc", "floating", np.trunc),
        Function("round", "floating", np.rint),
        Function("isnan", "predicate", np.isnan),
        Function("isinf", "predicate", np.isinf),
        Function("isfinite", "predicate", np.isfinite),
    )
}

BINARY: dict[str, Function] = {
    f.name: f
    for f in (
        Function("add", "number", np.add),
        Function("sub", "number", np.subtract),
        Function("mul", "number", np.multiply),
        Function("div", "floating", np.divide),
        Function("floordiv", "number", _floordiv),
        Function("mod", "number", np.mod),
        Function("pow", "number", _pow, 16),
        Function("atan2", "floating", np.arctan2, 6),
        Function("max", "any", np.maximum),
        Function("min", "any", np.minimum),
        Function("and", "bits", np.bitwise_and),
        Function("or", "bits", np.bitwise_or),
        Function("xor", "bits", np.bitwise_xor),
        Function("shl", "shift", np.left_shift),
        Function("shr", "shift", np.right_shift),
        Function("lt", "compare", np.less),
        Function("le", "compare", np.less_equal),
        Function("gt", "compare", np.greater),
        Function("ge", "compare", np.greater_equal),
        Function("eq", "compare", np.equal),
        Function("ne", "compare", np.not_equal),
    )
}
COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})

FOLDS: dict[str, str] = {
    "sum": "add",
    "prod": "mul",
    "max": "max",
    "min": "min",
    "and": "and",
    "or": "or",
    "xor": "xor",
}
"""The named folds of ``Reduce`` and ``Scan``, each with the binary function that it repeats."""

ATOMICS = frozenset({"add", "max", "min", "and", "or", "xor", "xchg"})


def fold_identity(fn: str, dtype: DType) -> bool | int | float:
    """The value that leaves a named fold unchanged."""
    match fn:
        case "sum" | "or" | "xor":
            return False if dtype.is_bool else 0.0 if dtype.is_float else 0
        case "prod":
            return True if dtype.is_bool else 1.0 if dtype.is_float else 1
        case "max":
            return False if dtype.is_bool else -math.inf if dtype.is_float else dtype.min
        case "min":
            return True if dtype.is_bool else math.inf if dtype.is_float else dtype.max
        case "and":
            return True if dtype.is_bool else (-1 if dtype.kind == "i" else dtype.max)
        case _:
            raise KeyError(fn)
