"""Dot products: staged through local memory and blocked in registers for many threads."""

from __future__ import annotations

from ...dtypes import DType, float32, uint32
from ...ir import Bitcast, Dot, Value
from ...ir.simt import Mad, Vec
from .build import Index, Values
from .layout import Blocks, Cyclic, Layout, Rows
from .lower_dot_cpu import counts_in_float, dot_on_one_thread
from .lower_elementwise import element
from .lower_fill import fill
from .lower_memory import unit_axis
from .state import State, Storage

REGISTERS = 128  # accumulators of one thread that are named one by one


def lower_dot(s: State, op: Dot) -> None:
    """The accumulators start as ``acc`` in the storage of the result; products are added there."""
    carried = s.plan.in_place.get(op.result)
    tile = op.result.tile
    if carried is not None:
        target = s.stored[carried]
    else:
        target = s.allocate(tile.shape, tile.dtype, s.plan.stored[op.result], f"the tile {tile}", op.loc)
    if s.threads == 1:
        if s.stored.get(op.acc) is not target:
            fill(s, op.acc, target)
        dot_on_one_thread(s, op, target, lambda index, lanes: _operand(s, op, op.b, index, lanes), _stage(s, op, op.a))
    else:
        _dot_on_many(s, op, target)
    s.stored[op.result] = target


def _dot_on_many(s: State, op: Dot, target: Storage) -> None:
    """Both operands are staged, in one piece or in slices of the depth; then every thread adds up its block."""
    work = target
    if not target.own:
        work = s.allocate(target.shape, target.dtype, True, "the accumulator", op.loc)
    if s.stored.get(op.acc) is not work:
        fill(s, op.acc, work)
    layout = s.layouts.of(target.shape)
    assert isinstance(layout, Blocks)
    depth = op.a.tile.shape[-1]
    part = _slice(s, op)

    def add(left: Storage, right: Storage) -> None:
        def one(n: Index, _: Values) -> Values:
            _block(s, layout, work, left, right, part, n)
            return ()

        s.b.loop(layout.batch, one)
        s.dirty = True

    def turn(t: Index, _: Values) -> Values:
        s.dirty = True
        s.depth += 1
        begin = s.b.mul(t, part)
        add(_stage_slice(s, op, op.a, -1, begin, part), _stage_slice(s, op, op.b, -2, begin, part))
        s.depth -= 1
        return ()

    if part == depth:
        add(_stage(s, op, op.a), _stage(s, op, op.b))
    else:
        s.b.loop(-(-depth // part), turn)
    if work is not target:

        def visit(index: tuple[Index, ...], register: Index, _: int) -> None:
            found = s.b.read(work.pointer, register)
            s.b.write(target.pointer, target.place(s.b, index, register), found)

        s.before_write(target)
        s.each(target.shape, visit)
        s.after_write(target)


def _slice(s: State, op: Dot) -> int:
    """How much of the depth is staged at once: all of it, or what leaves half of the free local memory to others."""
    depth = op.a.tile.shape[-1]
    copies = [v for v in (op.a, op.b) if not _usable(s, op, v)]
    column = sum(v.tile.size // depth * staged_dtype(op, v).itemsize for v in copies)
    free = s.target.local_bytes - sum(n for n, _, _ in s.local)
    if column * depth <= free:
        return depth
    both = sum(v.tile.size // depth * staged_dtype(op, v).itemsize for v in (op.a, op.b))
    part = max(free, 1) // 2 // both
    return 1 << (part.bit_length() - 1) if part >= 4 else depth  # less is not worth while: let the check complain


def _block(s: State, layout: Blocks, work: Storage, left: Storage, right: Storage, depth: int, n: Index) -> None:
    """``rows × cols`` accumulators of this thread for batch ``n``, over ``depth`` staged products."""
    b = s.b
    y, x = layout.place(b)
    height, width = layout.shape[-2:]
    row = [_clamped(s, b.add(y, i * layout.ny), height, (i + 1) * layout.ny) for i in range(layout.rows)]
    col = [_clamped(s, b.add(x, j * layout.nx), width, (j + 1) * layout.nx) for j in range(layout.cols)]
    batch = (n,) if len(layout.shape) == 3 else ()
    kind = work.dtype

    def operands(k: Index) -> tuple[Values, Values]:
        xs = tuple(b.cast(b.read(left.pointer, left.place(b, (*batch, r, k), 0)), kind) for r in row)
        ys = tuple(b.cast(b.read(right.pointer, right.place(b, (*batch, k, c), 0)), kind) for c in col)
        return xs, ys

    first = b.mul(n, layout.rows * layout.cols)
    if layout.rows * layout.cols <= REGISTERS:
        places = [b.add(first, r) for r in range(layout.rows * layout.cols)]

        def step(k: Index, acc: Values) -> Values:
            xs, ys = operands(k)
            return tuple(multiply_add(s, xs[r // layout.cols], ys[r % layout.cols], acc[r]) for r in range(len(places)))

        found = b.loop(depth, step, inits=tuple(b.read(work.pointer, p) for p in places), unroll=4)
        for place, value in zip(places, found, strict=True):
            b.write(work.pointer, place, value)
        return

    def slow(k: Index, _: Values) -> Values:
        xs, ys = operands(k)
        for r in range(layout.rows * layout.cols):
            place = b.add(first, r)
            b.write(
                work.pointer,
                place,
                multiply_add(s, xs[r // layout.cols], ys[r % layout.cols], b.read(work.pointer, place)),
            )
        return ()

    b.loop(depth, slow)


def _clamped(s: State, position: Index, size: int, reach: int) -> Index:
    """``position``, or the last one: surplus threads of an edge compute what nobody reads."""
    if reach <= size or isinstance(position, int):
        return position
    last = s.b.value(size - 1)
    return s.b.select(s.b.binary("lt", position, last), position, last)


def multiply_add(s: State, x: Value, y: Value, z: Value) -> Value:
    """``x * y + z``: fused for floats, wrapping for integers."""
    kind = z.vec
    if kind.dtype.is_float:
        return s.b.pure(Mad, kind, x=x, y=y, z=z)
    return s.b.binary("add", s.b.binary("mul", x, y), z)


def staged_dtype(op: Dot, value: Value, threads: int = 0) -> DType:
    """Narrow floats are widened when they are staged, integers when they are read; bytes become floats on one thread."""
    dtype = value.tile.dtype
    if threads == 1 and counts_in_float(op):
        return float32
    return op.result.tile.dtype if dtype.is_float else dtype


def _operand(s: State, op: Dot, value: Value, index: tuple[Index, ...], lanes: int) -> Value:
    found = s.b.cast(element(s, value, index, 0, lanes), staged_dtype(op, value, s.threads))
    return tf32(s, found) if op.precision == "tf32" and found.vec.dtype == float32 else found


def _usable(s: State, op: Dot, value: Value) -> bool:
    """Whether an operand can be read where it is stored."""
    stored = s.stored.get(value)
    rounded = op.precision == "tf32" and value.tile.dtype == float32
    return stored is not None and not stored.own and stored.dtype == staged_dtype(op, value, s.threads) and not rounded


def _stage_slice(s: State, op: Dot, value: Value, axis: int, begin: Index, part: int) -> Storage:
    """``part`` steps of the depth (dimension ``axis`` of the operand) from ``begin``; zeros past the end."""
    shape = list(value.tile.shape)
    whole = shape[axis]
    axis %= len(shape)
    shape[axis] = part
    wanted = staged_dtype(op, value)
    storage = s.allocate(tuple(shape), wanted, False, f"a slice of the operand {value.tile} of a dot product", op.loc)
    layout = Cyclic(tuple(shape), s.threads, unit_axis(s, value))

    def convert(index: tuple[Index, ...], lanes: int) -> Value:
        k = s.b.add(begin, index[axis])
        place = (*index[:axis], k, *index[axis + 1 :])
        zero = s.b.const(0.0 if wanted.is_float else 0, wanted)
        inside = True if whole % part == 0 else s.b.less(k, whole)
        return s.b.branch(inside, lambda: (_operand(s, op, value, place, lanes),), lambda: (zero,))[0]

    fill(s, value, storage, layout=layout, convert=convert)
    return storage


def _stage(s: State, op: Dot, value: Value) -> Storage:
    """An operand, row-major, where every thread sees it: where it is stored already, or in a copy."""
    tile = value.tile
    wanted = staged_dtype(op, value, s.threads)
    if _usable(s, op, value):
        return s.stored[value]
    name = "left" if value is op.a else "right"
    storage = s.allocate(tile.shape, wanted, False, f"the {name} operand {tile} of a dot product", op.loc)
    inner = unit_axis(s, value)
    layout: Layout = Rows(tile.shape, inner) if s.threads == 1 else Cyclic(tile.shape, s.threads, inner)

    def convert(index: tuple[Index, ...], lanes: int) -> Value:
        return _operand(s, op, value, index, lanes)

    fill(s, value, storage, layout=layout, convert=convert)
    return storage


def tf32(s: State, x: Value) -> Value:
    """float32 rounded to 10 fraction bits, to nearest, ties away from zero; infinities and NaN stay."""
    b = s.b
    lanes = x.vec.lanes

    def number(n: int) -> Value:
        return b.splat(b.const(n, uint32), lanes)

    bits = b.pure(Bitcast, Vec(uint32, lanes), x=x)
    rounded = b.binary("and", b.binary("add", bits, number(0x1000)), number(0xFFFFE000))
    exponent = b.binary("and", bits, number(0x7F800000))
    kept = b.select(b.binary("eq", exponent, number(0x7F800000)), bits, rounded)
    return b.pure(Bitcast, Vec(float32, lanes), x=kept)
