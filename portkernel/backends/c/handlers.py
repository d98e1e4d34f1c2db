"""The handlers: one for each operation that the C family prints."""

from __future__ import annotations

from ...dtypes import float16
from ...errors import UnsupportedDTypeError
from ...ir import ops as o
from ...ir import simt as s
from ...ir.core import Value, walk
from . import elementwise
from .dialect import is_register_like
from .emit import Emitter, handles
from .expr import ATOM, UNARY, Expr, call
from .spell import SMALL

assert elementwise.__name__  # registers the elementwise handlers


# --- leaves -------------------------------------------------------------------------------------------------------


@handles(o.Const)
def const(e: Emitter, op: o.Const) -> Expr:
    type = op.result.vec
    e.constants[op.result] = op.value
    literal = e.dialect.literal(op.value, type.dtype)
    return literal if type.lanes == 1 else splat_text(e, literal, type)


@handles(o.ProgramId)
def program_id(e: Emitter, op: o.ProgramId) -> Expr:
    return Expr(e.dialect.group_id.format(axis=e.dialect.axes[op.axis]), UNARY)


@handles(o.NumPrograms)
def num_programs(e: Emitter, op: o.NumPrograms) -> Expr:
    return Expr(e.dialect.num_groups.format(axis=e.dialect.axes[op.axis]), UNARY)


@handles(s.ThreadId)
def thread_id(e: Emitter, op: s.ThreadId) -> Expr:
    return Expr(e.dialect.thread_id, UNARY) if e.func.threads > 1 else Expr("0")


@handles(o.Dim)
def dim(e: Emitter, op: o.Dim) -> Expr:
    return _fact(e, op.tensor.tensor.shape[op.axis], f"{e.params[op.tensor]}_size{op.axis}", op.result)


@handles(o.Stride)
def stride(e: Emitter, op: o.Stride) -> Expr:
    return _fact(e, op.tensor.tensor.strides[op.axis], f"{e.params[op.tensor]}_stride{op.axis}", op.result)


def _fact(e: Emitter, known: int | None, name: str, result: Value) -> Expr:
    return Expr(name) if known is None else e.dialect.literal(known, result.vec.dtype)


@handles(s.Base)
def base(e: Emitter, op: s.Base) -> Expr:
    return Expr(e.params[op.tensor])


# --- vectors ------------------------------------------------------------------------------------------------------


def splat_text(e: Emitter, x: Expr, type: s.Vec) -> Expr:
    """A scalar register in every lane; a bool becomes a mask of ones or zeros."""
    if type.lanes == 1:
        return x
    text = {"true": "-1", "false": "0"}.get(x.text, f"-(int){x.at(UNARY)}") if type.dtype.is_bool else x.text
    return Expr(f"({e.dialect.register_type(type)})({text})", UNARY)


@handles(s.Splat)
def splat(e: Emitter, op: s.Splat) -> Expr:
    return splat_text(e, e.use(op.x), op.result.vec)


@handles(s.Iota)
def iota(e: Emitter, op: s.Iota) -> Expr:
    type = op.result.vec
    if type.lanes == 1:
        return Expr("0")
    return Expr(f"({e.dialect.register_type(type)})({', '.join(map(str, range(type.lanes)))})", UNARY)


@handles(s.Lane)
def lane(e: Emitter, op: s.Lane) -> Expr:
    x = e.use(op.x)
    if op.x.vec.lanes == 1:
        return x
    text = f"{e.atom(op.x).text}.s{op.index:x}"
    return Expr(f"({text} != 0)") if op.x.vec.dtype.is_bool else Expr(text)


@handles(s.Pack)
def pack(e: Emitter, op: s.Pack) -> Expr:
    type = op.result.vec
    parts = [e.use(x) for x in op.xs]
    if type.lanes == 1:
        return parts[0]
    texts = [f"-(int){p.at(UNARY)}" if type.dtype.is_bool else p.text for p in parts]
    return Expr(f"({e.dialect.register_type(type)})({', '.join(texts)})", UNARY)


@handles(s.Interleave)
def interleave(e: Emitter, op: s.Interleave) -> Expr | None:
    """By halves, not lane by lane: compilers keep each of these one instruction."""
    x, y = (e.atom(v).text for v in (op.x, op.y))
    name = e.names.fresh("v")
    half = "hi" if op.high else "lo"
    e.out.line(f"{e.dialect.register_type(op.result.vec)} {name}; {name}.even = {x}.{half}; {name}.odd = {y}.{half};")
    e.bind(op.result, Expr(name))
    return None


# --- memory -------------------------------------------------------------------------------------------------------


@handles(s.Alloc)
def alloc(e: Emitter, op: s.Alloc) -> Expr | None:
    pointer = op.result.pointer
    name = e.names.fresh(op.result.hint, "buffer")
    e.bind(op.result, Expr(name))
    for line in e.dialect.array(pointer, name, op.size, e.offsets.get(op.result)):
        e.out.line(line)
    return None


@handles(s.ReadElem)
def read_elem(e: Emitter, op: s.ReadElem) -> Expr:
    type, pointer = op.result.vec, op.pointer.pointer
    if is_register_like(pointer):
        return Expr(e.dialect.read(pointer, e.use(op.pointer).text, e.use(op.index), type.lanes, op.aligned))
    if pointer.dtype == float16:
        half = e.dialect.read_half(pointer, e.use(op.pointer).text, e.use(op.index), type.lanes)
        if half is not None:
            return Expr(half)
    text = e.dialect.read(pointer, e.use(op.pointer).text, e.use(op.index), type.lanes, op.aligned)
    if pointer.dtype.is_bool:
        return e.dialect.truth(Expr(text), type.lanes)
    small = SMALL.get(pointer.dtype.name)
    return Expr(text) if small is None else e.request(f"load_{small}", None, type.lanes, Expr(text))


@handles(s.WriteElem)
def write_elem(e: Emitter, op: s.WriteElem) -> Expr | None:
    pointer, lanes = op.pointer.pointer, op.value.vec.lanes
    value = e.use(op.value)
    plain = is_register_like(pointer)
    if pointer.dtype == float16 and not plain:
        exact = (value.unrounded or value).text
        half = e.dialect.write_half(pointer, e.use(op.pointer).text, e.use(op.index), exact, lanes)
        if half is not None:
            e.out.line(half)
            return None
    small = None if plain else SMALL.get(pointer.dtype.name)
    if small is not None and pointer.dtype == float16 and lanes > 1 and e.dialect.half_vectors:
        value = e.request("pack_half", None, lanes, value.unrounded or value)
    elif small is not None:
        value = e.request(f"store_{small}", None, lanes, value)
    elif pointer.dtype.is_bool:
        value = e.dialect.byte(value, lanes)
    base, index = e.use(op.pointer).text, e.use(op.index)
    made = None
    if op.streamed is not None:
        made = e.dialect.stream(pointer, base, index, value, lanes, e.use(op.streamed))
    e.out.line(made or e.dialect.write(pointer, base, index, value.text, lanes, op.aligned))
    return None


@handles(s.AtomicElem)
def atomic(e: Emitter, op: s.AtomicElem) -> Expr | None:
    return _atomic(e, op, op.fn, [op.value])


@handles(s.AtomicCasElem)
def atomic_cas(e: Emitter, op: s.AtomicCasElem) -> Expr | None:
    return _atomic(e, op, "cas", [op.expected, op.value])


def _atomic(e: Emitter, op: s.AtomicElem | s.AtomicCasElem, fn: str, values: list[Value]) -> Expr | None:
    """A built-in of the language, or a loop of the prelude: what returns the word before."""
    d, pointer = e.dialect, op.pointer.pointer
    if pointer.dtype.bits < 32 or (pointer.dtype.bits == 64 and not e.target.has("int64_atomics")):
        raise UnsupportedDTypeError(
            f"atomic_{fn}(): x: expected a dtype with atomics on {e.target.name}, got {pointer.dtype}",
            loc=op.loc,
            hint="int32 and float32 have them everywhere",
        )
    index = e.use(op.index)
    address = Expr(f"&{e.use(op.pointer).text}[{index.text}]", UNARY)
    args = [e.use(v) for v in values]
    dtype = pointer.dtype
    if dtype.is_float and (fn, dtype.name) not in d.float_atomics:
        made = call(e.prelude.use(f"atomic_{fn}", dtype, 1, pointer.space), address, *args)
    else:
        word = d.atomic_word(fn, dtype)
        if word != dtype:
            address = Expr(f"({d.spaces[pointer.space]}{d.memory_type(word)}*){address.at(UNARY)}", UNARY)
            args = [d.cast(a, s.Vec(word)) for a in args]
        made = call(d.atomic(fn, dtype), address, *args)
        made = made if word == dtype else d.cast(made, s.Vec(dtype))
    if e.is_used(op.result):
        e.temporary(op.result, made)
    else:
        e.out.line(f"{made.text};" if made.prec == ATOM else f"(void){made.text};")
    return None


# --- control flow -------------------------------------------------------------------------------------------------


@handles(s.Loop)
def loop(e: Emitter, op: s.Loop) -> Expr | None:
    index, *carried = op.body.params
    start, stop = e.use(op.start), e.atom(op.stop)
    variables = _carried(e, op.results, op.inits, carried)
    name = e.names.fresh(index.hint, "i")
    e.bind(index, Expr(name))
    if op.unroll != 1 and e.dialect.unroll is not None:
        e.out.line(e.dialect.unroll.format(n=op.unroll or "").rstrip())
    step = "++" + name if op.step == 1 else f"{name} += {op.step}"
    e.out.line(f"for ({e.dialect.register_type(index.vec)} {name} = {start.text}; {name} < {stop.text}; {step}) {{")
    with e.out.indent():
        e.block(op.body)
        e.assign(variables, op.body.yields)
    e.out.line("}")
    return None


def _carried(e: Emitter, results: tuple[Value, ...], inits: tuple[Value, ...], *views: object) -> list[str]:
    """A variable for each carried value; ``views`` are the block parameters that read it."""
    names: list[str] = []
    for i, (result, init) in enumerate(zip(results, inits, strict=True)):
        params = [view[i] for view in views if isinstance(view, (list, tuple))]
        named = result if result.hint else next((p for p in params if p.hint), result)
        name = e.names.fresh(named.hint, "acc")
        e.out.line(f"{e.dialect.register_type(result.vec)} {name} = {e.use(init).text};")
        for view in (result, *params):
            e.bind(view, Expr(name))
        names.append(name)
    return names


@handles(o.While)
def while_(e: Emitter, op: o.While) -> Expr | None:
    variables = _carried(e, op.results, op.inits, op.cond.params, op.body.params)
    e.out.line("for (;;) {")
    with e.out.indent():
        e.block(op.cond)
        e.out.line(f"if (!{e.use(op.cond.yields[0]).at(UNARY)}) break;")
        e.block(op.body)
        e.assign(variables, op.body.yields)
    e.out.line("}")
    return None


@handles(o.If)
def if_(e: Emitter, op: o.If) -> Expr | None:
    condition = e.use(op.cond).text
    names = [e.variable(r) for r in op.results]
    e.out.line(f"if ({condition}) {{")
    with e.out.indent():
        e.block(op.then)
        e.assign(names, op.then.yields)
    if op.orelse.ops or names:
        e.out.line("} else {")
        with e.out.indent():
            e.block(op.orelse)
            e.assign(names, op.orelse.yields)
    e.out.line("}")
    if e.func.threads > 1 and any(isinstance(inner, s.Barrier) for region in op.regions for inner in walk(region)):
        # Uniform like those inside. PoCL 3.0 drops stores that follow a branch with a barrier but for this one.
        e.out.line(e.dialect.barrier)
    for result, name in zip(op.results, names, strict=True):
        e.bind(result, Expr(name))
    return None


@handles(s.Barrier)
def barrier(e: Emitter, op: s.Barrier) -> Expr | None:
    if e.func.threads > 1:
        e.out.line(e.dialect.barrier)
    return None


# --- reports to the host ------------------------------------------------------------------------------------------


@handles(o.Assert)
def assert_(e: Emitter, op: o.Assert) -> Expr | None:
    entry = (op.message, op.loc)
    if entry not in e.asserts:
        e.asserts.append(entry)
    code = e.asserts.index(entry) + 1
    e.out.line(f"if (!{e.use(op.cond).at(UNARY)}) status[0] = {code};")
    return None


@handles(o.Print)
def print_(e: Emitter, op: o.Print) -> Expr | None:
    """One line: ``pid (x, y, z): prefix v0 v1``."""
    d = e.dialect
    formats, args = ["%d", "%d", "%d"], [d.group_id.format(axis=a) for a in d.axes]
    shown: list[str] = []
    for x in op.xs:
        dtype, text = x.vec.dtype, e.use(x).text
        if dtype.is_float:
            shown.append("%.17g" if dtype.bits == 64 else "%.9g")
            args.append(text)
        elif dtype.bits == 64:
            shown.append(f"%{d.print_long}{'u' if dtype.kind == 'u' else 'd'}")
            args.append(text)
        else:
            wide = d.types["uint32" if dtype.kind == "u" else "int32"]
            shown.append("%u" if dtype.kind == "u" else "%d")
            args.append(f"({wide})({text})")
    label = op.prefix.replace("%", "%%")
    body = f"pid ({', '.join(formats)}): {' '.join([label, *shown])}\\n"
    e.out.line(f"printf({_string(body)}, {', '.join(args)});")
    return None


def _string(text: str) -> str:
    """A C string literal; ``\\n`` in ``text`` is already escaped at its end."""
    body, end = text[:-2], text[-2:]
    body = body.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return f'"{body}{end}"'
