"""Elementwise functions, selection and conversions."""

from __future__ import annotations

from collections.abc import Callable

from ...dtypes import DType, bool_, float32
from ...errors import UnsupportedOpError
from ...ir import Binary, Bitcast, Cast, Select, Unary, Value
from .printer import Printer
from .spell import literal, register, storage

Spell = Callable[[Printer, str, DType], str]
Spell2 = Callable[[Printer, str, str, DType], str]


def to_storage(p: Printer, text: str, dtype: DType) -> str:
    """A register as the bits that memory holds."""
    if dtype.name == "bfloat16":
        return f"{p.helper('_bf16_bits')}({text})"
    return f"{text}.to(tl.uint8)" if dtype.is_bool else text


def from_storage(p: Printer, text: str, dtype: DType) -> str:
    """What memory holds as a register."""
    if dtype.name == "bfloat16":
        return f"{p.helper('_bf16_value')}({text})"
    return f"{text} != 0" if dtype.is_bool else text


def as_bits(text: str, dtype: DType) -> str:
    """The register as a signed integer of its own width, bit for bit; bool as int32."""
    if dtype.is_bool:
        return f"{text}.to(tl.int32)"
    if dtype.is_integer or dtype.is_storage_only:
        return f"{text}"
    bits = 32 if dtype.name == "bfloat16" else dtype.bits
    return f"{text}.to(tl.int{bits}, bitcast=True)"


def from_bits(text: str, dtype: DType) -> str:
    """The inverse of :func:`as_bits`, of an integer that a sum may have widened."""
    if dtype.is_bool:
        return f"{text} != 0"
    if dtype.is_integer or dtype.is_storage_only:
        return f"{text}.to({register(dtype)})"
    bits = 32 if dtype.name == "bfloat16" else dtype.bits
    return f"{text}.to(tl.int{bits}).to({register(dtype)}, bitcast=True)"


def wide(text: str, dtype: DType) -> str:
    """A 16-bit float as float32, in which its arithmetic is done."""
    return f"{text}.to(tl.float32)" if dtype.name == "float16" else text


def narrow(p: Printer, text: str, dtype: DType) -> str:
    """The float32 result ``text`` rounded to ``dtype``."""
    if dtype.name == "float16":
        return f"({text}).to(tl.float16)"
    return f"{p.helper('_bf16')}({text})" if dtype.name == "bfloat16" else text


def compute_dtype(dtype: DType) -> DType:
    return float32 if dtype.is_float and dtype.bits < 32 else dtype


# --- unary ---------------------------------------------------------------------------------------------------


def _call(name: str) -> Spell:
    return lambda p, x, d: f"{p.helper(name)}({x})"


def _sized(name: str) -> Spell:
    """A helper that exists for float32 and float64."""
    return lambda p, x, d: f"{p.helper(f'{name}_f{d.bits}')}({x})"


def _neg(p: Printer, x: str, d: DType) -> str:
    return f"{x} * -1.0" if d.is_float else f"0 - {x}"


def _abs(p: Printer, x: str, d: DType) -> str:
    if d.is_float:
        return f"tl.abs({x})"
    return x if d.kind == "u" else f"{p.helper('_iabs')}({x})"


def _sign(p: Printer, x: str, d: DType) -> str:
    if d.is_float:
        return f"{p.helper('_fsign')}({x})"
    one = f"({x} > 0).to({register(d)})"
    return one if d.kind == "u" else f"{one} - ({x} < 0).to({register(d)})"


def _sqrt(p: Printer, x: str, d: DType) -> str:
    return f"tl.sqrt_rn({x})" if d.bits == 32 else f"tl.sqrt({x})"


def _rsqrt(p: Printer, x: str, d: DType) -> str:
    return f"tl.div_rn(1.0, tl.sqrt_rn({x}))" if d.bits == 32 else f"1.0 / tl.sqrt({x})"


def _plain(name: str) -> Spell:
    return lambda p, x, d: f"tl.{name}({x})"


def _or_sized(native: str, name: str) -> Spell:
    """Triton's own function in float64, where it is accurate; a helper in float32."""
    return lambda p, x, d: f"tl.{native}({x})" if d.bits == 64 else f"{p.helper(name)}({x})"


UNARY_SPELL: dict[str, Spell] = {
    "neg": _neg, "abs": _abs, "sign": _sign, "invert": lambda p, x, d: f"~{x}",
    "exp": _or_sized("exp", "_exp_f32"), "exp2": _or_sized("exp2", "_exp2_f32"), "expm1": _sized("_expm1"),
    "log": _or_sized("log", "_log_f32"), "log2": _or_sized("log2", "_log2_f32"), "log10": _sized("_log10"),
    "log1p": _sized("_log1p"), "sqrt": _sqrt, "rsqrt": _rsqrt, "sin": _plain("sin"), "cos": _plain("cos"),
    "tan": _sized("_tan"), "tanh": _sized("_tanh"), "erf": _plain("erf"), "floor": _plain("floor"), "ceil": _plain("ceil"),
    "trunc": _call("_trunc"), "round": _sized("_round"), "isnan": lambda p, x, d: f"{x} != {x}",
    "isinf": lambda p, x, d: f'tl.abs({x}) == float("inf")', "isfinite": lambda p, x, d: f'tl.abs({x}) < float("inf")',
}  # fmt: skip


def unary(p: Printer, op: Unary) -> None:
    spell = UNARY_SPELL.get(op.fn)
    if spell is None:
        raise UnsupportedOpError(f"triton: the function {op.fn} is unknown", loc=op.loc)
    dtype = op.x.tile.dtype
    x = p.use(op.x)
    if op.result.tile.dtype.is_bool or not dtype.is_float or op.fn in ("abs",):
        p.define(op.result, spell(p, wide(x, dtype) if op.fn != "abs" and dtype.is_float else x, dtype))
        return
    text = spell(p, wide(x, dtype), compute_dtype(dtype))
    p.define(op.result, narrow(p, text, dtype))


# --- binary --------------------------------------------------------------------------------------------------


def _infix(sign: str) -> Spell2:
    return lambda p, x, y, d: f"{x} {sign} {y}"


def _div(p: Printer, x: str, y: str, d: DType) -> str:
    return f"tl.div_rn({x}, {y})" if d.bits == 32 else f"{x} / {y}"


def _by_kind(name: str) -> Spell2:
    """``_name_i``, ``_name_u``, or ``_name_f32`` and ``_name_f64``."""

    def spell(p: Printer, x: str, y: str, d: DType) -> str:
        return f"{p.helper(f'{name}_f{d.bits}' if d.is_float else f'{name}_{d.kind}')}({x}, {y})"

    return spell


def _extremum(name: str, logic: str) -> Spell2:
    def spell(p: Printer, x: str, y: str, d: DType) -> str:
        if d.is_bool:
            return f"{x} {logic} {y}"
        if d.is_float:
            return f"tl.{name}({x}, {y}, propagate_nan=tl.PropagateNan.ALL)"
        return f"tl.{name}({x}, {y})"

    return spell


def _compare(sign: str, logic: str) -> Spell2:
    """int1 is signed to some compilers: bools are compared by logic."""
    return lambda p, x, y, d: logic.format(x=x, y=y) if d.is_bool else f"{x} {sign} {y}"


BINARY_SPELL: dict[str, Spell2] = {
    "add": _infix("+"), "sub": _infix("-"), "mul": _infix("*"), "div": _div,
    "floordiv": _by_kind("_floordiv"), "mod": _by_kind("_mod"), "pow": _by_kind("_pow"),
    "atan2": lambda p, x, y, d: f"{p.helper(f'_atan2_f{d.bits}')}({x}, {y})",
    "max": _extremum("maximum", "|"), "min": _extremum("minimum", "&"), "and": _infix("&"), "or": _infix("|"), "xor": _infix("^"),
    "shl": _by_kind("_shl"), "shr": _by_kind("_shr"), "lt": _compare("<", "~{x} & {y}"), "le": _compare("<=", "~{x} | {y}"),
    "gt": _compare(">", "{x} & ~{y}"), "ge": _compare(">=", "{x} | ~{y}"), "eq": _compare("==", "~({x} ^ {y})"),
    "ne": _compare("!=", "{x} ^ {y}"),
}  # fmt: skip
_INLINE = frozenset({"add", "sub", "mul", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "xor"})


def binary(p: Printer, op: Binary) -> None:
    spell = BINARY_SPELL.get(op.fn)
    if spell is None:
        raise UnsupportedOpError(f"triton: the function {op.fn} is unknown", loc=op.loc)
    dtype = op.x.tile.dtype
    if op.result.tile.dtype.is_bool and not dtype.is_bool:
        p.define(op.result, spell(p, _operand(p, op.x, op), _operand(p, op.y, op), dtype))
        return
    if not dtype.is_float:
        plain = _plain_integer(p, op)
        p.define(op.result, plain or spell(p, _operand(p, op.x, op), _operand(p, op.y, op), dtype))
        return
    x, y = (wide(_operand(p, v, op), dtype) for v in (op.x, op.y))
    p.define(op.result, narrow(p, spell(p, x, y, compute_dtype(dtype)), dtype))


def _plain_integer(p: Printer, op: Binary) -> str | None:
    """A shift, division or modulo by a constant that needs none of the care of the general case."""
    by = p.const_of(op.y)
    dtype = op.x.tile.dtype
    if by is None or op.x.tile.shape or p.const_of(op.x) is not None or dtype.bits < 32:
        return None
    if op.fn in ("shl", "shr") and 0 <= by < dtype.bits:
        return f"{p.use(op.x)} {'<<' if op.fn == 'shl' else '>>'} {int(by)}"
    if op.fn in ("floordiv", "mod") and by > 0 and (dtype.kind == "u" or op.x in p.nonnegative):
        return f"{p.use(op.x)} {'//' if op.fn == 'floordiv' else '%'} {int(by)}"
    return None


def _operand(p: Printer, value: Value, op: Binary) -> str:
    """The operand; a constant beside a variable of a 32-bit or 64-bit type is written as a bare literal."""
    found = p.const_of(value)
    dtype = value.tile.dtype
    other = op.y if value is op.x else op.x
    plain = dtype.bits >= 32 and dtype.name != "float64" and op.fn in _INLINE and p.const_of(other) is None
    if found is not None and plain:
        text = literal(found, dtype)
        # a float literal outside float32's range would turn a float32 neighbour into float64
        return f"({text})" if text.startswith("-") else text
    return p.use(value)


def select(p: Printer, op: Select) -> None:
    p.define(op.result, f"tl.where({p.use(op.cond)}, {p.use(op.x)}, {p.use(op.y)})")


# --- conversions ---------------------------------------------------------------------------------------------


def convert(p: Printer, op: Cast) -> None:
    p.define(op.result, cast_text(p, p.use(op.x), op.x.tile.dtype, op.result.tile.dtype))


def cast_text(p: Printer, x: str, source: DType, target: DType) -> str:
    """``x`` converted as ``Cast`` says."""
    if source == target:
        return x
    if source.is_storage_only:
        return cast_text(p, f"{p.helper('_decode_' + _fp8(source))}({x})", float32, target)
    if target.is_bool:
        return f"{x} != 0"
    if target.is_storage_only:
        from_ = source if source.name == "float64" else float32
        number = x if source.name in ("float64", "float32", "bfloat16") else f"{x}.to(tl.float32)"
        encode = f"{p.helper('_encode_' + _fp8(target))}"
        return f"{encode}({p.helper('_odd_f32')}({number}))" if from_.name == "float64" else f"{encode}({number})"
    if source.is_float and target.is_integer:
        return _saturate(p, wide(x, source), target)
    if target.name == "bfloat16":
        return f"{p.helper('_bf16')}({x if source.name == 'float32' else x + '.to(tl.float32)'})"
    if source.name == "bfloat16":
        return x if target.name == "float32" else f"{x}.to({register(target)})"
    if target.name == "float16" and not source.is_float:
        return f"{x}.to(tl.float32).to(tl.float16)"
    return f"{x}.to({register(target)})"


def _fp8(dtype: DType) -> str:
    return dtype.name.removeprefix("float8_")


def _saturate(p: Printer, x: str, target: DType) -> str:
    """Float to integer: NaN gives 0, what lies outside the nearest end of the range."""
    through = "tl.int64" if target.bits == 64 else "tl.int32" if target.bits < 32 or target.kind == "i" else "tl.int64"
    if target.name == "uint64":
        through = "tl.uint64"
    low, past = float(target.min), float(target.max + 1)
    ends = f"tl.full((), {target.min}, {register(target)}), tl.full((), {target.max}, {register(target)})"
    return f"{p.helper('_to_int')}({x}, {low!r}, {past!r}, {ends}, {through})"


def bitcast(p: Printer, op: Bitcast) -> None:
    source, target = op.x.tile.dtype, op.result.tile.dtype
    text = p.use(op.x)
    if source.name == "bfloat16":
        text = f"{p.helper('_bf16_bits')}({text})"
        source = source if target.name == "bfloat16" else _UINT16
    if target.name == "bfloat16":
        unsigned = text if storage(source) == "tl.uint16" else f"{text}.to(tl.uint16, bitcast=True)"
        p.define(op.result, f"{p.helper('_bf16_value')}({unsigned})")
    elif register(source) == register(target):
        p.define(op.result, text)
    else:
        p.define(op.result, f"{text}.to({register(target)}, bitcast=True)")


_UINT16 = DType("uint16", "u", 16)


def printable(p: Printer, x: Value) -> str:
    """``x`` as something that ``device_print`` shows: bool as int32, an 8-bit float as float32."""
    dtype = x.tile.dtype
    if dtype == bool_:
        return f"{p.use(x)}.to(tl.int32)"
    return cast_text(p, p.use(x), dtype, float32) if dtype.is_storage_only else p.use(x)
