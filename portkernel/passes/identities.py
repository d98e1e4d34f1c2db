"""Identities that hold bit for bit: what an operation with a neutral operand, or a shape change of nothing, equals."""

from __future__ import annotations

import math
from dataclasses import replace

from ..dtypes import DType, Scalar
from ..ir import (
    Binary,
    BroadcastTo,
    Cast,
    Concat,
    Const,
    Extract,
    Full,
    Op,
    Permute,
    Reshape,
    Select,
    Tile,
    Unary,
    Value,
)
from ..lang import evaluate


class Known:
    """The operations that define the values seen so far."""

    def __init__(self) -> None:
        self._by: dict[Value, Op] = {}

    def define(self, op: Op) -> None:
        self._by.update(dict.fromkeys(op.results, op))

    def by(self, value: Value) -> Op | None:
        """The operation that defines ``value``; None for parameters."""
        return self._by.get(value)

    def filled(self, value: Value) -> Value | None:
        """The scalar that every element of ``value`` equals, if that is plain to see."""
        if value.tile.shape == ():
            return value
        op = self.by(value)
        return op.value if isinstance(op, Full) else None

    def splat(self, value: Value) -> Scalar | None:
        """The constant that every element of ``value`` equals."""
        scalar = self.filled(value)
        op = None if scalar is None else self.by(scalar)
        return op.value if isinstance(op, Const) else None


def simplify(op: Op, known: Known) -> Value | tuple[Op, ...]:
    """A value that ``op`` equals, or the operations to keep in its place (the last defines its results)."""
    match op:
        case Binary():
            return _binary(op, known)
        case Unary(fn="neg" | "invert", x=x):
            inner = known.by(x)
            return inner.x if isinstance(inner, Unary) and inner.fn == op.fn else (op,)
        case Cast():
            return _cast(op, known)
        case Select(cond=cond, x=x, y=y):
            taken = known.splat(cond)
            if taken is not None:
                return x if taken else y
            return x if x is y else (op,)
        case Reshape() | Permute() | BroadcastTo() | Full() | Extract() | Concat():
            return _shape(op, known)
        case _:
            return (op,)


_RIGHT: dict[str, int] = {"add": 0, "sub": 0, "mul": 1, "floordiv": 1, "or": 0, "xor": 0, "and": -1, "shl": 0, "shr": 0}
"""Integer functions with the right operand that changes nothing."""
_EITHER = frozenset({"add", "mul", "or", "xor", "and"})


def _binary(op: Binary, known: Known) -> Value | tuple[Op, ...]:
    dtype = op.x.tile.dtype
    left, right = known.splat(op.x), known.splat(op.y)
    if right is not None and _neutral(op.fn, right, dtype):
        return op.x
    if left is not None and op.fn in _EITHER and _neutral(op.fn, left, dtype):
        return op.y
    if dtype.is_float:
        return (op,)
    if op.fn in ("mul", "and") and 0 in (left, right):
        return op.x if left == 0 else op.y
    if not dtype.is_integer or right is None:
        return (op,)
    if op.fn in ("floordiv", "mod"):
        return _by_power_of_two(op, int(right))
    return _reassociate(op, right, known) if op.fn in ("add", "mul") else (op,)


def _neutral(fn: str, constant: Scalar, dtype: DType) -> bool:
    if dtype.is_float:
        match fn:
            case "mul" | "div":
                return constant == 1.0
            case "add":
                return constant == 0.0 and math.copysign(1.0, constant) < 0  # x + 0.0 would make 0.0 of -0.0
            case "sub":
                return constant == 0.0 and math.copysign(1.0, constant) > 0
            case _:
                return False
    neutral = _RIGHT.get(fn)
    if neutral is None:
        return False
    if fn == "and":
        return constant == (-1 if dtype.kind == "i" else dtype.max)
    return constant == neutral


def _by_power_of_two(op: Binary, divisor: int) -> tuple[Op, ...]:
    """Division that rounds down is an arithmetic shift, and its remainder a mask, negative numbers included."""
    if divisor == 1:  # of a remainder: x // 1 has been taken for x
        return _zero(op)
    if divisor < 2 or divisor & (divisor - 1):
        return (op,)
    shift = op.fn == "floordiv"
    tile = op.y.tile
    scalar = Const(
        results=(Value(Tile((), tile.dtype)),), loc=op.loc, value=divisor.bit_length() - 1 if shift else divisor - 1
    )
    made = replace(op, fn="shr" if shift else "and", y=scalar.result)
    if tile.shape == ():
        return scalar, made
    full = Full(results=(Value(tile),), loc=op.loc, value=scalar.result)
    return scalar, full, replace(made, y=full.result)


def _zero(op: Binary) -> tuple[Op, ...]:
    """0 in the place of ``op``."""
    tile = op.result.tile
    if tile.shape == ():
        return (Const(results=op.results, loc=op.loc, value=0),)
    scalar = Const(results=(Value(Tile((), tile.dtype)),), loc=op.loc, value=0)
    return scalar, Full(results=op.results, loc=op.loc, value=scalar.result)


def _reassociate(op: Binary, right: Scalar, known: Known) -> tuple[Op, ...]:
    """``(x + c) + d`` is ``x + (c + d)``, and likewise for products: integers wrap either way."""
    inner = known.by(op.x)
    if not isinstance(inner, Binary) or inner.fn != op.fn or op.result.tile.shape != ():
        return (op,)
    constant = known.splat(inner.y)
    if constant is None:
        return (op,)
    dtype = op.x.tile.dtype
    with evaluate.quiet():
        both = evaluate.binary(op.fn, evaluate.constant(constant, dtype), evaluate.constant(right, dtype), dtype, dtype)
    made = Const(results=(Value(Tile((), dtype)),), loc=op.loc, value=evaluate.scalar(both, dtype))
    return made, replace(op, x=inner.x, y=made.result)


def _cast(op: Cast, known: Known) -> Value | tuple[Op, ...]:
    source, target = op.x.tile.dtype, op.result.tile.dtype
    if source == target:
        return op.x
    inner = known.by(op.x)
    if isinstance(inner, Cast) and inner.x.tile.dtype == target and _holds(source, target):
        return inner.x
    return (op,)


def _holds(wide: DType, narrow: DType) -> bool:
    """Whether ``wide`` has every value of ``narrow``."""
    if narrow.is_bool:
        return not wide.is_storage_only
    if narrow.is_float:
        return wide.is_float and wide.exponent >= narrow.exponent and wide.mantissa >= narrow.mantissa
    if wide.is_float:
        return wide.bits >= 32 and wide.mantissa + 1 >= narrow.bits
    return wide.is_integer and wide.min <= narrow.min and wide.max >= narrow.max


def _shape(op: Op, known: Known) -> Value | tuple[Op, ...]:
    x = op.operands[0]
    if op.result.type == x.type and not (isinstance(op, Permute) and op.axes != tuple(range(x.tile.rank))):
        return x
    inner = known.by(x)
    match op, inner:
        case ((Reshape() | Permute() | BroadcastTo() | Extract()), Full(value=value)):
            return (Full(results=op.results, loc=op.loc, value=value),)
        case Reshape(), Reshape():
            return inner.x if inner.x.type == op.result.type else (replace(op, x=inner.x),)
        case BroadcastTo(), BroadcastTo():
            return (replace(op, x=inner.x),)
        case Permute(axes=axes), Permute(axes=before):
            composed = tuple(before[a] for a in axes)
            return inner.x if composed == tuple(range(len(axes))) else (replace(op, x=inner.x, axes=composed),)
        case _:
            return (op,)
