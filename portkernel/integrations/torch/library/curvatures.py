"""Second derivatives of elementwise functions, composed of operators that are differentiated themselves.

Each takes what its function's gradient kept (the argument, or the result) and the numbers, and gives the derivative of the
slope by it: a tensor, or a number where that is all it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from .define import call

Tensor = torch.Tensor
Curvature = Callable[..., Tensor | float]


def times(first: Tensor, *factors: Tensor | float) -> Tensor:
    """The product of a tensor and of tensors and numbers."""
    for f in factors:
        first = call("multiply" if isinstance(f, Tensor) else "multiply.Scalar", first, f)
    return first


def plus(x: Tensor, y: Tensor | float) -> Tensor:
    return call("add" if isinstance(y, Tensor) else "add.Scalar", x, y)  # type: ignore[no-any-return]


def only(condition: Tensor, x: Tensor | float, like: Tensor) -> Tensor:
    """``x`` where the condition holds, else 0."""
    zero = like.new_zeros(())
    return call("where", condition, x if isinstance(x, Tensor) else like.new_full((), x), zero)  # type: ignore[no-any-return]


def _from_one(x: Tensor) -> Tensor:
    """``1 - x``."""
    return plus(call("negative", x), 1.0)


def _inverse(x: Tensor) -> Tensor:
    return call("reciprocal", x)  # type: ignore[no-any-return]


def _inverse_root(x: Tensor) -> Tensor:
    return call("rsqrt", x)  # type: ignore[no-any-return]


def _square(x: Tensor) -> Tensor:
    return call("square", x)  # type: ignore[no-any-return]


def _sigmoid(x: Tensor) -> Tensor:
    return call("sigmoid", x)  # type: ignore[no-any-return]


# --- by the argument ----------------------------------------------------------------------------------------


def _log(x: Tensor) -> Tensor:
    return times(_square(_inverse(x)), -1.0)


def _arcsin(x: Tensor) -> Tensor:
    root = _inverse_root(times(_from_one(x), plus(x, 1.0)))
    return times(x, root, root, root)


def _arctan(x: Tensor) -> Tensor:
    slope = _inverse(plus(_square(x), 1.0))
    return times(x, slope, slope, -2.0)


def _arcsinh(x: Tensor) -> Tensor:
    root = _inverse_root(plus(_square(x), 1.0))
    return times(x, root, root, root, -1.0)


def _arccosh(x: Tensor) -> Tensor:
    root = _inverse_root(times(plus(x, -1.0), plus(x, 1.0)))
    return times(x, root, root, root, -1.0)


def _arctanh(x: Tensor) -> Tensor:
    slope = _inverse(times(_from_one(x), plus(x, 1.0)))
    return times(x, slope, slope, 2.0)


def _bell(x: Tensor, width: float) -> Tensor:
    """``exp(-width·x²)``."""
    return call("exp", times(_square(x), -width))  # type: ignore[no-any-return]


def _erf(x: Tensor) -> Tensor:
    return times(x, _bell(x, 1.0), -4 / math.sqrt(math.pi))


def _softsign(x: Tensor) -> Tensor:
    part = _inverse(plus(call("absolute", x), 1.0))
    return times(call("sign", x), part, part, part, -2.0)


def _logsigmoid(x: Tensor) -> Tensor:
    s = _sigmoid(x)
    return times(s, _from_one(s), -1.0)


def _silu(x: Tensor) -> Tensor:
    s = _sigmoid(x)
    return times(s, _from_one(s), plus(times(x, _from_one(times(s, 2.0))), 2.0))


def _mish(x: Tensor) -> Tensor:
    s, t = _sigmoid(x), call("tanh", call("softplus", x))
    inner = plus(times(x, plus(_from_one(s), times(t, s, -2.0))), 2.0)
    return times(_from_one(_square(t)), s, inner)


def _hardswish(x: Tensor) -> Tensor:
    return only(call("less.Scalar", call("absolute", x), 3), 1 / 3, x)


def _softplus(x: Tensor, beta: float, threshold: float) -> Tensor:
    scaled = times(x, beta)
    s = _sigmoid(scaled)
    return only(call("less_equal.Scalar", scaled, threshold), times(s, _from_one(s), beta), x)


def _elu(x: Tensor, alpha: float) -> Tensor:
    return only(call("less_equal.Scalar", x, 0), times(call("exp", call("clamp", x, None, 0.0)), alpha), x)


def _gelu(x: Tensor, approximate: str) -> Tensor:
    if approximate == "none":
        return times(_bell(x, 0.5), _from_one(times(_square(x), 0.5)), 2 / math.sqrt(2 * math.pi))
    scale, cubic = math.sqrt(2 / math.pi), 0.044715
    square = _square(x)
    t = call("tanh", times(x, plus(times(square, cubic), 1.0), scale))
    slope = times(plus(times(square, 3 * cubic), 1.0), scale)  # of what tanh is taken of
    turn = plus(times(x, 6 * cubic * scale), times(t, _square(slope), -2.0))
    return times(_from_one(_square(t)), plus(slope, times(x, turn, 0.5)))


CURVATURES: dict[str, Curvature] = {
    **dict.fromkeys(
        ("absolute", "relu", "relu6", "hardsigmoid", "hardtanh", "leaky_relu", "clamp"), lambda kept, *numbers: 0.0
    ),
    "square": lambda x: 2.0,
    "log": _log,
    "log2": lambda x: times(_log(x), 1 / math.log(2)),
    "log10": lambda x: times(_log(x), 1 / math.log(10)),
    "log1p": lambda x: _log(plus(x, 1.0)),
    "sin": lambda x: times(call("sin", x), -1.0),
    "cos": lambda x: times(call("cos", x), -1.0),
    "arcsin": _arcsin,
    "arccos": lambda x: times(_arcsin(x), -1.0),
    "arctan": _arctan,
    "sinh": lambda x: call("sinh", x),
    "cosh": lambda x: call("cosh", x),
    "arcsinh": _arcsinh,
    "arccosh": _arccosh,
    "arctanh": _arctanh,
    "erf": _erf,
    "softsign": _softsign,
    "logsigmoid": _logsigmoid,
    "silu": _silu,
    "mish": _mish,
    "hardswish": _hardswish,
    "softplus": _softplus,
    "elu": _elu,
    "gelu": _gelu,
    # by the result
    "expm1": lambda y: 1.0,
    "exp2": lambda y: math.log(2),
    "tan": lambda y: times(y, 2.0),
    "sqrt": lambda y: times(_inverse(_square(y)), -0.5),
    "rsqrt": lambda y: times(_square(y), -1.5),
    "reciprocal": lambda y: times(y, -2.0),
    "tanh": lambda y: times(y, -2.0),
    "sigmoid": lambda y: _from_one(times(y, 2.0)),
}
"""By the operator's name; what it takes is the argument but for the last group."""
