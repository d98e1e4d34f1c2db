"""Reductions, arg-reductions and scans."""

from __future__ import annotations

from ...dtypes import DType
from ...ir import ArgReduce, Reduce, Scan
from ...lang.functions import FOLDS, fold_identity
from .printer import Printer
from .shapes import reshape_text
from .spell import along, padded, padded_side, range_of, register, shape_text, typed

_COMBINE: dict[str, str] = {
    "add": "_add",
    "mul": "_mul",
    "max": "_max",
    "min": "_min",
    "and": "_and",
    "or": "_or",
    "xor": "_xor",
}


def emit(p: Printer, op: Reduce | Scan, combine: str | None) -> None:
    match op:
        case Reduce():
            _reduce_named(p, op) if combine is None else _reduce_with(p, op, combine)
        case Scan():
            _scan(p, op, combine)


def _working(dtype: DType) -> str:
    """The register that a named fold runs in: at least 32 bits wide, as shuffles and atomics of GPUs are."""
    if dtype.is_bool or (dtype.is_integer and dtype.bits < 32):
        return "tl.int32"
    return "tl.float32" if dtype.name == "float16" else register(dtype)


def _combiner(p: Printer, fn: str, dtype: DType) -> str:
    name = FOLDS[fn]
    if name in ("max", "min") and dtype.is_float:
        return p.helper(f"_{name}_nan")
    return p.helper(_COMBINE[name])


def _back(p: Printer, text: str, dtype: DType, fn: str) -> str:
    if dtype.is_bool:
        return f"({text} & 1) != 0" if FOLDS[fn] in ("add", "xor") else f"{text} != 0"
    if dtype.name == "bfloat16" and FOLDS[fn] in ("add", "mul"):
        return f"{p.helper('_bf16')}({text})"
    return text if _working(dtype) == register(dtype) else f"{text}.to({register(dtype)})"


def _valid(axis: int, shape: tuple[int, ...]) -> str | None:
    """True where a padded tile is inside ``shape`` along ``axis``; None without padding there."""
    n = shape[axis]
    return None if padded_side(n) == n else along(f"({range_of(n)} < {n})", axis, len(shape))


def _masked(p: Printer, x: str, fn: str, dtype: DType, axis: int, shape: tuple[int, ...]) -> str:
    """``x`` in its working register with the fold's identity in the padding along ``axis``."""
    working = _working(dtype)
    text = x if working == register(dtype) else f"{x}.to({working})"
    valid = _valid(axis, shape)
    if valid is None:
        return text
    identity = fold_identity(fn, dtype)
    fill = typed(identity, dtype, padded(shape))
    if working != register(dtype):
        fill = (
            f"tl.full({shape_text(padded(shape))}, {float(identity) if dtype.is_float else int(identity)}, {working})"
        )
        if dtype.is_float:
            fill = f"tl.full({shape_text(padded(shape))}, {_float_text(float(identity))}, {working})"
    return f"tl.where({valid}, {text}, {fill})"


def _float_text(value: float) -> str:
    return repr(value) if value == value and abs(value) != float("inf") else f'float("{value}")'


def _reduce_named(p: Printer, op: Reduce) -> None:
    (x,) = op.xs
    dtype, shape = x.tile.dtype, x.tile.shape
    if shape[op.axis] == 1:
        kept = padded(shape[: op.axis] + shape[op.axis + 1 :])
        p.define(op.result, reshape_text(p, p.use(x), padded(shape), kept, dtype))
        return
    source = _masked(p, p.use(x), op.fn, dtype, op.axis, shape)
    text = f"tl.reduce({source}, {op.axis}, {_combiner(p, op.fn, dtype)})"
    p.define(op.result, _back(p, text, dtype, op.fn))


def _reduce_with(p: Printer, op: Reduce, combine: str) -> None:
    """A tree of neighbours: the order of elements is kept, which ``tl.reduce`` does not promise."""
    shape = op.xs[0].tile.shape
    rank, axis, n = len(shape), op.axis, shape[op.axis]
    kept = padded(shape[:axis] + shape[axis + 1 :])
    rest = kept or (1,)
    order = ", ".join(map(str, (*range(axis), *range(axis + 1, rank), axis)))
    bools = [x.tile.dtype.is_bool for x in op.xs]
    parts = [f"tl.permute({p.use(x)}, ({order}))" if axis != rank - 1 else p.use(x) for x in op.xs]
    side = padded_side(n)
    while side > 1:
        side //= 2
        halves: list[tuple[str, str]] = []
        for part, is_bool in zip(parts, bools, strict=True):
            source = f"({part}).to(tl.int8)" if is_bool else part
            low, high = p.fresh("low"), p.fresh("high")
            p.line(f"{low}, {high} = tl.split(tl.reshape({source}, {shape_text((*rest, side, 2))}))")
            halves.append((f"({low} != 0)", f"({high} != 0)") if is_bool else (low, high))
        names = [p.fresh("part") for _ in op.xs]
        call = f"{combine}({', '.join(a for a, _ in halves)}, {', '.join(b for _, b in halves)})"
        p.line(f"{', '.join(names)} = {call}")
        if n % 2:  # the last element has no neighbour
            keep = along(f"({range_of(side)} < {n // 2})", len(rest), len(rest) + 1)
            for name, (low, _) in zip(names, halves, strict=True):
                p.line(f"{name} = tl.where({keep}, {name}, {low})")
        n = (n + 1) // 2
        parts = names
    for result, part in zip(op.results, parts, strict=True):
        p.define(result, reshape_text(p, part, (*rest, 1), kept, result.tile.dtype))


def _scan(p: Printer, op: Scan, combine: str | None) -> None:
    shape = op.xs[0].tile.shape
    direction = ", reverse=True" if op.reverse else ""
    if combine is None:
        (x,) = op.xs
        dtype = x.tile.dtype
        source = p.use(x)
        source = _masked(p, source, op.fn, dtype, op.axis, shape) if op.reverse else _widened(source, dtype)
        text = f"tl.associative_scan({source}, {op.axis}, {_combiner(p, op.fn, dtype)}{direction})"
        p.define(op.result, _back(p, text, dtype, op.fn))
        return
    sources = [p.use(x) for x in op.xs]
    valid = _valid(op.axis, shape) if op.reverse else None
    if valid is not None:  # the padding comes first in reverse: a flag tells it from elements
        flag = p.temp("valid", f"tl.broadcast_to({valid}, {p.padded_text(shape)}).to(tl.int32)")
        combine = _flagged(p, combine, len(sources))
        sources.append(flag)
    names = [p.fresh("scanned") for _ in sources]
    if len(sources) == 1:
        p.line(f"{names[0]} = tl.associative_scan({sources[0]}, {op.axis}, {combine}{direction})")
    else:
        p.line(f"{', '.join(names)} = tl.associative_scan(({', '.join(sources)}), {op.axis}, {combine}{direction})")
    for result, name in zip(op.results, names, strict=False):
        p.define(result, name)


def _widened(text: str, dtype: DType) -> str:
    return text if _working(dtype) == register(dtype) else f"{text}.to({_working(dtype)})"


def _flagged(p: Printer, combine: str, count: int) -> str:
    """``combine`` over operands with a flag: an accumulator without elements gives way to what follows."""
    name = p.fresh("flagged")
    a, b, r = ([f"{c}{i}" for i in range(count)] for c in "abr")
    lines = [
        "@triton.jit",
        f"def {name}({', '.join([*a, 'a_valid', *b, 'b_valid'])}):",
        f"    {', '.join(r)} = {combine}({', '.join([*a, *b])})",
        *(f"    {x} = tl.where(a_valid != 0, {x}, {y})" for x, y in zip(r, b, strict=True)),
        f"    return {', '.join([*r, 'a_valid | b_valid'])}",
    ]
    p.functions.append("\n".join(lines))
    return name


def arg_reduce(p: Printer, op: ArgReduce) -> None:
    dtype, shape = op.x.tile.dtype, op.x.tile.shape
    fn = "max" if op.fn == "argmax" else "min"
    values = _masked(p, p.use(op.x), fn, dtype, op.axis, shape)
    lanes = along(range_of(shape[op.axis]), op.axis, len(shape))
    index = f"tl.broadcast_to({lanes}, {p.padded_text(shape)})"
    call = p.helper(f"_{op.fn}{'_nan' if dtype.is_float else ''}")
    best, where = p.fresh("best"), p.fresh("where")
    p.line(f"{best}, {where} = tl.reduce(({values}, {index}), {op.axis}, {call})")
    p.define(op.result, where)
