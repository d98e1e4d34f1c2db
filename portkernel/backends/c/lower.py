"""Tile IR to SIMT IR: the walk over operations and control flow, for one thread and for many."""

from __future__ import annotations

from ...dtypes import int32, int64
from ...ir import (
    ArgReduce,
    Assert,
    AtomicCAS,
    AtomicRMW,
    Block,
    Const,
    Dim,
    Dot,
    For,
    Func,
    Gather,
    If,
    Load,
    NumPrograms,
    Op,
    Print,
    ProgramId,
    Reduce,
    Scan,
    Scatter,
    Store,
    Stride,
    Value,
    While,
    walk,
)
from ...ir.core import Effect
from ...ir.simt import SimtFunc, Vec
from ...targets import Target
from . import layout, plan
from .build import Index, SimtBuilder, Values
from .lower_atomic import lower_atomic
from .lower_dot import lower_dot
from .lower_edge import guarded, inner_turns
from .lower_elementwise import compute, element
from .lower_fill import fill, fill_together
from .lower_fold import fills_on_the_way, lower_reduce, lower_scan
from .lower_memory import open_box, scatter_element, store_element
from .lower_stream import choose_streams
from .lower_vector import lanes_for
from .plan import tensors_touched
from .state import State, Storage


def lower(func: Func, target: Target) -> SimtFunc:
    """``func`` as one thread of ``target`` executes it.

    Raises :class:`~portkernel.errors.ResourceError` if the stored tiles do not fit local memory.
    """
    layouts = layout.choose(func, target)
    builder = SimtBuilder(int64 if layouts.threads == 1 else int32)
    s = State(func, target, layouts, plan.make(func, layouts, target.local_bytes), builder)
    choose_streams(s)
    lower_block(s, func.body)
    local = s.check_local()
    return SimtFunc(func.name, func.params, builder.finish(), layouts.threads, local)


def lower_block(s: State, block: Block) -> None:
    for place, op in enumerate(block.ops):
        s.b.loc = op.loc
        if s.threads == 1 and op.results and fills_on_the_way(s, op, block.ops[place + 1 :]):
            s.on_the_way[op.result] = _storage(s, op.result, op)
            if isinstance(op, Load):
                open_box(s, op)
                s.reading(op.tensor)
            continue
        lower_op(s, op)
        if s.on_the_way and isinstance(op, (Reduce, ArgReduce)):
            s.stored |= s.on_the_way
            s.on_the_way.clear()


def lower_op(s: State, op: Op) -> None:
    """Lower one operation of the tile IR."""
    b = s.b
    match op:
        case Const():
            s.constants[op.result] = op.value
            s.scalars[op.result] = b.const(op.value, op.result.tile.dtype)
        case ProgramId():
            s.scalars[op.result] = b.pure(ProgramId, Vec(int32), axis=op.axis)
        case NumPrograms():
            s.scalars[op.result] = b.pure(NumPrograms, Vec(int32), axis=op.axis)
        case Dim():
            s.scalars[op.result] = b.pure(Dim, Vec(int64), tensor=op.tensor, axis=op.axis)
        case Stride():
            s.scalars[op.result] = b.pure(Stride, Vec(int64), tensor=op.tensor, axis=op.axis)
        case Load():
            open_box(s, op)
            s.reading(op.tensor)
            settle(s, op)
        case Gather():
            s.reading(op.tensor)
            settle(s, op)
        case Store():
            _store(s, op)
        case Scatter():
            _scatter(s, op)
        case AtomicRMW() | AtomicCAS():
            lower_atomic(s, op)
        case Reduce() | ArgReduce():
            lower_reduce(s, op, inline)
        case Scan():
            lower_scan(s, op, inline)
        case Dot():
            lower_dot(s, op)
        case For():
            _for(s, op)
        case While():
            _while(s, op)
        case If():
            _if(s, op)
        case Assert() | Print():
            _report(s, op)
        case _:
            settle(s, op)


def settle(s: State, op: Op) -> None:
    """An elementwise operation or a view: a scalar is computed here, a stored tile is filled here, others wait."""
    value = op.result
    if not value.tile.shape:
        s.scalars[value] = compute(s, value, (), 0, 1)
    elif value in s.plan.stored:
        storage = _storage(s, value, op)
        fill(s, value, storage)
        s.stored[value] = storage


def _storage(s: State, value: Value, op: Op) -> Storage:
    return s.allocate(value.tile.shape, value.tile.dtype, s.plan.stored[value], _name(value), op.loc)


def _name(value: Value) -> str:
    return f"the tile {value.hint + ' ' if value.hint else ''}{value.type}"


def inline(s: State, body: Block, arguments: Values) -> Values:
    """The results of a combine function for ``arguments``."""
    for param, value in zip(body.params, arguments, strict=True):
        s.scalars[param] = value
    lower_block(s, body)
    return tuple(s.scalars[y] for y in body.yields)


# --- writes to global memory, reports -------------------------------------------------------------------------


def _store(s: State, op: Store) -> None:
    open_box(s, op)
    s.writing(op.tensor)
    shape = op.value.tile.shape
    if not shape:

        def one() -> Values:
            store_element(s, op, (), s.scalars[op.value])
            return ()

        s.first(one)
        return

    def visit(index: tuple[Index, ...], register: Index, lanes: int) -> None:
        store_element(s, op, index, element(s, op.value, index, register, lanes))

    def body() -> None:
        s.each(shape, visit, lanes_for(s, shape, [op.value], op), unrolled=True)

    guarded(s, [op.value], op.value.tile.size, body, op)


def _scatter(s: State, op: Scatter) -> None:
    s.writing(op.tensor)
    shape = op.value.tile.shape
    if not shape:

        def one() -> Values:
            scatter_element(s, op, (), 0, element)
            return ()

        s.first(one)
        return
    s.each(shape, lambda index, register, _: scatter_element(s, op, index, register, element))


def _report(s: State, op: Assert | Print) -> None:
    """Assertions and prints, element by element."""
    first = op.cond if isinstance(op, Assert) else op.xs[0] if op.xs else None
    shape = first.tile.shape if first is not None else ()

    def at(index: tuple[Index, ...], register: Index, _: int = 1) -> None:
        if isinstance(op, Assert):
            s.b.emit(Assert, (), message=op.message, cond=element(s, op.cond, index, register))
        else:
            s.b.emit(Print, (), prefix=op.prefix, xs=tuple(element(s, x, index, register) for x in op.xs))

    def once() -> Values:
        at((), 0)
        return ()

    if shape:
        s.each(shape, at)
    else:
        s.first(once)


# --- control flow ---------------------------------------------------------------------------------------------


class _Carried:
    """The values that a loop carries: scalars in registers, tiles in storage that is written before the next turn."""

    def __init__(self, s: State, op: For | While) -> None:
        self.s = s
        self.op = op
        self.params = op.body.params[1:] if isinstance(op, For) else op.body.params
        self.scalars = [k for k, p in enumerate(self.params) if not p.tile.shape]
        self.tiles = [k for k, p in enumerate(self.params) if p.tile.shape]
        self.reads = tensors_touched((op,), Effect.READ)
        self.writes = tensors_touched((op,), Effect.WRITE)
        self.inits = tuple(s.scalars[op.inits[k]] for k in self.scalars)
        for k in self.tiles:
            param = self.params[k]
            tile = param.tile
            storage = s.allocate(tile.shape, tile.dtype, s.plan.stored[param], _name(op.inits[k]), op.loc)
            fill(s, op.inits[k], storage)
            s.stored[param] = s.stored[op.results[k]] = storage
            if isinstance(op, While):
                s.stored[op.cond.params[k]] = storage

    def bind(self, params: Values, values: Values) -> None:
        for k, value in zip(self.scalars, values, strict=True):
            self.s.scalars[params[k]] = value

    def touch(self) -> None:
        """What any turn of the loop may have touched, at a place that follows it."""
        self.s.dirty = True
        self.s.read |= self.reads
        self.s.written |= self.writes

    def turn(self, values: Values) -> Values:
        """The body of the loop; the new scalars."""
        s = self.s
        self.touch()
        self.bind(self.params, values)
        s.depth += 1
        lower_block(s, self.op.body)
        s.b.loc = self.op.loc
        self._assign()
        s.depth -= 1
        return tuple(s.scalars[self.op.body.yields[k]] for k in self.scalars)

    def test(self, values: Values) -> Value:
        """The condition of a ``while``."""
        s = self.s
        assert isinstance(self.op, While)
        self.touch()
        self.bind(self.op.cond.params, values)
        s.depth += 1
        lower_block(s, self.op.cond)
        s.depth -= 1
        return s.scalars[self.op.cond.yields[0]]

    def close(self, values: Values) -> None:
        self.touch()
        self.bind(self.op.results, values)

    def _assign(self) -> None:
        """The yields, as a parallel assignment: a value that another one still reads is replaced last."""
        s = self.s
        late: list[tuple[Storage, Storage]] = []
        done = self._together()
        for k in self.tiles:
            value, storage = self.op.body.yields[k], s.stored[self.params[k]]
            if k in done or value is self.params[k] or s.stored.get(value) is storage:
                continue
            if (self.op, k) in s.plan.direct:
                fill(s, value, storage)
            else:
                tile = value.tile
                waiting = s.allocate(tile.shape, tile.dtype, True, _name(value), self.op.loc)
                fill(s, value, waiting)
                late.append((waiting, storage))
        for waiting, storage in late:
            _copy(s, waiting, storage)

    def _together(self) -> frozenset[int]:
        """Fill in one loop the slots of one shape that read each other's old values element by element; which they were."""
        s, yields = self.s, self.op.body.yields
        done: set[int] = set()
        for shape in dict.fromkeys(self.params[k].tile.shape for k in self.tiles) if s.threads == 1 else ():
            group = {
                k
                for k in self.tiles
                if self.params[k].tile.shape == shape
                and (self.op, k) in s.plan.readers
                and yields[k] is not self.params[k]
                and yields[k] not in s.stored
            }
            while outside := {k for k in group if not s.plan.readers[self.op, k] <= group}:
                group -= outside
            if len(group) > 1:
                fill_together(s, [(yields[k], s.stored[self.params[k]]) for k in sorted(group)])
                done |= group
        return frozenset(done)


def _copy(s: State, source: Storage, target: Storage) -> None:
    def visit(index: tuple[Index, ...], register: Index, lanes: int) -> None:
        found = s.b.read(source.pointer, source.place(s.b, index, register), lanes)
        s.b.write(target.pointer, target.place(s.b, index, register), found)

    s.before_write(target)
    s.each(source.shape, visit)  # compilers make a vector loop of a plain copy
    s.after_write(target)


def _for(s: State, op: For) -> None:
    carried = _Carried(s, op)
    counter = op.body.params[0]
    dtype = counter.tile.dtype
    step = s.constants.get(op.step)
    if not (isinstance(step, int) and step > 0):
        _for_any_step(s, op, carried)
        return
    start, stop = (_bound(s, v) for v in (op.start, op.stop))
    wide = dtype
    if step > 1 and dtype.bits < 64 and not (isinstance(stop, int) and stop + step - 1 <= dtype.max):
        wide = int64  # the counter passes the end by up to step - 1, where its own dtype may have no place
        start, stop = s.b.wide(start), s.b.wide(stop)

    def body(i: Index, values: Values) -> Values:
        s.scalars[counter] = s.b.const(i, dtype) if isinstance(i, int) else s.b.cast(i, dtype)
        return carried.turn(values)

    found = carried.inits
    if step == 1 and (inner := inner_turns(s, op, start, stop)) is not None:
        start, boxes = inner.stop, inner.boxes
        s.inside |= boxes
        found = s.b.loop(start, body, start=inner.start, inits=found, dtype=dtype)
        s.inside -= boxes
        for r in (r for inside in walk(op.body) for r in inside.results):
            s.stored.pop(r, None)  # the body is lowered once more
        s.outside |= boxes
        found = s.b.loop(stop, body, start=start, inits=found, dtype=dtype)
        s.outside -= boxes
    else:
        found = s.b.loop(stop, body, start=start, step=step, inits=found, dtype=wide)
    carried.close(found)


def _for_any_step(s: State, op: For, carried: _Carried) -> None:
    """A loop whose step is negative, or known only when it runs; a step of 0 then makes no turn."""
    counter = op.body.params[0]
    dtype = counter.tile.dtype
    wide = int64 if dtype.bits < 64 else dtype  # as above
    start, limit, stride = (s.b.cast(s.scalars[v], wide) for v in (op.start, op.stop, op.step))
    zero = s.b.const(0, wide)

    def more(values: Values) -> Value:
        down = s.b.binary("gt", values[0], limit)
        if s.constants.get(op.step) is not None:
            return down
        up = s.b.binary("and", s.b.binary("gt", stride, zero), s.b.binary("lt", values[0], limit))
        return s.b.binary("or", up, s.b.binary("and", s.b.binary("lt", stride, zero), down))

    def turn(values: Values) -> Values:
        s.scalars[counter] = s.b.cast(values[0], dtype)
        rest = carried.turn(values[1:])
        return (s.b.binary("add", values[0], stride), *rest)

    carried.close(s.b.repeat((start, *carried.inits), more, turn)[1:])


def _bound(s: State, value: Value) -> Index:
    known = s.constants.get(value)
    return int(known) if known is not None else s.scalars[value]


def _while(s: State, op: While) -> None:
    carried = _Carried(s, op)
    carried.close(s.b.repeat(carried.inits, carried.test, carried.turn))


def _if(s: State, op: If) -> None:
    known = s.constants.get(op.cond)
    tiles = [k for k, r in enumerate(op.results) if r.tile.shape]
    scalars = [k for k, r in enumerate(op.results) if not r.tile.shape]
    for k in tiles:
        result = op.results[k]
        own = s.plan.stored[result]
        s.stored[result] = s.allocate(result.tile.shape, result.tile.dtype, own, _name(result), op.loc)
    before = (s.dirty, set(s.read), set(s.written))
    after: list[tuple[set[Value], set[Value]]] = []

    def branch(block: Block) -> Values:
        s.dirty, s.read, s.written = before[0], set(before[1]), set(before[2])
        lower_block(s, block)
        for k in tiles:
            fill(s, block.yields[k], s.stored[op.results[k]])
        after.append((s.read, s.written))
        return tuple(s.scalars[block.yields[k]] for k in scalars)

    cond = bool(known) if known is not None else s.scalars[op.cond]
    found = s.b.branch(cond, lambda: branch(op.then), lambda: branch(op.orelse))
    s.dirty = True
    s.read = set().union(*(r for r, _ in after))
    s.written = set().union(*(w for _, w in after))
    for k, value in zip(scalars, found, strict=True):
        s.scalars[op.results[k]] = value
