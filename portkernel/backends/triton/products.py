"""Products of tiles: ``tl.dot`` where it applies, multiply and sum elsewhere."""

from __future__ import annotations

from ...dtypes import DType
from ...ir import Dot, Value
from .elementwise import as_bits, cast_text, from_bits
from .printer import MAX_ELEMENTS, Printer
from .spell import along, padded, padded_side, range_of, register

SMALLEST = 16
"""The smallest M, N and K of ``tl.dot`` in every version from 3.1; 8-bit operands need K = 32."""
LARGEST_PRODUCT = 1 << 15
"""Elements of an intermediate ``(M, K, N)`` product up to which multiply and sum takes one step; a row or a few beside a large tile always do."""
_NATIVE = frozenset({"float16", "bfloat16", "float32", "float64", "int8", "float8_e4m3fn", "float8_e5m2"})


def dot(p: Printer, op: Dot) -> None:
    dtype = op.a.tile.dtype
    m, k = padded(op.a.tile.shape)[-2:]
    n = padded_side(op.b.tile.shape[-1])
    least_k = 32 if dtype.bits == 8 and dtype.is_integer else SMALLEST
    if dtype.name in _NATIVE and m >= SMALLEST and n >= SMALLEST and k >= least_k:
        _native(p, op, dtype)
    else:
        _multiply_and_sum(p, op, dtype)


def _operand(p: Printer, value: Value, axis: int, dtype: DType, name: str) -> str:
    """The operand with zeros in the padding of the summed dimension."""
    text = p.use(value)
    side = value.tile.shape[axis]
    if dtype.is_storage_only:  # both 8-bit formats are exact in float16
        text = p.temp(name, f"{cast_text(p, text, dtype, _F32)}.to(tl.float16)")
    if padded_side(side) == side:
        return text
    zero = "tl.float16" if dtype.is_storage_only else register(dtype)
    keep = along(f"({range_of(side)} < {side})", axis, value.tile.rank)
    shape = p.padded_text(value.tile.shape)
    return p.temp(name, f"tl.where({keep}, {text}, tl.full({shape}, 0, {zero}))")


_F32 = DType("float32", "f", 32, 8, 23)


def _operands(p: Printer, op: Dot, dtype: DType) -> tuple[str, str]:
    rank = op.a.tile.rank
    a, b = _operand(p, op.a, rank - 1, dtype, "a"), _operand(p, op.b, rank - 2, dtype, "b")
    if op.precision == "tf32" and dtype.name == "float32":
        call = p.helper("_tf32")
        a, b = f"{call}({a})", f"{call}({b})"
    return a, b


def _native(p: Printer, op: Dot, dtype: DType) -> None:
    a, b = _operands(p, op, dtype)
    acc = p.use(op.acc)
    out = register(op.acc.tile.dtype)
    if dtype.name == "bfloat16":
        p.define(op.result, f"{p.helper('_dot_bf16')}({a}, {b}, {acc})")
        return
    precision = op.precision if dtype.name == "float32" else "ieee"
    p.define(op.result, f'tl.dot({a}, {b}, {acc}, input_precision="{precision}", out_dtype={out})')


def _multiply_and_sum(p: Printer, op: Dot, dtype: DType) -> None:
    a, b = _operands(p, op, dtype)
    out = op.acc.tile.dtype
    rank = op.a.tile.rank
    a = p.temp("a", f"({a}).to({register(out)})")
    b = p.temp("b", f"({b}).to({register(out)})")
    m, k = padded(op.a.tile.shape)[-2:]
    n = padded_side(op.b.tile.shape[-1])
    batch = padded_side(op.a.tile.shape[0]) if rank == 3 else 1
    lead = ":, " if rank == 3 else ""
    add = p.helper("_add")
    product, operands = batch * m * n * k, batch * k * max(m, n)
    if product <= LARGEST_PRODUCT or product <= min(8 * operands, MAX_ELEMENTS):
        p.define(
            op.result,
            f"{p.use(op.acc)} + tl.reduce({a}[{lead}:, :, None] * {b}[{lead}None, :, :], {rank - 1}, {add})",
        )
        return
    acc = p.temp("acc", p.use(op.acc))
    i = p.fresh("k")
    p.line(f"for {i} in range(0, {op.a.tile.shape[-1]}):")
    with p.indented():
        column = _slice(p, a, out, rank - 1, rank, i, k)
        row = _slice(p, b, out, rank - 2, rank, i, k)
        p.line(f"{acc} = {acc} + {column}[{lead}:, None] * {row}[{lead}None, :]")
    p.define(op.result, acc)


def _slice(p: Printer, x: str, dtype: DType, axis: int, rank: int, index: str, side: int) -> str:
    """``x`` at ``index`` along ``axis``: a sum over bit patterns of which all but one are zero."""
    bits = p.temp("bits", as_bits(x, dtype))
    here = along(f"({range_of(side)} == {index})", axis, rank)
    text = f"tl.reduce(tl.where({here}, {bits}, {bits} - {bits}), {axis}, {p.helper('_add')})"
    return p.temp("part", from_bits(text, dtype))
