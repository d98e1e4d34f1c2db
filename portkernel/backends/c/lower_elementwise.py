"""One element of a tile (or a few neighbours), computed where it is read."""

from __future__ import annotations

from ...dtypes import int32
from ...errors import InternalError
from ...ir import (
    Arange,
    Binary,
    Bitcast,
    BroadcastTo,
    Cast,
    Concat,
    Extract,
    Full,
    Gather,
    Load,
    Op,
    Permute,
    Reshape,
    Select,
    Unary,
    Value,
)
from ...ir.simt import Iota, Pack, Vec
from .build import Index, SimtBuilder, Values
from .lower_memory import gather_element, load_element, neighbour
from .lower_vector import divides, runs_along
from .state import State

Place = tuple[Index, ...]


def element(s: State, value: Value, index: Place, register: Index, lanes: int = 1) -> Value:
    """``value[index]``, or the vector of ``lanes`` elements that begins there along the innermost dimension.

    ``register`` is where the thread keeps the element, if it visits the elements that it holds.
    """
    shape = value.tile.shape
    if not shape:
        return s.b.splat(s.scalars[value], lanes)
    index = tuple(0 if n == 1 else i for i, n in zip(index, shape, strict=True))
    key = (value, index, lanes, s.layouts.inner(shape))
    found = s.b.recall(key)
    if found is None:
        found = s.b.remember(key, compute(s, value, index, register, lanes))
    return found


def compute(s: State, value: Value, index: Place, register: Index, lanes: int) -> Value:
    storage = s.on_the_way.get(value)
    found = _computed(s, value, index, register, lanes)
    if storage is not None:
        s.b.write(storage.pointer, storage.place(s.b, index, register), found)
    return found


def _computed(s: State, value: Value, index: Place, register: Index, lanes: int) -> Value:
    if value in s.stored:
        return read_stored(s, value, index, register, lanes)
    op = s.makers[value]
    match op:
        case Load():
            return load_element(s, op, index, lanes)
        case Gather():
            return gather_element(s, op, index, register, lanes, element)
        case Full():
            return s.b.splat(s.scalars[op.value], lanes)
        case Arange():
            return _arange(s, op, index, lanes)
        case Reshape() | Permute() | BroadcastTo() | Extract() | Concat():
            return _view(s, op, index, register, lanes)
        case _:
            return apply(s, op, tuple(element(s, x, index, register, lanes) for x in op.operands), lanes)


def read_stored(s: State, value: Value, index: Place, register: Index, lanes: int) -> Value:
    storage = s.stored[value]
    if not storage.own:
        s.dirty = True
    return s.b.read(storage.pointer, storage.place(s.b, index, register), lanes)


def apply(s: State, op: Op, xs: Values, lanes: int = 1) -> Value:
    """An elementwise operation on registers."""
    kind = Vec(op.result.tile.dtype, lanes)
    match op:
        case Unary():
            return s.b.pure(Unary, kind, fn=op.fn, x=xs[0])
        case Binary():
            return s.b.pure(Binary, kind, fn=op.fn, x=xs[0], y=xs[1])
        case Select():
            return s.b.pure(Select, kind, cond=xs[0], x=xs[1], y=xs[2])
        case Cast():
            return s.b.pure(Cast, kind, x=xs[0])
        case Bitcast():
            return s.b.pure(Bitcast, kind, x=xs[0])
        case _:
            raise InternalError(f"{type(op).__name__} is not an elementwise operation", loc=op.loc)


def _arange(s: State, op: Arange, index: Place, lanes: int) -> Value:
    place = s.b.add(index[0], op.start)
    first = s.b.const(place, int32) if isinstance(place, int) else s.b.cast(place, int32)
    if lanes == 1:
        return first
    steps = s.b.pure(Iota, Vec(int32, lanes))
    return s.b.binary("add", s.b.splat(first, lanes), steps)


def pack(s: State, value: Value, index: Place, register: Index, lanes: int) -> Value:
    """Neighbours fetched one by one."""
    ones = tuple(element(s, value, neighbour(s, value, index, lane), s.b.add(register, lane)) for lane in range(lanes))
    return s.b.pure(Pack, Vec(value.tile.dtype, lanes), xs=ones)


def _view(
    s: State, op: Reshape | Permute | BroadcastTo | Extract | Concat, index: Place, register: Index, lanes: int
) -> Value:
    b = s.b
    if lanes > 1 and not (runs_along(s, op) and divides(s, op.result, lanes)):
        return pack(s, op.result, index, register, lanes)
    match op:
        case BroadcastTo():
            if lanes > 1 and op.x.tile.shape[s.layouts.inner(op.result.tile.shape)] == 1:
                return b.splat(element(s, op.x, index, register), lanes)
            return element(s, op.x, index, register, lanes)
        case Extract():
            return element(s, op.x, tuple(b.add(i, o) for i, o in zip(index, op.offsets, strict=True)), register, lanes)
        case Permute():
            source: list[Index] = [0] * len(index)
            for i, axis in zip(index, op.axes, strict=True):
                source[axis] = i
            return element(s, op.x, tuple(source), register, lanes)
        case Reshape():
            before, after = op.x.tile.shape, op.result.tile.shape
            return element(s, op.x, reshaped(b, index, after, before), register, lanes)
        case Concat():
            return _concat(s, op, 0, 0, index, register, lanes)


def _concat(s: State, op: Concat, which: int, begin: int, index: Place, register: Index, lanes: int) -> Value:
    """The element of operand ``which``, which begins at ``begin`` along the axis, or of a later one."""
    x = op.xs[which]
    end = begin + x.tile.shape[op.axis]

    def here() -> Values:
        moved = (*index[: op.axis], s.b.sub(index[op.axis], begin), *index[op.axis + 1 :])
        return (element(s, x, moved, register, lanes),)

    if which == len(op.xs) - 1:
        return here()[0]
    later = lambda: (_concat(s, op, which + 1, end, index, register, lanes),)  # noqa: E731
    return s.b.branch(s.b.less(index[op.axis], end), here, later)[0]


def reshaped(b: SimtBuilder, index: Place, shape: tuple[int, ...], wanted: tuple[int, ...]) -> Place:
    """The index in ``wanted`` of the element that stands at ``index`` in ``shape``: row-major order is the same.

    Dimensions that both shapes have pass through; only groups that really change are divided up again.
    """
    found: list[Index] = []
    i = 0
    j = 0
    while i < len(shape) or j < len(wanted):
        first_i, first_j, m, n = i, j, 1, 1
        while True:
            if m <= n and i < len(shape):
                m, i = m * shape[i], i + 1
            elif j < len(wanted):
                n, j = n * wanted[j], j + 1
            else:
                m, i = m * shape[i], i + 1
            if m == n and (i > first_i or i == len(shape)) and (j > first_j or j == len(wanted)):
                break
        flat = b.flat(index[first_i:i], shape[first_i:i])
        found.extend(b.unflat(flat, wanted[first_j:j]))
    return tuple(found)
