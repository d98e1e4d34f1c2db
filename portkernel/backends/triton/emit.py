"""Tile IR to Triton text: the backend, the module around the kernel, and control flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ... import ir
from ...dtypes import DType, int64
from ...errors import InternalError, UnsupportedDTypeError, UnsupportedOpError
from ...ir import Block, Func, Op, Value
from ...targets import Target
from ..base import Source, Support
from . import elementwise, folds, memory, products, shapes
from .prelude import HEADER, closure
from .printer import Printer, param
from .spell import literal, register, typed

Handler = Callable[[Printer, Op], None]


class TritonBackend:
    """Prints a tile function as a Python module with one ``@triton.jit`` function, ``entry``."""

    name = "triton"

    def supports(self, op: type[Op], dtype: DType, target: Target) -> Support:
        if op not in HANDLERS:
            return Support("unsupported", f"the triton backend has no {op.__name__}")
        if dtype.name in target.absent:
            return Support("unsupported", f"{target.name} has no {dtype}")
        if op in (ir.AtomicRMW, ir.AtomicCAS) and dtype.bits < 32:
            return Support("unsupported", f"atomics need a 32-bit or 64-bit dtype, got {dtype}")
        if dtype.is_storage_only:
            return Support("emulated", "converted with integer arithmetic")
        if dtype.name == "bfloat16" and op is not ir.Dot:
            return Support("emulated", "computed in float32 and rounded with integer arithmetic")
        if dtype.name not in target.native and dtype.name not in ("bfloat16", "float16"):
            return Support("unsupported", f"{target.name} has no {dtype}")
        return Support("native")

    def emit(self, func: Func, target: Target) -> Source:
        """The text for ``func``. Raises :class:`~portkernel.errors.UnsupportedOpError` for what Triton cannot say."""
        for op in ir.walk(func.body):
            self._check(op, target)
        printer = Printer(func)
        _block(printer, func.body)
        return _module(func, target, printer)

    def _check(self, op: Op, target: Target) -> None:
        if isinstance(op, ir.AtomicRMW | ir.AtomicCAS):
            values: tuple[Value, ...] = (op.tensor,)  # the mask is a bool whatever the array holds
        else:
            values = (*op.results, *op.operands)
        for value in values:
            dtype = value.type.dtype
            support = self.supports(type(op), dtype, target)
            if not support:
                kind = UnsupportedDTypeError if dtype.name in target.absent else UnsupportedOpError
                raise kind(f"triton: {type(op).__name__}: {support.reason}", loc=op.loc)


def _module(func: Func, target: Target, p: Printer) -> Source:
    params = tuple(param(v) for v in func.params)
    head = HEADER.format(name=func.name).splitlines()
    for text in closure(p.helpers):
        head += ["", "", *text.splitlines()]
    for text in p.functions:
        head += ["", "", *text.splitlines()]
    head += ["", "", "@triton.jit", f"def entry({', '.join(p.arguments)}):"]
    body = [*p.prologue, *p.lines] or ["    pass"]
    shift = len(head) + len(p.prologue)
    lines = tuple((shift + line, loc) for line, loc in p.locs)
    emulated = {v.type.dtype.name for op in ir.walk(func.body) for v in (*op.results, *op.operands)}
    return Source(
        text="\n".join([*head, *body]) + "\n",
        entry="entry",
        backend="triton",
        target=target,
        params=params,
        threads=32 * p.warps(),
        lines=lines,
        asserts=tuple(p.asserts),
        emulated=frozenset(emulated & {"bfloat16", "float8_e4m3fn", "float8_e5m2"}),
        options=(("num_warps", p.warps()), ("enable_fp_fusion", False)),
        suffix=".py",
    )


def _block(p: Printer, block: Block) -> None:
    for op in block.ops:
        p.at(op.loc)
        handler = HANDLERS.get(type(op))
        if handler is None:
            raise InternalError(f"triton: no handler for {type(op).__name__}", loc=op.loc)
        handler(p, op)


def _leaf(p: Printer, op: Op) -> None:
    match op:
        case ir.Const():
            p.constant(op.result, op.value)
        case ir.ProgramId():
            p.define(op.result, f"tl.program_id({op.axis})")
        case ir.NumPrograms():
            p.define(op.result, f"tl.num_programs({op.axis})")
        case ir.Dim():
            p.define(op.result, _number(p.size(op.tensor, op.axis)))
        case ir.Stride():
            p.define(op.result, _number(p.stride(op.tensor, op.axis)))
        case _:
            raise InternalError(f"triton: {type(op).__name__} is not a leaf", loc=op.loc)


def _number(text: str) -> str:
    return typed(int(text), int64) if text.lstrip("-").isdigit() else text


def _assign(p: Printer, names: tuple[str, ...], values: tuple[str, ...]) -> None:
    """Parallel assignment."""
    pairs = [(n, v) for n, v in zip(names, values, strict=True) if n != v]
    if pairs:
        p.line(f"{', '.join(n for n, _ in pairs)} = {', '.join(v for _, v in pairs)}")


def _carry(p: Printer, values: tuple[Value, ...], inits: tuple[Value, ...]) -> tuple[str, ...]:
    """Fresh names for carried values, holding their first ones."""
    names = tuple(p.fresh(v.hint or "carry") for v in values)
    for name, init in zip(names, inits, strict=True):
        p.line(f"{name} = {p.use(init)}")
    return names


def _for(p: Printer, op: Op) -> None:
    assert isinstance(op, ir.For)
    names = _carry(p, op.body.params[1:], op.inits)
    counter = op.body.params[0]
    dtype = register(counter.tile.dtype)
    i = p.fresh(counter.hint or "i")
    step = p.const_of(op.step)
    if isinstance(step, int) and step > 0:
        bounds = [_bound(p, op.start), _bound(p, op.stop)]
        if step != 1:
            bounds.append(str(step))
        p.line(f"for {i} in range({', '.join(bounds)}):")
        first = f"tl.full((), {i}, {dtype})"
    else:
        start, trips = _trip_count(p, op)
        k = p.fresh("trip")
        p.line(f"for {k} in range(0, {trips}):")
        first = f"({start} + tl.full((), {k}, tl.int64) * {_wide(p, op.step)}).to({dtype})"
    with p.indented():
        p.line(f"{p.name_as(counter, p.fresh(counter.hint or 'i'))} = {first}")
        for value, name in zip(op.body.params[1:], names, strict=True):
            p.name_as(value, name)
        _block(p, op.body)
        _assign(p, names, tuple(p.use(v) for v in op.body.yields))
    for value, name in zip(op.results, names, strict=True):
        p.name_as(value, name)


def _bound(p: Printer, value: Value) -> str:
    found = p.const_of(value)
    return str(found) if found is not None else _wide(p, value)


def _wide(p: Printer, value: Value) -> str:
    found = p.const_of(value)
    if found is not None:
        return typed(found, int64)
    return p.use(value) if value.tile.dtype.kind == "i" else f"{p.use(value)}.to(tl.int64)"


def _trip_count(p: Printer, op: ir.For) -> tuple[str, str]:
    """For a step that is negative, or known only at run time: the start, and how many trips there are."""
    names = [p.fresh(n) for n in ("start", "stop", "step", "trips")]
    for name, value in zip(names[:3], (op.start, op.stop, op.step), strict=True):
        p.line(f"{name} = ({_wide(p, value)}).to(tl.int64)")
    start, stop, step, trips = names
    up = f"({stop} - {start} + {step} - 1) // {step}"
    down = f"({start} - {stop} - {step} - 1) // (0 - {step})"
    p.line(f"{trips} = tl.where({step} > 0, {up}, tl.where({step} < 0, {down}, 0))")
    return start, trips


def _while(p: Printer, op: Op) -> None:
    assert isinstance(op, ir.While)
    names = _carry(p, op.results, op.inits)
    keep = p.fresh("keep")

    def condition() -> None:
        for value, name in zip(op.cond.params, names, strict=True):
            p.name_as(value, name)
        _block(p, op.cond)
        p.line(f"{keep} = {p.use(op.cond.yields[0])}")

    condition()
    p.line(f"while {keep}:")
    with p.indented():
        for value, name in zip(op.body.params, names, strict=True):
            p.name_as(value, name)
        _block(p, op.body)
        _assign(p, names, tuple(p.use(v) for v in op.body.yields))
        condition()
    for value, name in zip(op.results, names, strict=True):
        p.name_as(value, name)


def _if(p: Printer, op: Op) -> None:
    assert isinstance(op, ir.If)
    if p.tilewise:  # a combine function runs on whole tiles: both branches, then a choice
        _block(p, op.then)
        _block(p, op.orelse)
        for result, a, b in zip(op.results, op.then.yields, op.orelse.yields, strict=True):
            p.define(result, f"tl.where({p.use(op.cond)}, {p.use(a)}, {p.use(b)})")
        return
    names = tuple(p.name_as(r, p.fresh(r.hint or "choice")) for r in op.results)
    for head, block in ((f"if {p.use(op.cond)}:", op.then), ("else:", op.orelse)):
        if head == "else:" and not block.ops and not names:
            continue
        p.line(head)
        with p.indented():
            before = len(p.lines)
            _block(p, block)
            for name, value in zip(names, block.yields, strict=True):
                p.line(f"{name} = {p.use(value)}")
            if len(p.lines) == before:
                p.line("pass")


def _assert(p: Printer, op: Op) -> None:
    assert isinstance(op, ir.Assert)
    p.asserts.append((op.message, op.loc))
    shape = op.cond.tile.shape
    bad = p.fresh("failed")
    p.line(f"{bad} = ~{p.use(op.cond)}")
    if shape:
        lanes = p.lane_mask(shape)
        if lanes:
            p.line(f"{bad} = {bad} & {lanes}")
        p.line(
            f"{bad} = tl.reduce(tl.reshape({bad}.to(tl.int32), ({p.padded_size(shape)},)), 0, {p.helper('_or')}) != 0"
        )
    p.line(f"tl.store(status, {len(p.asserts)}, mask={bad})")


def _print(p: Printer, op: Op) -> None:
    assert isinstance(op, ir.Print)
    prefix = "".join(c for c in op.prefix if c.isascii() and c.isprintable() and c not in '"\\')
    shown = [elementwise.printable(p, x) for x in op.xs]
    shape = op.xs[0].tile.shape if op.xs else ()
    if not shape or p.lane_mask(shape) is None:
        p.line(f'tl.device_print("{prefix}"{"".join(", " + s for s in shown)})')
        return
    with shapes.each_element(p, op.xs, shown) as scalars:  # only elements of the tile, none of the padding
        p.line(f'tl.device_print("{prefix}"{"".join(", " + s for s in scalars)})')


def _fold(p: Printer, op: Op) -> None:
    assert isinstance(op, ir.Reduce | ir.Scan)
    combine = None if op.body is None else _combine_function(p, op.body)
    folds.emit(p, op, combine)


def _combine_function(p: Printer, body: Block) -> str:
    """The user's combine function as a helper that works on scalars and, element by element, on tiles."""
    name = p.fresh("combine")
    inner = p.nested()
    params = [inner.name_as(v, inner.fresh(v.hint or "x")) for v in body.params]
    _block(inner, body)
    inner.line(f"return {', '.join(inner.use(v) for v in body.yields)}")
    p.functions.append("\n".join(["@triton.jit", f"def {name}({', '.join(params)}):", *inner.lines]))
    return name


def _full(p: Printer, op: Op) -> None:
    assert isinstance(op, ir.Full)
    shape = tuple(op.result.tile.shape)
    found = p.const_of(op.value)
    if found is None and op.result.tile.dtype.is_bool:  # the interpreter's tl.full makes int32 of a run-time bool
        p.define(op.result, f"tl.full({p.padded_text(shape)}, {p.use(op.value)}.to(tl.int32), tl.int32) != 0")
    elif found is None:
        p.define(op.result, f"tl.full({p.padded_text(shape)}, {p.use(op.value)}, {register(op.result.tile.dtype)})")
    else:
        dtype = op.result.tile.dtype
        p.define(op.result, f"tl.full({p.padded_text(shape)}, {literal(found, dtype)}, {register(dtype)})")


HANDLERS: dict[type[Op], Handler] = {
    ir.Const: _leaf, ir.ProgramId: _leaf, ir.NumPrograms: _leaf, ir.Dim: _leaf, ir.Stride: _leaf, ir.Full: _full,
    ir.Arange: cast(Handler, shapes.arange), ir.Load: cast(Handler, memory.load), ir.Store: cast(Handler, memory.store),
    ir.Gather: cast(Handler, memory.gather), ir.Scatter: cast(Handler, memory.scatter),
    ir.AtomicRMW: cast(Handler, memory.atomic_rmw), ir.AtomicCAS: cast(Handler, memory.atomic_cas),
    ir.Unary: cast(Handler, elementwise.unary), ir.Binary: cast(Handler, elementwise.binary),
    ir.Select: cast(Handler, elementwise.select), ir.Cast: cast(Handler, elementwise.convert),
    ir.Bitcast: cast(Handler, elementwise.bitcast), ir.Reshape: cast(Handler, shapes.reshape),
    ir.Permute: cast(Handler, shapes.permute), ir.BroadcastTo: cast(Handler, shapes.broadcast_to),
    ir.Concat: cast(Handler, shapes.concat), ir.Extract: cast(Handler, shapes.extract), ir.Reduce: _fold, ir.Scan: _fold,
    ir.ArgReduce: cast(Handler, folds.arg_reduce), ir.Dot: cast(Handler, products.dot), ir.For: _for, ir.While: _while,
    ir.If: _if, ir.Assert: _assert, ir.Print: _print,
}  # fmt: skip
