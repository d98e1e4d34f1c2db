"""NumPy's and PyTorch's elementwise functions by name, each one kernel over arrays of any shapes that broadcast.

Dtypes follow the kernel language: an integer beside a float takes the float's type; a floating function or a quotient
of integers is float32; float16 and bfloat16 are computed in float32 and rounded once. Bounds are in ulp of float32 and
float64, before that rounding; without one a function is exact or correctly rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, rounding, sample, unit_roundoff

from .activations import activate
from .elementwise import chain_kernel, elementwise

Array = Any
Function = Callable[..., Array]


def _made(name: str, fn: Callable[..., Any], count: int, doc: str) -> Function:
    """The host function of ``count`` arrays or scalars; ``out``, ``backend`` and ``device`` by keyword."""

    def function(
        *arrays: Any, out: Array | None = None, dtype: Any = None, backend: str | None = None, device: str | None = None
    ) -> Array:
        if len(arrays) != count:
            raise pk.errors.ArgumentError(f"{name}(): expected {count} arguments, got {len(arrays)}")
        return elementwise(fn, *arrays, out=out, dtype=dtype, backend=backend, device=device)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _activation(name: str) -> Callable[..., Any]:
    def activation(x):
        return activate(x, name)

    return activation


def _softplus(x):
    return pk.maximum(x, 0) + pk.log1p(pk.exp(-pk.abs(x)))


# --- arithmetic ---------------------------------------------------------------------------------------------

add = _made("add", lambda x, y: x + y, 2, "``x + y``; integers wrap.")
subtract = _made("subtract", lambda x, y: x - y, 2, "``x - y``; integers wrap.")
multiply = _made("multiply", lambda x, y: x * y, 2, "``x * y``; integers wrap.")
divide = _made(
    "divide", lambda x, y: x / y, 2, "``x / y``. At most 2 ulp where a device divides so; integers: float32."
)
floor_divide = _made("floor_divide", lambda x, y: x // y, 2, "``x // y``, rounded down.")
remainder = _made("remainder", lambda x, y: x % y, 2, "``x % y``, with the sign of y.")
power = _made("power", pk.power, 2, "``x ** y``; integers wrap. At most 16 ulp.")
negative = _made("negative", pk.negative, 1, "``-x``.")
absolute = _made("absolute", pk.abs, 1, "``|x|``; of the least signed integer, that integer.")
sign = _made("sign", pk.sign, 1, "-1, 0 or 1; NaN for NaN.")
maximum = _made("maximum", pk.maximum, 2, "The larger; NaN if either is NaN.")
minimum = _made("minimum", pk.minimum, 2, "The smaller; NaN if either is NaN.")
clip = _made("clip", pk.clip, 3, "``x`` limited to ``[low, high]``; NaN stays NaN.")

# --- comparisons, choice, bits ------------------------------------------------------------------------------

equal = _made("equal", lambda x, y: x == y, 2, "``x == y``: bool.")
not_equal = _made("not_equal", lambda x, y: x != y, 2, "``x != y``: bool, true for NaN.")
less = _made("less", lambda x, y: x < y, 2, "``x < y``: bool.")
less_equal = _made("less_equal", lambda x, y: x <= y, 2, "``x <= y``: bool.")
greater = _made("greater", lambda x, y: x > y, 2, "``x > y``: bool.")
greater_equal = _made("greater_equal", lambda x, y: x >= y, 2, "``x >= y``: bool.")
logical_and = _made("logical_and", pk.logical_and, 2, "True where both are nonzero.")
logical_or = _made("logical_or", pk.logical_or, 2, "True where either is nonzero.")
logical_not = _made("logical_not", pk.logical_not, 1, "True where x is zero.")
isnan = _made("isnan", pk.isnan, 1, "True where x is NaN.")
isinf = _made("isinf", pk.isinf, 1, "True where x is an infinity.")
isfinite = _made("isfinite", pk.isfinite, 1, "True where x is neither infinite nor NaN.")
where = _made("where", pk.where, 3, "``x`` where ``condition``, else ``y``.")
bitwise_and = _made("bitwise_and", lambda x, y: x & y, 2, "``x & y``.")
bitwise_or = _made("bitwise_or", lambda x, y: x | y, 2, "``x | y``.")
bitwise_xor = _made("bitwise_xor", lambda x, y: x ^ y, 2, "``x ^ y``.")
invert = _made("invert", pk.invert, 1, "``~x``; logical not of bool.")
left_shift = _made("left_shift", lambda x, y: x << y, 2, "``x << y``.")
right_shift = _made("right_shift", lambda x, y: x >> y, 2, "``x >> y``, arithmetic for signed integers.")

# --- roundings, roots, exponentials -------------------------------------------------------------------------

floor = _made("floor", pk.floor, 1, "Largest integer not above x.")
ceil = _made("ceil", pk.ceil, 1, "Smallest integer not below x.")
trunc = _made("trunc", pk.trunc, 1, "x without its fraction.")
round = _made("round", pk.round, 1, "Nearest integer, ties to even.")
sqrt = _made("sqrt", pk.sqrt, 1, "Square root, correctly rounded.")
rsqrt = _made("rsqrt", pk.rsqrt, 1, "``1 / sqrt(x)``. At most 2 ulp.")
exp = _made("exp", pk.exp, 1, "e to the power of x. At most 3 ulp.")
exp2 = _made("exp2", pk.exp2, 1, "2 to the power of x. At most 3 ulp.")
expm1 = _made("expm1", pk.expm1, 1, "``exp(x) - 1``, exact near 0. At most 3 ulp.")
log = _made("log", pk.log, 1, "Natural logarithm. At most 3 ulp.")
log2 = _made("log2", pk.log2, 1, "Logarithm to base 2. At most 3 ulp.")
log10 = _made("log10", pk.log10, 1, "Logarithm to base 10. At most 3 ulp.")
log1p = _made("log1p", pk.log1p, 1, "``log(1 + x)``, exact near 0. At most 2 ulp.")
sin = _made("sin", pk.sin, 1, "Sine. At most 4 ulp.")
cos = _made("cos", pk.cos, 1, "Cosine. At most 4 ulp.")
tan = _made("tan", pk.tan, 1, "Tangent. At most 5 ulp.")
arctan2 = _made("arctan2", pk.arctan2, 2, "The angle of the point (y, x). At most 6 ulp.")
tanh = _made("tanh", pk.tanh, 1, "Hyperbolic tangent. At most 5 ulp.")
erf = _made("erf", pk.erf, 1, "Error function. At most 16 ulp.")

# --- activations --------------------------------------------------------------------------------------------

sigmoid = _made("sigmoid", pk.sigmoid, 1, "``1 / (1 + exp(-x))``. At most 8 ulp.")
relu = _made("relu", _activation("relu"), 1, "The larger of x and 0; NaN stays NaN.")
silu = _made("silu", _activation("silu"), 1, "``x · sigmoid(x)`` (Elfwing et al. 2018). At most 9 ulp.")
softplus = _made("softplus", _softplus, 1, "``log(1 + exp(x))``, without overflow. At most 8 ulp.")
_gelu_erf = _made("gelu", _activation("gelu"), 1, "")
_gelu_tanh = _made("gelu", _activation("gelu_tanh"), 1, "")


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


def astype(x: Array, dtype: Any, *, out: Array | None = None, backend: str | None = None, device=None) -> Array:
    """``x`` converted: to nearest even; a float outside an integer's range saturates, NaN gives 0."""
    return elementwise(_unchanged, x, out=out, dtype=dtype, backend=backend, device=device)


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
            grid=lambda meta: (pk.cdiv(n, meta["BN"]), pk.cdiv(m, meta["BM"]), 1),
            constants={},
            outputs=("out",),
            reference=reference,
            bound=bound,
        )

    return make


ENTRIES = (
    Entry(
        "swiglu",
        chain_kernel(_swiglu, (None, None)),
        (pk.float32, pk.float16, pk.bfloat16),
        (
            Case("500×700", _case(500, 700)),
            Case("1×1", _case(1, 1)),
            Case("37×129, broadcast", _case(37, 129, "broadcast")),
            Case("53×101, strided", _case(53, 101, "strided")),
        ),
    ),
)
