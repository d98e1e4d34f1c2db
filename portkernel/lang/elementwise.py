"""Elementwise functions, comparisons, selection and casts."""

from __future__ import annotations

from collections.abc import Callable

from ..dtypes import DType, Scalar, as_dtype, bool_, float32, promote, weak_dtype
from ..errors import DTypeError, ShapeError
from ..ir import Binary, Select, Tile, Unary
from ..ir import Bitcast as BitcastOp
from .functions import BINARY, UNARY, common_dtype, operand_dtype, result_dtype
from .op import op
from .values import TileLike, TileValue, as_tile, broadcast, broadcast_shapes, builder, cast_to, is_scalar_constant


def unary(name: str, x: TileLike) -> TileValue:
    """``UNARY[name]`` of ``x``."""
    fn = UNARY[name]
    x = as_tile(x, f"{name}()")
    x = cast_to(x, operand_dtype(fn, x.dtype))
    return TileValue(builder().emit(Unary, (Tile(x.shape, result_dtype(fn, x.dtype)),), fn=name, x=x.value).result)


def binary(name: str, x: TileLike, y: TileLike) -> TileValue:
    """``BINARY[name]`` of ``x`` and ``y``, promoted to one dtype and broadcast to one shape."""
    fn = BINARY[name]
    x, y = _pair(x, y, f"{name}()")
    dtype = common_dtype(fn, x.dtype, y.dtype)
    shape = broadcast_shapes((x.shape, y.shape), f"{name}()")
    x, y = broadcast(cast_to(x, dtype), shape), broadcast(cast_to(y, dtype), shape)
    result = Tile(shape, result_dtype(fn, dtype))
    return TileValue(builder().emit(Binary, (result,), fn=name, x=x.value, y=y.value).result)


def _pair(x: object, y: object, where: str) -> tuple[TileValue, TileValue]:
    """Both as tiles; a Python scalar takes the dtype of its neighbour."""
    if is_scalar_constant(x) and not is_scalar_constant(y):
        right = as_tile(y, where)
        return as_tile(x, where, _weak_target(x, right.dtype)), right
    left = as_tile(x, where)
    return left, as_tile(y, where, _weak_target(y, left.dtype))


def _weak_target(scalar: object, neighbour: DType) -> DType | None:
    if isinstance(scalar, (bool, int, float)):
        return weak_dtype(scalar, neighbour)
    return neighbour


@op
def astype(x: TileLike, dtype: object) -> TileValue:
    """``x`` converted to ``dtype``, any shape: rounds to nearest even; a float outside an integer's range saturates, NaN gives 0."""
    target = as_dtype(dtype)  # type: ignore[arg-type]
    return cast_to(as_tile(x, "astype()"), target)


@op
def bitcast(x: TileLike, dtype: object) -> TileValue:
    """The bits of ``x`` read as ``dtype``, which has the same width."""
    x, target = as_tile(x, "bitcast()"), as_dtype(dtype)  # type: ignore[arg-type]
    if x.dtype.bits != target.bits or (x.dtype.is_bool != target.is_bool):
        raise DTypeError(f"bitcast(): dtype: expected {x.dtype.bits} bits to match {x.dtype}, got {target}")
    return TileValue(builder().emit(BitcastOp, (Tile(x.shape, target),), x=x.value).result)


@op
def where(condition: TileLike, x: TileLike, y: TileLike) -> TileValue:
    """``x`` where ``condition``, else ``y``; all three broadcast."""
    cond = as_tile(condition, "where(): condition")
    if not cond.dtype.is_bool:
        cond = binary("ne", cond, 0)
    a, b = _pair(x, y, "where()")
    dtype = promote(a.dtype, b.dtype)
    shape = broadcast_shapes((cond.shape, a.shape, b.shape), "where()")
    a, b, cond = broadcast(cast_to(a, dtype), shape), broadcast(cast_to(b, dtype), shape), broadcast(cond, shape)
    return TileValue(builder().emit(Select, (Tile(shape, dtype),), cond=cond.value, x=a.value, y=b.value).result)


def truth(x: TileLike, where_: str) -> TileValue:
    """``x`` as bool: nonzero."""
    tile = as_tile(x, where_)
    return tile if tile.dtype.is_bool else binary("ne", tile, 0)


def _unary_operator(name: str, doc: str, python_name: str | None = None) -> Callable[[TileLike], TileValue]:
    def function(x: TileLike) -> TileValue:
        return unary(name, x)

    function.__name__ = function.__qualname__ = python_name or name
    fn = UNARY[name]
    accuracy = f" At most {fn.ulp:g} ulp in float32 and float64." if fn.ulp else ""
    integers = " Integers are computed in float32." if fn.rule == "floating" else ""
    function.__doc__ = f"{doc}{accuracy}{integers}"
    return op(function)


def _binary_operator(name: str, doc: str, python_name: str | None = None) -> Callable[[TileLike, TileLike], TileValue]:
    def function(x: TileLike, y: TileLike) -> TileValue:
        return binary(name, x, y)

    function.__name__ = function.__qualname__ = python_name or name
    fn = BINARY[name]
    function.__doc__ = doc + (f" At most {fn.ulp:g} ulp in float32 and float64." if fn.ulp else "")
    return op(function)


abs = _unary_operator("abs", "Absolute value; of the least signed integer, that integer.")
sign = _unary_operator("sign", "-1, 0 or 1 by sign; NaN for NaN.")
exp = _unary_operator("exp", "e to the power of x.")
exp2 = _unary_operator("exp2", "2 to the power of x.")
expm1 = _unary_operator("expm1", "exp(x) - 1, exact near 0.")
log = _unary_operator("log", "Natural logarithm.")
log2 = _unary_operator("log2", "Logarithm to base 2.")
log10 = _unary_operator("log10", "Logarithm to base 10.")
log1p = _unary_operator("log1p", "log(1 + x), exact near 0.")
sqrt = _unary_operator("sqrt", "Square root, correctly rounded.")
rsqrt = _unary_operator("rsqrt", "1 / sqrt(x).")
sin = _unary_operator("sin", "Sine of x in radians.")
cos = _unary_operator("cos", "Cosine of x in radians.")
tan = _unary_operator("tan", "Tangent of x in radians.")
tanh = _unary_operator("tanh", "Hyperbolic tangent.")
erf = _unary_operator("erf", "Error function.")
floor = _unary_operator("floor", "Largest integer not above x, as a float.")
ceil = _unary_operator("ceil", "Smallest integer not below x, as a float.")
trunc = _unary_operator("trunc", "x without its fraction, as a float.")
round = _unary_operator("round", "Nearest integer, ties to even, as a float.")
isnan = _unary_operator("isnan", "True where x is NaN.")
isinf = _unary_operator("isinf", "True where x is an infinity.")
isfinite = _unary_operator("isfinite", "True where x is neither infinite nor NaN.")
negative = _unary_operator("neg", "-x; unsigned integers wrap.", "negative")
invert = _unary_operator("invert", "Bitwise not; logical not of bool.")

maximum = _binary_operator("max", "The larger; NaN if either is NaN.", "maximum")
minimum = _binary_operator("min", "The smaller; NaN if either is NaN.", "minimum")
power = _binary_operator("pow", "x to the power of y; integers wrap.", "power")
arctan2 = _binary_operator("atan2", "The angle of the point (y, x), in radians.", "arctan2")


@op
def clip(x: TileLike, a_min: TileLike | None = None, a_max: TileLike | None = None) -> TileValue:
    """``x`` limited to ``[a_min, a_max]``; NaN stays NaN."""
    result = as_tile(x, "clip()")
    if a_min is not None:
        result = binary("max", result, a_min)
    if a_max is not None:
        result = binary("min", result, a_max)
    return result


@op
def logical_and(x: TileLike, y: TileLike) -> TileValue:
    """True where both are nonzero."""
    return binary("and", truth(x, "logical_and()"), truth(y, "logical_and()"))


@op
def logical_or(x: TileLike, y: TileLike) -> TileValue:
    """True where either is nonzero."""
    return binary("or", truth(x, "logical_or()"), truth(y, "logical_or()"))


@op
def logical_not(x: TileLike) -> TileValue:
    """True where x is zero."""
    return unary("invert", truth(x, "logical_not()"))


@op
def sigmoid(x: TileLike) -> TileValue:
    """1 / (1 + exp(-x)), without overflow for large negative x. At most 8 ulp in float32 and float64.

    Integers are computed in float32.
    """
    x = as_tile(x, "sigmoid()")
    wide = x if x.dtype.is_float and x.dtype.bits >= 32 else cast_to(x, float32)
    e = unary("exp", unary("neg", unary("abs", wide)))
    numerator = where(binary("ge", wide, 0), binary("add", binary("mul", e, 0), 1), e)
    result = binary("div", numerator, binary("add", e, 1))
    return cast_to(result, x.dtype) if x.dtype.is_float else result


def as_scalar_bool(x: TileLike | Scalar, where_: str) -> TileValue:
    """The condition of a branch or loop: a bool scalar tile."""
    tile = truth(x, where_)
    if tile.shape:
        raise ShapeError(
            f"{where_}: expected a scalar condition, got {tile.type}", hint="reduce it with pk.any() or pk.all()"
        )
    assert tile.dtype == bool_
    return tile
