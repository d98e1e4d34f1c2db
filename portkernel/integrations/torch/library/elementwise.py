"""Elementwise operators: a function of tiles each, and another that gives its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from portkernel.errors import ArgumentDTypeError, ArgumentError, DTypeError

from .. import operators, tiles
from ..pointwise import DEFAULT, TO_BOOL, TO_FLOAT, Bound, launch, output_strides, promoted
from ..rules import DTYPES, FLOATS, broadcast_shapes
from . import slopes
from .curvatures import CURVATURES, plus, times
from .define import CUSTOM, WIDE, WIDEST, call, gradient, operator, sum_to

Tensor = torch.Tensor
Bind = Callable[..., Bound]


def fake(bound: Bound) -> Tensor:
    """A tensor like the result of :func:`launch`."""
    tensors = [x for x in bound.operands if isinstance(x, Tensor)]
    shape = broadcast_shapes(*(t.shape for t in tensors))
    strides = output_strides(tensors, shape)
    dtype = promoted(bound, bound.operands)[1]
    if strides is None:
        return tensors[0].new_empty(shape, dtype=dtype)
    return tensors[0].new_empty_strided(shape, strides, dtype=dtype)


def define(schema: str, bind: Bind, autocast: str = "") -> str:
    """The operator of a call bound to a function of tiles; its name. One launch."""
    name = schema.partition("(")[0]
    plain = "(Tensor x) ->" in schema

    def run(*args: Any) -> Any:
        if plain and args[0].dtype in FLOATS and args[0].is_contiguous():
            return operators.call(name, *args)
        try:
            return launch(bind(*args))
        except DTypeError:  # of a dtype that the kernel language lacks
            given = {a if isinstance(a, torch.dtype) else a.dtype for a in args if isinstance(a, (Tensor, torch.dtype))}
            names = ", ".join(sorted(str(d).removeprefix("torch.") for d in given - DTYPES))
            raise ArgumentDTypeError(f"{name}(): expected real numbers of at most 64 bits, got {names}") from None

    operator(schema, like=lambda *args: fake(bind(*args)), autocast=autocast, keeps_strides=True)(run)
    return name


# --- one argument -------------------------------------------------------------------------------------------


CURVES: list[str] = []
"""The differentiable operators of one tensor, and their gradients."""


def _curve(name: str, fn: Bind, slope: Bind, keeps: str, numbers: str = "", autocast: str = "") -> None:
    """An operator of ``x`` and of ``numbers``, and its gradient: ``slope`` of the result's, what is kept, and the numbers."""
    define(f"{name}(Tensor x{numbers}) -> Tensor", fn, autocast)
    define(f"{name}_gradient(Tensor grad, Tensor {keeps}{numbers}) -> Tensor", slope)
    CURVES.extend((name, f"{name}_gradient"))
    rest = CUSTOM[name].order[1:]

    @gradient(name, " ".join((keeps, *rest)))
    def _(wanted: Any, grad: Tensor, kept: Tensor, *given: Any) -> Any:
        return call(f"{name}_gradient", grad, kept, *given)

    @gradient(f"{name}_gradient", " ".join(("grad", keeps, *rest)))
    def _(wanted: Any, outer: Tensor, grad: Tensor, kept: Tensor, *given: Any) -> Any:
        by_grad = call(f"{name}_gradient", outer, kept, *given) if wanted[0] else None
        return by_grad, times(outer, grad, CURVATURES[name](kept, *given)) if wanted[1] else None


def _bound(fn: Any, kind: Any = DEFAULT) -> Bind:
    return lambda *operands: Bound(fn, operands, kind)


_FLOATING = "log log2 log10 log1p sin cos arcsin arccos arctan sinh cosh arcsinh arccosh arctanh erf"
_FLOATING_BY_RESULT = "expm1 exp2 tan sqrt rsqrt reciprocal"
_WIDE = "log log2 log10 log1p arccos arcsin sinh cosh tan exp expm1 rsqrt reciprocal softplus power"
"""What PyTorch computes in float32 under autocast."""
_SLOPES: dict[str, Any] = {"silu": tiles.silu_backward, "tanh": tiles.tanh_backward, "sigmoid": tiles.sigmoid_backward}


def _define_curves() -> None:
    for words, keeps, kind in (
        (_FLOATING, "x", TO_FLOAT),
        (_FLOATING_BY_RESULT, "result", TO_FLOAT),
        ("absolute square softsign logsigmoid mish relu6 hardswish silu", "x", DEFAULT),
        ("hardsigmoid", "x", TO_FLOAT),
        ("relu", "result", DEFAULT),
        ("tanh sigmoid", "result", TO_FLOAT),
    ):
        for name in words.split():
            fn = getattr(tiles, name)
            slope = _SLOPES.get(name) or getattr(slopes, name)
            _curve(name, _bound(fn, kind), _bound(slope), keeps, autocast=WIDE if name in _WIDE.split() else "")
    _curve("softplus", _bound(tiles.softplus), _bound(tiles.softplus_backward), "x",
           ", float beta=1.0, float threshold=20.0", WIDE)  # fmt: skip
    _curve(
        "leaky_relu", _bound(tiles.leaky_relu), _bound(tiles.leaky_relu_backward), "x", ", float negative_slope=0.01"
    )
    _curve("elu", lambda x, alpha: Bound(tiles.elu, (x, alpha, 1, 1)), _bound(slopes.elu), "x", ", float alpha=1.0")
    _curve("hardtanh", _bound(tiles.hardtanh), _bound(tiles.hardtanh_backward), "x",
           ", float min_val=-1.0, float max_val=1.0")  # fmt: skip
    _curve("clamp", _clamp, _clamp_gradient, "x", ", Scalar? min=None, Scalar? max=None")
    _curve("gelu", _gelu, _gelu_gradient, "x", ", str approximate='none'")


def _clamp(x: Any, low: Any, high: Any) -> Bound:
    if low is None and high is None:
        raise ArgumentError("clamp(): min: expected min, max, or both, got neither")
    if low is None:
        return Bound(tiles.minimum, (x, high))
    return Bound(tiles.maximum, (x, low)) if high is None else Bound(tiles.clamp, (x, low, high))


def _clamp_gradient(grad: Any, x: Any, low: Any, high: Any) -> Bound:
    limits = -math.inf if low is None else float(low), math.inf if high is None else float(high)
    return Bound(slopes.clamp, (grad, x, *limits))


def _gelu(x: Any, approximate: str) -> Bound:
    return Bound(_form(approximate, tiles.gelu, tiles.gelu_tanh), (x,))


def _gelu_gradient(grad: Any, x: Any, approximate: str) -> Bound:
    return Bound(_form(approximate, tiles.gelu_backward, tiles.gelu_tanh_backward), (grad, x))


def _form(approximate: str, exact: Any, by_tanh: Any) -> Any:
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu(): approximate: expected 'none' or 'tanh', got {approximate!r}")
    return by_tanh if approximate == "tanh" else exact


_define_curves()

# Operators whose gradient is one of these operators again: differentiated as often as you like.
define("negative(Tensor x) -> Tensor", _bound(tiles.negative))
define("exp(Tensor x) -> Tensor", _bound(tiles.exp, TO_FLOAT), WIDE)


@gradient("negative", "")
def _negative_gradient(wanted: Any, grad: Tensor) -> Any:
    return call("negative", grad)


@gradient("exp", "result")
def _exp_gradient(wanted: Any, grad: Tensor, y: Tensor) -> Any:
    return call("multiply", grad, y)


def _define_steps() -> None:
    """Functions that are constant between their steps: the gradient is 0, as PyTorch's is."""
    for name in ["sign", "floor", "ceil", "trunc", "round"]:
        define(f"{name}(Tensor x) -> Tensor", _bound(getattr(tiles, name)))

        @gradient(name, "")
        def _(wanted: Any, grad: Tensor) -> Any:
            return torch.zeros_like(grad)

    for name in ["isnan", "isinf", "isfinite", "logical_not"]:
        define(f"{name}(Tensor x) -> Tensor", _bound(getattr(tiles, name), TO_BOOL))
    define("invert(Tensor x) -> Tensor", _bound(tiles.bitwise_not))


_define_steps()


# --- several arguments --------------------------------------------------------------------------------------


_COMPARISONS = "equal not_equal less less_equal greater greater_equal"


def _define_pairs() -> None:
    for words, kind in (
        ("add subtract multiply maximum minimum power", DEFAULT),
        ("divide arctan2", TO_FLOAT),
        ("remainder floor_divide bitwise_and bitwise_or bitwise_xor left_shift right_shift", DEFAULT),
        (f"{_COMPARISONS} logical_and logical_or logical_xor", TO_BOOL),
    ):
        for name in words.split():
            policy = WIDE if name == "power" else WIDEST if name == "arctan2" else ""
            named = "Tensor y, Tensor x" if name == "arctan2" else "Tensor x, Tensor y"
            define(f"{name}({named}) -> Tensor", _bound(getattr(tiles, name), kind), policy)
    for name in ["maximum", "minimum", "power", "power_exponent", "arctan2"]:
        define(f"{name}_gradient(Tensor grad, Tensor x, Tensor y) -> Tensor", _bound(getattr(slopes, name)))


_define_pairs()


def _define_numbers() -> None:
    """The same with a number as the second argument."""
    for name in f"add subtract multiply divide {_COMPARISONS}".split():
        kind = TO_FLOAT if name == "divide" else TO_BOOL if name in _COMPARISONS.split() else DEFAULT
        define(f"{name}.Scalar(Tensor x, Scalar y) -> Tensor", _bound(getattr(tiles, name), kind))

    for name in ("add.Scalar", "subtract.Scalar"):
        gradient(name, "")(lambda wanted, grad: grad)
    for name in ("multiply.Scalar", "divide.Scalar"):
        gradient(name, "y")(lambda wanted, grad, y, name=name: call(name, grad, y))


_define_numbers()
define("where(Tensor condition, Tensor x, Tensor y) -> Tensor",
       lambda condition, x, y: Bound(tiles.where, (condition, x, y), keep=frozenset({0})))  # fmt: skip


def _shared(wanted: Any, x: Any, y: Any, dx: Callable[[], Tensor], dy: Callable[[], Tensor]) -> Any:
    """The gradients of two arguments of the shapes ``x`` and ``y`` that were broadcast to each other."""
    return (sum_to(dx(), x) if wanted[0] else None), (sum_to(dy(), y) if wanted[1] else None)


@gradient("add", "x.shape y.shape")
def _add_gradient(wanted: Any, grad: Tensor, x: Any, y: Any) -> Any:
    return _shared(wanted, x, y, lambda: grad, lambda: grad)


@gradient("subtract", "x.shape y.shape")
def _subtract_gradient(wanted: Any, grad: Tensor, x: Any, y: Any) -> Any:
    return _shared(wanted, x, y, lambda: grad, lambda: call("negative", grad))


@gradient("multiply", "x y")
def _multiply_gradient(wanted: Any, grad: Tensor, x: Tensor, y: Tensor) -> Any:
    return _shared(wanted, x.shape, y.shape, lambda: call("multiply", grad, y), lambda: call("multiply", grad, x))


@gradient("divide", "x.shape y result")
def _divide_gradient(wanted: Any, grad: Tensor, x: Any, y: Tensor, q: Tensor) -> Any:
    part = call("divide", grad, y)
    return _shared(wanted, x, y.shape, lambda: part, lambda: call("negative", call("multiply", part, q)))


@gradient("remainder", "x y")
def _remainder_gradient(wanted: Any, grad: Tensor, x: Tensor, y: Tensor) -> Any:
    def dy() -> Any:
        return call("negative", call("multiply", grad, call("floor", call("divide", x, y))))

    return _shared(wanted, x.shape, y.shape, lambda: grad, dy)


@gradient("floor_divide", "x.shape y.shape")
def _floor_divide_gradient(wanted: Any, grad: Tensor, x: Any, y: Any) -> Any:
    return grad.new_zeros(x), grad.new_zeros(y)  # constant between its steps


def _define_extreme(name: str) -> None:
    """The gradients of the larger or the smaller, and of those: which of both it is changes between elements alone."""
    slope = f"{name}_gradient"

    @gradient(name, "x y")
    def _(wanted: Any, grad: Tensor, x: Tensor, y: Tensor) -> Any:
        return _shared(wanted, x.shape, y.shape, lambda: call(slope, grad, x, y), lambda: call(slope, grad, y, x))

    @gradient(slope, "grad x y")
    def _(wanted: Any, outer: Tensor, grad: Tensor, x: Tensor, y: Tensor) -> Any:
        return call(slope, outer, x, y), torch.zeros_like(x), torch.zeros_like(y)


for _name in ("maximum", "minimum"):
    _define_extreme(_name)


@gradient("power", "x y")
def _power_gradient(wanted: Any, grad: Tensor, x: Tensor, y: Tensor) -> Any:
    return _shared(wanted, x.shape, y.shape, lambda: call("power_gradient", grad, x, y),
                   lambda: call("power_exponent_gradient", grad, x, y))  # fmt: skip


@gradient("arctan2", "y x")
def _arctan2_gradient(wanted: Any, grad: Tensor, y: Tensor, x: Tensor) -> Any:
    return _shared(wanted, y.shape, x.shape, lambda: call("arctan2_gradient", grad, y, x),
                   lambda: call("negative", call("arctan2_gradient", grad, x, y)))  # fmt: skip


# --- gradients of those gradients ---------------------------------------------------------------------------


def _mixed_power(weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """``weight`` times the derivative of ``x ** y`` by x and by y."""
    below = plus(y, -1.0)
    return plus(times(weight, call("power", x, below)), call("power_exponent_gradient", times(weight, y), x, below))


@gradient("power_gradient", "grad x y")
def _power_again(wanted: Any, outer: Tensor, grad: Tensor, x: Tensor, y: Tensor) -> Any:
    weight = times(outer, grad)
    dx, dy = _shared(wanted[1:], x.shape, y.shape,
                     lambda: call("power_gradient", times(weight, y), x, plus(y, -1.0)),
                     lambda: _mixed_power(weight, x, y))  # fmt: skip
    return call("power_gradient", outer, x, y), dx, dy


@gradient("power_exponent_gradient", "grad x y")
def _power_exponent_again(wanted: Any, outer: Tensor, grad: Tensor, x: Tensor, y: Tensor) -> Any:
    weight = times(outer, grad)
    dx, dy = _shared(wanted[1:], x.shape, y.shape, lambda: _mixed_power(weight, x, y),
                     lambda: call("power_exponent_gradient", times(weight, call("log", x)), x, y))  # fmt: skip
    return call("power_exponent_gradient", outer, x, y), dx, dy


@gradient("arctan2_gradient", "grad x y")
def _arctan2_again(wanted: Any, outer: Tensor, grad: Tensor, a: Tensor, b: Tensor) -> Any:
    """Of ``grad · b / (a² + b²)``."""
    squares = call("square", a), call("square", b)
    share = call("reciprocal", plus(*squares))
    weight = times(outer, grad, share, share)
    da, db = _shared(wanted[1:], a.shape, b.shape, lambda: times(weight, a, b, -2.0),
                     lambda: times(weight, call("subtract", *squares)))  # fmt: skip
    return call("arctan2_gradient", outer, a, b), da, db


@gradient("where", "condition x.shape y.shape")
def _where_gradient(wanted: Any, grad: Tensor, condition: Tensor, x: Any, y: Any) -> Any:
    none = torch.zeros((), dtype=grad.dtype, device=grad.device)
    both = _shared(wanted[1:], x, y, lambda: call("where", condition, grad, none),
                   lambda: call("where", condition, none, grad))  # fmt: skip
    return None, *both
