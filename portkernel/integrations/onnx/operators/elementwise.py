"""Arithmetic, comparisons, logic, bits, functions and activations of every element."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

import portkernel as pk
from portkernel import ops

from ... import tiles
from ..registry import Work, operator
from . import formulas
from .arrays import Array, copied, one_of

_UNARY = {
    "Abs": "absolute", "Neg": "negative", "Sign": "sign", "Floor": "floor", "Ceil": "ceil", "Round": "round",
    "Sqrt": "sqrt", "Exp": "exp", "Log": "log", "Sin": "sin", "Cos": "cos", "Tan": "tan", "Asin": "arcsin",
    "Acos": "arccos", "Atan": "arctan", "Sinh": "sinh", "Cosh": "cosh", "Tanh": "tanh", "Asinh": "arcsinh",
    "Acosh": "arccosh", "Atanh": "arctanh", "Erf": "erf", "Sigmoid": "sigmoid", "Relu": "relu", "Softplus": "softplus",
    "IsNaN": "isnan", "Not": "logical_not", "BitwiseNot": "invert", "Reciprocal": "reciprocal", "Softsign": "softsign",
    "HardSwish": "hardswish", "Mish": "mish",
}  # fmt: skip
_BINARY = {
    "Add": "add", "Sub": "subtract", "Mul": "multiply", "Equal": "equal", "Less": "less", "LessOrEqual": "less_equal",
    "Greater": "greater", "GreaterOrEqual": "greater_equal", "And": "logical_and", "Or": "logical_or",
    "Xor": "not_equal", "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor",
}  # fmt: skip


def _unary(name: str) -> Callable[[Array], Array]:
    def run(x: Array, **_: Any) -> Array:
        return ops.find(name)(x)  # opset 1 had an attribute consumed_inputs, which said nothing about the result

    return run


def aligned(a: Array, b: Array, axis: int | None) -> Array:
    """``b`` for an operator of opset 6 or before: its axes stand at ``axis`` of a."""
    if axis is None:
        return b
    return b.reshape([*b.shape, *[1] * (a.ndim - b.ndim - axis % a.ndim)])


def _binary(name: str) -> Callable[..., Array]:
    def run(a: Array, b: Array, axis: int | None = None, **_: Any) -> Array:
        return ops.find(name)(a, aligned(a, b, axis))

    return run


for _name, _op in _UNARY.items():
    operator(_name)(_unary(_op))
for _name, _op in _BINARY.items():
    operator(_name)(_binary(_op))


@operator("Div")
def div(a: Array, b: Array, axis: int | None = None, **_: Any) -> Array:
    b = aligned(a, b, axis)
    return ops.divide(a, b) if a.dtype.kind not in "iu" else ops.elementwise(tiles.quotient, a, b)


@operator("Pow")
def pow(x: Array, y: Array, axis: int | None = None, **_: Any) -> Array:
    found = ops.power(x, aligned(x, y, axis))
    return found if found.dtype == x.dtype else ops.astype(found, x.dtype)


@operator("Mod")
def mod(a: Array, b: Array, fmod: int = 0) -> Array:
    return ops.elementwise(tiles.fmod, a, b) if fmod else ops.remainder(a, b)


@operator("BitShift")
def bit_shift(x: Array, y: Array, direction: str) -> Array:
    left = one_of("direction", direction, ("LEFT", "RIGHT")) == "LEFT"
    return ops.left_shift(x, y) if left else ops.right_shift(x, y)


def _folded(name: str) -> Callable[..., Array]:
    def run(*arrays: Array, **_: Any) -> Array:
        return reduce(ops.find(name), arrays) if len(arrays) > 1 else copied(*arrays)

    return run


for _name, _op in {"Max": "maximum", "Min": "minimum", "Sum": "add"}.items():
    operator(_name)(_folded(_op))


@operator("Mean")
def mean(*arrays: Array, **_: Any) -> Array:
    return ops.divide(_folded("add")(*arrays), float(len(arrays)))


@operator("Where")
def where(condition: Array, x: Array, y: Array) -> Array:
    return ops.where(condition, x, y)


@operator("Clip", since=11)
def clip(x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    if low is not None:
        x = ops.maximum(x, low)
    if high is not None:
        x = ops.minimum(x, high)
    return x if low is not None or high is not None else copied(x)


@operator("Clip", until=6)
def clip_attributes(
    x: Array, min: float = -3.4028234663852886e38, max: float = 3.4028234663852886e38, **_: Any
) -> Array:
    return ops.clip(x, min, max)


@operator("IsInf")
def is_inf(x: Array, detect_negative: int = 1, detect_positive: int = 1) -> Array:
    if detect_negative and detect_positive:
        return ops.isinf(x)
    if not detect_negative and not detect_positive:
        return ops.not_equal(ops.isinf(x), ops.isinf(x))
    return ops.equal(x, float("inf") if detect_positive else float("-inf"))


@operator("Gelu")
def gelu(x: Array, approximate: str = "none") -> Array:
    return ops.gelu(x, approximate=approximate)


@operator("PRelu")
def prelu(x: Array, slope: Array, **_: Any) -> Array:
    if 1 < slope.size == slope.shape[0] != x.shape[-1] and slope.ndim == 1:  # opset 6: one for each channel
        slope = slope.reshape([-1, *[1] * (x.ndim - 2)])
    return ops.elementwise(formulas.prelu, x, slope)


def of_formula(formula: Callable[..., Any]) -> Callable[..., Array]:
    """The function of an array and numbers that a function of tiles is."""
    return lambda x, *numbers: ops.elementwise(formula, x, *numbers)


ACTIVATIONS: dict[str, tuple[Callable[..., Array], dict[str, float]]] = {
    "LeakyRelu": (ops.leaky_relu, {"alpha": 0.01}),
    "Elu": (ops.elu, {"alpha": 1.0}),
    "Celu": (of_formula(formulas.celu), {"alpha": 1.0}),
    "Selu": (of_formula(formulas.selu), {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}),
    "HardSigmoid": (of_formula(formulas.hard_sigmoid), {"alpha": 0.2, "beta": 0.5}),
    "ThresholdedRelu": (of_formula(formulas.thresholded_relu), {"alpha": 1.0}),
    "Swish": (of_formula(formulas.swish), {"alpha": 1.0}),
    "Shrink": (of_formula(formulas.shrink), {"bias": 0.0, "lambd": 0.5}),
}
"""Functions of x and numbers, and the attributes that hold these, with their defaults."""


def _activation(function: Callable[..., Array], defaults: dict[str, float]) -> Callable[..., Array]:
    def run(x: Array, consumed_inputs: Any = None, **given: float) -> Array:
        return function(x, *(float(v) for v in (defaults | given).values()))

    return run


for _name, _found in ACTIVATIONS.items():
    operator(_name)(_activation(*_found))


@operator("Dropout", until=11, work=Work.VIEW)
def dropout_inference(x: Array, **_: Any) -> tuple[Array, Array]:
    return x, np.broadcast_to(np.ones((), np.bool_), x.shape)


@operator("Dropout", since=12, work=Work.VIEW)
def dropout(
    x: Array, ratio: Array | None = None, training_mode: Array | None = None, seed: int = 0
) -> tuple[Array, Array]:
    if training_mode is not None and bool(training_mode) and (ratio is None or float(ratio) != 0):
        raise pk.errors.UncoveredOperatorError(
            "onnx: Dropout: expected inference or ratio 0, got training_mode", hint="its random numbers are not defined"
        )
    return x, np.broadcast_to(np.ones((), np.bool_), x.shape)
