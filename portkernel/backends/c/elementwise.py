"""Elementwise operations and conversions, on scalars and vectors."""

from __future__ import annotations

from ...dtypes import DType, float32, uint8, uint16
from ...ir import ops as o
from ...ir import simt as s
from ...ir.core import Value
from .emit import Emitter, handles
from .expr import CONDITION, UNARY, Expr, call, infix, prefix
from .spell import (
    COMPARE,
    EXACT,
    FLOAT_BINARY,
    FLOAT_UNARY,
    INFIX_ARITHMETIC,
    INFIX_BITS,
    ONE_LANE,
    ONE_LANE_UNARY,
    OWN_FORM,
    PREDICATES,
    PRELUDE_BINARY,
    PRELUDE_UNARY,
    SMALL,
    SWAPPED,
)


@handles(o.Unary)
def unary(e: Emitter, op: o.Unary) -> Expr:
    type, fn = op.x.vec, op.fn
    dtype = type.dtype
    if fn in PRELUDE_UNARY and dtype.kind in PRELUDE_UNARY[fn]:
        return e.request(fn, dtype, type.lanes, e.use(op.x))
    if fn == "invert":
        x = e.use(op.x)
        if dtype.is_bool and type.lanes == 1:
            return prefix("!", x)
        return _narrowed(e, prefix("~", x), type)
    if fn == "neg" and dtype.is_integer:
        return Expr(prefix("-", _wrapped(e, op.x)).text, UNARY, wrap=True)
    if fn == "abs" and dtype.is_integer:
        return e.use(op.x)  # unsigned
    if fn in OWN_FORM and dtype.bits <= 32 and e.target.has("scalar_math"):
        return e.rounded(e.request(fn, None, type.lanes, e.use(op.x)), type)
    if fn in ONE_LANE_UNARY and type.lanes > 1:
        x = e.atom(op.x)
        made = by_lane(e, type, [call(FLOAT_UNARY[fn], f"{x.text}.s{i:x}") for i in range(type.lanes)])
        return e.rounded(made, type)
    x = e.use(op.x)
    if type.lanes > 1 and dtype.kind in ONE_LANE.get(fn, ""):
        a = e.atom(op.x).text
        lanes = (call(FLOAT_UNARY[fn], Expr(f"{a}.s{i:x}")).text for i in range(type.lanes))
        made = Expr(f"({e.dialect.register_type(type)})({', '.join(lanes)})", UNARY)
    else:
        made = prefix("-", x) if fn == "neg" else call(FLOAT_UNARY[fn], x)
    if fn in PREDICATES:
        return e.dialect.mask(made, type)
    return made if fn in EXACT else e.rounded(made, type)


@handles(o.Binary)
def binary(e: Emitter, op: o.Binary) -> Expr:
    type, fn = op.x.vec, op.fn
    dtype = type.dtype
    if fn in COMPARE:
        masks = dtype.is_bool and type.lanes > 1  # true is -1 in a mask, so their order is the opposite
        made = infix(COMPARE[SWAPPED.get(fn, fn) if masks else fn], e.use(op.x), e.use(op.y))
        return made if masks else e.dialect.mask(made, type)
    if dtype.is_bool:
        bits = {"max": "|", "min": "&"}.get(fn) or INFIX_BITS[fn]
        return infix(bits, e.use(op.x), e.use(op.y))
    if fn in INFIX_BITS:
        return _narrowed(e, infix(INFIX_BITS[fn], e.use(op.x), e.use(op.y)), type)
    if fn in INFIX_ARITHMETIC and dtype.is_integer:
        return wrapping(e, INFIX_ARITHMETIC[fn], op.x, op.y)
    if dtype.is_integer and (simple := _by_constant(e, op)) is not None:
        return simple
    if fn in PRELUDE_BINARY and dtype.kind in PRELUDE_BINARY[fn]:
        made = _prelude(e, fn, op.x, op.y)
    elif fn in FLOAT_BINARY:
        made = call(FLOAT_BINARY[fn], e.use(op.x), e.use(op.y))
    else:
        made = infix({**INFIX_ARITHMETIC, "div": "/"}[fn], e.use(op.x), e.use(op.y))
    return made if fn in EXACT else e.rounded(made, type)


def _prelude(e: Emitter, fn: str, x: Value, y: Value) -> Expr:
    type = x.vec
    if type.lanes == 1 or type.dtype.kind not in ONE_LANE.get(fn, ""):
        return e.request(fn, type.dtype, type.lanes, e.use(x), e.use(y))
    a, b = e.atom(x).text, e.atom(y).text
    return by_lane(
        e, type, [e.request(fn, type.dtype, 1, Expr(f"{a}.s{i:x}"), Expr(f"{b}.s{i:x}")) for i in range(type.lanes)]
    )


def by_lane(e: Emitter, type: s.Vec, lanes: list[Expr]) -> Expr:
    """A vector from the expressions of its lanes."""
    return Expr(f"({e.dialect.register_type(type)})({', '.join(lane.text for lane in lanes)})", UNARY)


def _by_constant(e: Emitter, op: o.Binary) -> Expr | None:
    """A shift by a constant inside the width, or an unsigned division by one that is not 0: C's own operator will do."""
    type, fn, constant = op.x.vec, op.fn, e.constants.get(op.y)
    if type.lanes > 1 or constant is None:
        return None
    if fn in ("shl", "shr") and 0 <= constant < type.dtype.bits:
        count = Expr(str(int(constant)))
        if fn == "shl":
            return infix("<<", _wrapped(e, op.x), count, wrap=not _is_plain(type.dtype))
        return _narrowed(e, infix(">>", e.use(op.x), count), type)
    if fn in ("floordiv", "mod") and type.dtype.kind == "u" and constant != 0:
        return _narrowed(e, infix("/" if fn == "floordiv" else "%", e.use(op.x), e.use(op.y)), type)
    return None


def _is_plain(dtype: DType) -> bool:
    """Unsigned types of full width, whose arithmetic wraps in C as it stands."""
    return dtype.kind == "u" and dtype.bits >= 32


def _wrapped(e: Emitter, value: Value) -> Expr:
    """An integer as an operand of wrapping arithmetic, in the unsigned type."""
    x = e.raw(value)
    if x.wrap or _is_plain(value.vec.dtype):
        return x
    return e.dialect.unsigned(x, value.vec)


def wrapping(e: Emitter, symbol: str, x: Value, y: Value) -> Expr:
    """``x + y`` and its like on integers, modulo two to the width."""
    left, right = e.raw(x), e.raw(y)
    if _is_plain(x.vec.dtype):
        return infix(symbol, left, right)
    if x.vec.lanes > 1:
        left, right = _wrapped(e, x), _wrapped(e, y)
    elif not (left.wrap or right.wrap):
        left = _wrapped(e, x)  # C converts the other operand
    return infix(symbol, left, right, wrap=True)


def _narrowed(e: Emitter, x: Expr, type: s.Vec) -> Expr:
    """The result of C's arithmetic on integers below 32 bits, which it does in int."""
    if type.lanes > 1 or type.dtype.bits >= 32:
        return x
    return e.dialect.cast(x, type)


@handles(o.Select)
def select(e: Emitter, op: o.Select) -> Expr:
    cond, x, y, type = e.use(op.cond), e.use(op.x), e.use(op.y), op.result.vec
    if type.lanes > 1:
        return call("select", y, x, e.dialect.widen_mask(cond, type))
    return Expr(f"{cond.at(CONDITION + 1)} ? {x.at(CONDITION + 1)} : {y.at(CONDITION + 1)}", CONDITION)


@handles(s.Mad)
def mad(e: Emitter, op: s.Mad) -> Expr:
    type = op.result.vec
    if type.dtype.is_float:
        return e.rounded(call(e.dialect.mad, e.use(op.x), e.use(op.y), e.use(op.z)), type)
    product = wrapping(e, "*", op.x, op.y)
    if _is_plain(type.dtype):
        return infix("+", product, e.use(op.z))
    z = _wrapped(e, op.z) if type.lanes > 1 else e.raw(op.z)
    return infix("+", product, z, wrap=True)


@handles(o.Cast)
def cast(e: Emitter, op: o.Cast) -> Expr:
    return convert(e, e.raw(op.x), op.x.vec, op.result.vec)


@handles(s.WholeNumber)
def whole_number(e: Emitter, op: s.WholeNumber) -> Expr:
    return e.dialect.cast(e.use(op.x), op.result.vec)


def convert(e: Emitter, x: Expr, src: s.Vec, dst: s.Vec) -> Expr:
    """``x`` converted, with the meaning of ``ir.Cast``."""
    d, a, b = e.dialect, src.dtype, dst.dtype
    if a == b:
        return x
    if a.is_integer and b.is_integer and src.lanes == 1 and (made := _same_bits(e, x, src, dst)) is not None:
        return made
    x = d.signed(x, src) if x.wrap else x
    if b.is_bool:
        zero = Expr("0") if src.lanes == 1 else Expr(f"({d.register_type(src)})(0)", UNARY)
        return d.mask(infix("!=", x, zero), src)
    if a.is_bool:
        return d.cast(d.unmask(x, src), dst) if dst.lanes > 1 else d.cast(x, dst)
    if a.is_float and b.is_integer:
        return d.saturate(e.prelude, x, src, dst)
    if b.name not in SMALL:
        register = s.Vec(float32, src.lanes) if a.name in SMALL else src
        return x if register == dst else d.cast(x, dst)
    if a.bits == 64 and a.is_float:
        # float64 to float16 rounds once; ml_dtypes takes the others through float32.
        x = e.request("odd_f32", None, src.lanes, x) if b.name == "float16" else d.cast(x, s.Vec(float32, src.lanes))
    elif not a.is_float:
        x = d.cast(x, s.Vec(float32, src.lanes))
    return x if _always_fits(a, b) else e.rounded(x, dst)


def _same_bits(e: Emitter, x: Expr, src: s.Vec, dst: s.Vec) -> Expr | None:
    """A conversion of integers that keeps the low bits, with no cast where the text has the right type already."""
    a, b = src.dtype, dst.dtype
    if a.bits == b.bits and a.bits >= 32:
        if b.kind == "u":
            return Expr(x.text, x.prec) if x.wrap else None
        return Expr(x.text, x.prec, wrap=True)
    if x.wrap and b.bits < a.bits:
        return e.dialect.cast(Expr(x.text, x.prec), dst)
    return None


def _always_fits(a: DType, b: DType) -> bool:
    """Whether every value of ``a`` is one of the small float ``b``."""
    if a.is_float:
        return a.mantissa <= b.mantissa and a.exponent <= b.exponent and b.bits == 16
    return a.bits == 8 and b.bits == 16


@handles(o.Bitcast)
def bitcast(e: Emitter, op: o.Bitcast) -> Expr:
    src, dst = op.x.vec, op.result.vec
    d, x = e.dialect, e.use(op.x)
    if src.dtype == dst.dtype:
        return x
    if src.dtype.bits >= 32:
        return d.bits(x, src.dtype, dst.dtype, src.lanes)
    word = s.Vec(uint8 if src.dtype.bits == 8 else uint16, src.lanes)
    if src.dtype.is_float:
        x = e.request(f"store_{SMALL[src.dtype.name]}", None, src.lanes, x)
        src = word
    if dst.dtype.is_float:
        x = x if src == word else d.signed(x, word)
        return e.request(f"load_{SMALL[dst.dtype.name]}", None, src.lanes, x)
    return x if src == dst else d.signed(x, dst)
