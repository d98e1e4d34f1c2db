"""NumPy's and PyTorch's elementwise functions by name, each one kernel over arrays of any shapes that broadcast.

Dtypes follow the kernel language: an integer beside a float takes the float's type; a floating function or a quotient
of integers is float32; float16 and bfloat16 are computed in float32 and rounded once. Bounds are in ulp of float32 and
float64, before that rounding; without one a function is exact or correctly rounded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Entry, Problem, exact, poison, rounding, sample, unit_roundoff

from .activations import activate
from .arrays import named_dtype, number
from .elementwise import applied, chain_kernel, layouts

Array = Any
Function = Callable[..., Array]


OPERANDS = {"arctan2": ("y", "x"), "where": ("condition", "x", "y")}
"""What operands are called where that is not x, y, …; they are given by position."""


def made(name: str, fn: Callable[..., Any], count: int, doc: str, module: str = __name__) -> Function:
    """The host function of ``count`` arrays or scalars; ``out``, ``dtype``, ``backend`` and ``device`` by keyword.

    ``module`` is where it is defined. Its attribute ``tile`` is ``fn``, the function of tiles, for kernels that do more.
    """
    names = OPERANDS.get(name, tuple("xyz"[:count]))

    def function(
        *arrays: Any, out: Array | None = None, dtype: Any = None, backend: str | None = None, device: str | None = None
    ) -> Array:
        if len(arrays) != count:
            raise pk.errors.ArgumentError(f"{name}(): expected {count} arguments, got {len(arrays)}")
        return applied(f"{name}()", names, fn, arrays, {"backend": backend, "device": device}, out=out, dtype=dtype)

    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__doc__ = doc
    function.tile = fn  # type: ignore[attr-defined]
    _, *options = inspect.signature(function).parameters.values()
    operands = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in names]
    function.__signature__ = inspect.Signature([*operands, *options])  # type: ignore[attr-defined]
    return function


def _activation(name: str) -> Callable[..., Any]:
    def activation(x):
        return activate(x, name)

    return activation


def _real(x):
    """Integers in float32: their negatives may have no place."""
    return x if x.dtype.is_float else x.astype(pk.float32)


def _softplus(x):
    x = _real(x)
    return pk.maximum(x, 0) + pk.log1p(pk.exp(-pk.abs(x)))


def _softplus_scaled(x, beta, threshold):
    x = _real(x)
    scaled = x * beta
    return pk.where(scaled > threshold, x, _softplus(scaled) / beta)


def _hardsigmoid(x):
    return pk.minimum(pk.maximum(_real(x) + 3, 0), 6) / 6


# --- arithmetic ---------------------------------------------------------------------------------------------

add = made("add", lambda x, y: x + y, 2, "``x + y``; integers wrap.")
subtract = made("subtract", lambda x, y: x - y, 2, "``x - y``; integers wrap.")
multiply = made("multiply", lambda x, y: x * y, 2, "``x * y``; integers wrap.")
divide = made("divide", lambda x, y: x / y, 2, "``x / y``. At most 2 ulp where a device divides so; integers: float32.")
floor_divide = made("floor_divide", lambda x, y: x // y, 2, "``x // y``, rounded down.")
remainder = made("remainder", lambda x, y: x % y, 2, "``x % y``, with the sign of y.")
power = made("power", pk.power, 2, "``x ** y``; integers wrap. At most 16 ulp.")
negative = made("negative", pk.negative, 1, "``-x``.")
absolute = made("absolute", pk.abs, 1, "``|x|``; of the least signed integer, that integer.")
sign = made("sign", pk.sign, 1, "-1, 0 or 1; NaN for NaN.")
maximum = made("maximum", pk.maximum, 2, "The larger; NaN if either is NaN.")
minimum = made("minimum", pk.minimum, 2, "The smaller; NaN if either is NaN.")

# --- comparisons, choice, bits ------------------------------------------------------------------------------

equal = made("equal", lambda x, y: x == y, 2, "``x == y``: bool.")
not_equal = made("not_equal", lambda x, y: x != y, 2, "``x != y``: bool, true for NaN.")
less = made("less", lambda x, y: x < y, 2, "``x < y``: bool.")
less_equal = made("less_equal", lambda x, y: x <= y, 2, "``x <= y``: bool.")
greater = made("greater", lambda x, y: x > y, 2, "``x > y``: bool.")
greater_equal = made("greater_equal", lambda x, y: x >= y, 2, "``x >= y``: bool.")
logical_and = made("logical_and", pk.logical_and, 2, "True where both are nonzero.")
logical_or = made("logical_or", pk.logical_or, 2, "True where either is nonzero.")
logical_xor = made("logical_xor", lambda x, y: (x != 0) != (y != 0), 2, "True where one of both is nonzero.")
logical_not = made("logical_not", pk.logical_not, 1, "True where x is zero.")
isnan = made("isnan", pk.isnan, 1, "True where x is NaN.")
isinf = made("isinf", pk.isinf, 1, "True where x is an infinity.")
isfinite = made("isfinite", pk.isfinite, 1, "True where x is neither infinite nor NaN.")
where = made("where", pk.where, 3, "``x`` where ``condition``, else ``y``.")
bitwise_and = made("bitwise_and", lambda x, y: x & y, 2, "``x & y``.")
bitwise_or = made("bitwise_or", lambda x, y: x | y, 2, "``x | y``.")
bitwise_xor = made("bitwise_xor", lambda x, y: x ^ y, 2, "``x ^ y``.")
invert = made("invert", pk.invert, 1, "``~x``; logical not of bool.")
left_shift = made("left_shift", lambda x, y: x << y, 2, "``x << y``.")
right_shift = made("right_shift", lambda x, y: x >> y, 2, "``x >> y``, arithmetic for signed integers.")

# --- roundings, roots, exponentials -------------------------------------------------------------------------

floor = made("floor", pk.floor, 1, "Largest integer not above x.")
ceil = made("ceil", pk.ceil, 1, "Smallest integer not below x.")
trunc = made("trunc", pk.trunc, 1, "x without its fraction.")
round = made("round", pk.round, 1, "Nearest integer, ties to even.")
square = made("square", lambda x: x * x, 1, "``x * x``; integers wrap.")
reciprocal = made(
    "reciprocal", lambda x: 1.0 / x, 1, "``1 / x``. At most 2 ulp where a device divides so; integers: float32."
)
sqrt = made("sqrt", pk.sqrt, 1, "Square root, correctly rounded.")
rsqrt = made("rsqrt", pk.rsqrt, 1, "``1 / sqrt(x)``. At most 2 ulp.")
exp = made("exp", pk.exp, 1, "e to the power of x. At most 3 ulp.")
exp2 = made("exp2", pk.exp2, 1, "2 to the power of x. At most 3 ulp.")
expm1 = made("expm1", pk.expm1, 1, "``exp(x) - 1``, exact near 0. At most 3 ulp.")
log = made("log", pk.log, 1, "Natural logarithm. At most 3 ulp.")
log2 = made("log2", pk.log2, 1, "Logarithm to base 2. At most 3 ulp.")
log10 = made("log10", pk.log10, 1, "Logarithm to base 10. At most 3 ulp.")
log1p = made("log1p", pk.log1p, 1, "``log(1 + x)``, exact near 0. At most 2 ulp.")
sin = made("sin", pk.sin, 1, "Sine. At most 4 ulp.")
cos = made("cos", pk.cos, 1, "Cosine. At most 4 ulp.")
tan = made("tan", pk.tan, 1, "Tangent. At most 5 ulp.")
arctan2 = made("arctan2", pk.arctan2, 2, "The angle of the point (y, x). At most 6 ulp.")
tanh = made("tanh", pk.tanh, 1, "Hyperbolic tangent. At most 5 ulp.")
erf = made("erf", pk.erf, 1, "Error function. At most 16 ulp.")

# --- activations --------------------------------------------------------------------------------------------

sigmoid = made("sigmoid", pk.sigmoid, 1, "``1 / (1 + exp(-x))``. At most 8 ulp.")
relu = made("relu", _activation("relu"), 1, "The larger of x and 0; NaN stays NaN.")
silu = made("silu", _activation("silu"), 1, "``x · sigmoid(x)`` (Elfwing et al. 2018). At most 9 ulp.")
softsign = made("softsign", lambda x: _real(x) / (1 + pk.abs(_real(x))), 1, "``x / (1 + |x|)``. At most 4 ulp.")
logsigmoid = made("logsigmoid", lambda x: -_softplus(-_real(x)), 1, "``-softplus(-x)``. At most 8 ulp.")
mish = made(
    "mish", lambda x: x * pk.tanh(_softplus(x)), 1, "``x · tanh(softplus(x))`` (Misra 2019). At most 16 ulp of |x|."
)
relu6 = made("relu6", lambda x: pk.minimum(pk.maximum(x, 0), 6), 1, "x limited to [0, 6]; NaN stays NaN.")
hardsigmoid = made("hardsigmoid", _hardsigmoid, 1, "``relu6(x + 3) / 6``. At most 4 ulp of 1.")
hardswish = made(
    "hardswish", lambda x: x * _hardsigmoid(x), 1,
    "``x · hardsigmoid(x)`` (Howard et al. 2019). At most 4 ulp of |x|.",
)  # fmt: skip
_gelu_erf = made("gelu", _activation("gelu"), 1, "")
_gelu_tanh = made("gelu", _activation("gelu_tanh"), 1, "")


def gelu(
    x: Array, approximate: str = "none", *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``x·Φ(x)`` by erf, or with ``approximate="tanh"`` by tanh (Hendrycks and Gimpel 2016).

    Error at most 20 ulp of |x|/2 (the left tail loses its relative accuracy, as PyTorch's does).
    """
    if approximate not in ("none", "tanh"):
        raise pk.errors.ArgumentError(f"gelu(): approximate: expected 'none' or 'tanh', got {approximate!r}")
    chosen = _gelu_tanh if approximate == "tanh" else _gelu_erf
    return chosen(x, out=out, backend=backend, device=device)


def leaky_relu(
    x: Array, negative_slope: float = 0.01, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """x where it is above 0, else ``negative_slope·x``. At most 1 ulp; NaN stays NaN."""
    slope = number("leaky_relu(): negative_slope", negative_slope)
    names = ("x", "negative_slope")
    return applied("leaky_relu()", names, _leaky, (x, slope), {"backend": backend, "device": device}, out=out)


def elu(
    x: Array, alpha: float = 1.0, *, out: Array | None = None, backend: str | None = None, device: str | None = None
) -> Array:
    """x where it is above 0, else ``alpha·(exp(x) - 1)`` (Clevert et al. 2016). At most 4 ulp; NaN stays NaN."""
    given = x, number("elu(): alpha", alpha)
    return applied("elu()", ("x", "alpha"), _elu, given, {"backend": backend, "device": device}, out=out)


def softplus(
    x: Array, beta: float = 1.0, threshold: float = 20.0, *, out: Array | None = None, dtype: Any = None,
    backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``log(1 + exp(beta·x)) / beta``, without overflow, and x itself where ``beta·x`` is above ``threshold``.

    At most 8 ulp; with another ``beta`` 12 ulp and, from the rounding of the product, ``|beta·x|`` ulp more below 0.
    """
    route = {"backend": backend, "device": device}
    given = number("softplus(): beta", beta), number("softplus(): threshold", threshold)
    if given == (1, 20):  # there x is the nearest number to it, or nearly
        return applied("softplus()", ("x",), _softplus, (x,), route, out=out, dtype=dtype)
    if not beta or beta != beta:
        raise pk.errors.ArgumentError(f"softplus(): beta: expected a number other than 0, got {beta!r}")
    names = ("x", "beta", "threshold")
    return applied("softplus()", names, _softplus_scaled, (x, *map(float, given)), route, out=out, dtype=dtype)


def hardtanh(
    x: Array, min_val: float = -1.0, max_val: float = 1.0, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """x limited to ``[min_val, max_val]``; exact, NaN stays NaN."""
    given = x, number("hardtanh(): min_val", min_val), number("hardtanh(): max_val", max_val)
    names = ("x", "min_val", "max_val")
    return applied("hardtanh()", names, pk.clip, given, {"backend": backend, "device": device}, out=out)


def clip(
    x: Array, a_min: Any = None, a_max: Any = None, out: Array | None = None, *, min: Any = None, max: Any = None,
    dtype: Any = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``x`` limited to ``[a_min, a_max]`` (or ``min``, ``max``): numbers or arrays that broadcast, of which one may be None.

    Exact; NaN stays NaN.
    """
    for old, new, a, b in (("a_min", "min", a_min, min), ("a_max", "max", a_max, max)):
        if a is not None and b is not None:
            raise pk.errors.ArgumentError(f"clip(): {new}: expected nothing beside {old}, got {type(b).__name__}")
    limits = min if a_min is None else a_min, max if a_max is None else a_max
    return _limited("clip", x, *limits, {"backend": backend, "device": device}, out=out, dtype=dtype)


def clamp(
    x: Array, min: Any = None, max: Any = None, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``torch.clamp``: x limited to ``[min, max]``, numbers or arrays that broadcast, of which one may be None."""
    return _limited("clamp", x, min, max, {"backend": backend, "device": device}, out=out)


def _limited(name: str, x: Array, low: Any, high: Any, route: dict[str, Any], **options: Any) -> Array:
    if low is None and high is None:
        raise pk.errors.ArgumentError(f"{name}(): min: expected a limit, got None for min and max")
    if low is None:
        return applied(f"{name}()", ("x", "max"), pk.minimum, (x, high), route, **options)
    if high is None:
        return applied(f"{name}()", ("x", "min"), pk.maximum, (x, low), route, **options)
    return applied(f"{name}()", ("x", "min", "max"), pk.clip, (x, low, high), route, **options)


def _leaky(x, slope):
    return pk.where(x > 0, x, x * slope)


def _elu(x, alpha):
    return pk.where(x > 0, x, pk.expm1(pk.minimum(x, 0)) * alpha)


def astype(x: Array, dtype: Any, *, out: Array | None = None, backend: str | None = None, device=None) -> Array:
    """``x`` converted: to nearest even; a float outside an integer's range saturates, NaN gives 0."""
    kind = named_dtype("astype(): dtype", dtype)
    return applied("astype()", ("x",), _unchanged, (x,), {"backend": backend, "device": device}, out=out, dtype=kind)


def _unchanged(x):
    return x


def _swiglu(gate, up):
    return gate * pk.sigmoid(gate) * up


def _case(m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x, y = (sample(rng, (m, n), dtype) for _ in range(2))
        if layout == "broadcast":
            y = np.broadcast_to(sample(rng, (m, 1), dtype), (m, n))
        elif layout == "strided":
            x = sample(rng, (n, 2 * m), dtype).T[::-2]
        wide = pk.float64 if dtype == pk.float64 else pk.float32

        def reference():
            return {"out": (exact(x) / (1 + np.exp(-exact(x))) * exact(y))[None, None, None]}

        def bound():
            y = reference()["out"]
            return {"out": 24 * unit_roundoff(wide) * np.abs(y) + rounding(y, dtype)}

        return Problem(
            args={
                "x0": x[None, None, None],
                "x1": y[None, None, None],
                "out": poison((1, 1, 1, m, n), dtype),
            },
            grid=lambda meta: (pk.cdiv(n, meta["BN"]) * pk.cdiv(m, meta["BM"]),),
            reference=reference,
            bound=bound,
        )

    return make


ENTRIES = (Entry("swiglu", chain_kernel(_swiglu, (None, None)), (pk.float32, pk.float16, pk.bfloat16), layouts(_case)),)
