"""Boxes of loads and stores at the edge of a tensor, on one thread.

A loop is written twice: for boxes that lie inside their tensors, and for those that do not. At an edge, the loads are
copied first, padded, and the stores go to a copy of which the inside is written at last: so both loops run over vectors,
and no element is checked one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...dtypes import int32, int64, uint64
from ...ir import Binary, Cast, Const, Dot, For, Gather, Load, Op, Store, Value, walk
from .build import Index, Values
from .layout import Rows
from .lower_memory import address, size_of
from .lower_vector import full_lanes
from .state import State, Storage

STAGED_BYTES = 1 << 18
"""Larger tiles are not copied at an edge: they would leave the cache, or the stack."""
Place = tuple[Index, ...]


def guarded(s: State, roots: Iterable[Value], size: int, body: Callable[[], None], *also: Store) -> None:
    """``body``, once for boxes that lie inside their tensors and once for those that do not.

    Only where one thread does the work: elsewhere a check for each element costs less than the text twice.
    """
    boxes: list[Load | Store] = [*also, *(op for op in lazy_leaves(s, roots) if isinstance(op, Load))]
    if s.threads > 1 or size < 8 or not boxes:
        body()
        return
    before = s.inside

    def fast() -> Values:
        s.inside = before | frozenset(boxes)
        body()
        s.inside = before
        return ()

    def slow() -> Values:
        if all(_worth_staging(s, op) for op in boxes):
            _staged(s, boxes, body)
        else:
            body()
        return ()

    if s.outside.isdisjoint(boxes):
        s.b.branch(s.b.both([box_inside(s, op) for op in boxes if op not in before]), fast, slow)
    else:
        slow()


# --- the turns of a loop that see no edge ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InnerTurns:
    """In the turns ``start`` to ``stop`` of a loop, ``boxes`` lie inside their tensors."""

    start: Index
    stop: Value
    boxes: frozenset[Op]


def inner_turns(s: State, loop: For, start: Index, stop: Index) -> InnerTurns | None:
    """The first turns of ``loop``, in which boxes whose place moves along with the counter lie inside.

    A loop of its own for those leaves compilers no second branch to keep registers for. Only where one thread does the
    work, and not for products, whose packing costs more than a check.
    """
    if s.threads > 1 or any(isinstance(op, Dot) for op in walk(loop.body)):
        return None
    b = s.b
    boxes = {op: moves for op in loop.body.ops if isinstance(op, (Load, Store)) and (moves := _moves(s, loop, op))}
    if not any(move.scale for moves in boxes.values() for move in moves):
        return None
    first, end = b.wide(start), b.wide(stop)
    checks: list[Value | bool] = []
    for op, moves in boxes.items():
        for axis, (move, n) in enumerate(zip(moves, _tile(op).tile.shape, strict=True)):
            size = size_of(s, op.tensor, axis)
            room = b.sub(size, b.add(move.base, n))
            checks.append(b.at_least(b.add(b.mul(first, move.scale), move.base), 0))
            checks.append(b.at_least(room, 0))
            if move.scale:
                turns = b.add(_over(s, room, move.scale), 1)
                end = b.select(b.binary("lt", b.value(turns), b.value(end)), b.value(turns), b.value(end))
    last = b.select(b.binary("gt", b.value(end), b.value(first)), b.value(end), b.value(first))
    ok = b.both(checks)
    last = last if ok is True else b.value(first) if ok is False else b.select(ok, last, b.value(first))
    kind = loop.body.params[0].tile.dtype
    return InnerTurns(start, b.cast(last, kind), frozenset(boxes))


@dataclass(frozen=True, slots=True)
class _Move:
    """An offset ``scale · counter + base``."""

    scale: int
    base: Index


def _moves(s: State, loop: For, op: Load | Store) -> tuple[_Move, ...] | None:
    """How each offset of ``op`` moves with the counter of ``loop``; None if that is not known."""
    if _tile(op).tile.size < 8:
        return None
    found = [_move(s, loop, v) for v in op.offsets]
    return tuple(m for m in found if m is not None) if None not in found else None


def _move(s: State, loop: For, value: Value) -> _Move | None:
    if value is loop.body.params[0]:
        return _Move(1, 0)
    known = s.constants.get(value)
    if known is None:
        known = _constant(s, value)
    if known is not None:
        return _Move(0, int(known))
    op = s.makers.get(value)
    if op is None or op not in loop.body.ops:
        scalar = s.scalars.get(value)
        return None if scalar is None or value in loop.body.params else _Move(0, s.b.wide(scalar))
    if isinstance(op, Cast) and op.result.tile.dtype == int64 and op.x.tile.dtype in (int32, int64):
        return _move(s, loop, op.x)
    if isinstance(op, Binary) and op.fn == "add":
        one, other = _move(s, loop, op.x), _move(s, loop, op.y)
        if one is not None and other is not None:
            return _Move(one.scale + other.scale, s.b.add(one.base, other.base))
    if isinstance(op, Binary) and op.fn == "mul":
        for x, y in ((op.x, op.y), (op.y, op.x)):
            by, moved = _move(s, loop, y), _move(s, loop, x)
            if moved is None or by is None or by.scale or not isinstance(by.base, int) or by.base <= 0:
                continue
            return _Move(moved.scale * by.base, s.b.mul(moved.base, by.base))
    return None


def _constant(s: State, value: Value) -> int | None:
    """A constant that stands in the body of the loop, which is not lowered yet."""
    op = s.makers.get(value)
    return int(op.value) if isinstance(op, Const) else None


def _over(s: State, x: Index, n: int) -> Index:
    """``x // n``, right for ``x >= 0``."""
    if isinstance(x, int):
        return x // n
    unsigned = s.b.binary("floordiv", s.b.cast(x, uint64), s.b.const(n, uint64))
    return s.b.cast(unsigned, int64)


def lazy_leaves(s: State, roots: Iterable[Value]) -> list[Op]:
    """The loads and gathers that are read while ``roots`` are computed, in a stable order."""
    found: dict[Op, None] = {}
    seen: set[Value] = set()
    stack = list(roots)
    while stack:
        value = stack.pop()
        if value in seen or value in s.stored or value not in s.makers or not value.tile.shape:
            continue
        seen.add(value)
        op = s.makers[value]
        if isinstance(op, (Load, Gather)):
            found[op] = None
        stack.extend(x for x in op.operands if x not in s.func.tensors)
    return list(found)


def _tile(op: Load | Store) -> Value:
    return op.value if isinstance(op, Store) else op.result


def _worth_staging(s: State, op: Load | Store) -> bool:
    """Whether a copy of the box makes its neighbours lie side by side where the box itself has them so."""
    tile = _tile(op).tile
    stride = op.tensor.tensor.strides[s.layouts.inner(tile.shape)]
    return stride in ((1,) if isinstance(op, Store) else (0, 1)) and tile.size * tile.dtype.itemsize <= STAGED_BYTES


def _staged(s: State, boxes: list[Load | Store], body: Callable[[], None]) -> None:
    with s.borrowed([(_tile(op).tile.shape, op.tensor.tensor.dtype) for op in boxes]) as copies:
        for op, storage in zip(boxes, copies, strict=True):
            if isinstance(op, Load):
                _rows(s, op, storage)
                s.stored[op.result] = storage
            else:
                s.staged[op] = storage
        body()
        for op, storage in zip(boxes, copies, strict=True):
            if isinstance(op, Load):
                del s.stored[op.result]
            else:
                del s.staged[op]
                _rows(s, op, storage)


def _rows(s: State, op: Load | Store, storage: Storage) -> None:
    """Copy what of the box lies inside, row by row, to the copy of a load or from that of a store; pad the former."""
    b, shape = s.b, storage.shape
    inner = s.layouts.inner(shape)
    length = shape[inner]
    offset, size = s.boxes[op].offsets[inner], size_of(s, op.tensor, inner)
    first = _clamped(s, b.sub(0, offset), length)
    end = _clamped(s, b.sub(size, offset), length)

    def row(index: Place, _: Index, __: int) -> None:
        inside = [_axis_inside(s, op, d, i) for d, i in enumerate(index) if d != inner]
        ok = b.both([c for pair in inside for c in pair])
        start, stop = (_chosen(s, ok, x) for x in (first, end))

        def at(k: Index) -> Place:
            return (*index[:inner], k, *index[inner + 1 :])

        if isinstance(op, Load):
            b.loop(start, lambda k, _: _pad(s, op, storage, at(k)))
        _run(s, op, storage, start, stop, at)
        if isinstance(op, Load):
            b.loop(length, lambda k, _: _pad(s, op, storage, at(k)), start=stop)

    lines = tuple(1 if d == inner else n for d, n in enumerate(shape))
    Rows(lines).each(b, row)


def _run(s: State, op: Load | Store, storage: Storage, start: Index, stop: Index, at: Callable[[Index], Place]) -> None:
    """Copy the neighbours ``start`` to ``stop`` of one row, in vectors and then one by one."""
    b = s.b
    lanes = full_lanes(s, [storage.dtype]) if op.tensor.tensor.strides[s.layouts.inner(storage.shape)] == 1 else 1
    pointer = s.base(op.tensor)

    def step(k: Index, count: int) -> Values:
        index = at(k)
        there, here = address(s, op.tensor, s.boxes[op].corner, index), storage.place(b, index, 0)
        if isinstance(op, Load):
            b.write(storage.pointer, here, b.read(pointer, there, count))
        else:
            streamed = s.streams.get(op.tensor) if count > 1 else None
            b.write(pointer, there, b.read(storage.pointer, here, count), streamed=streamed)
        return ()

    middle = start
    if lanes > 1:
        whole = b.binary("and", b.value(b.sub(stop, start)), b.const(-lanes, int64))
        middle = b.add(start, whole)
        b.loop(middle, lambda k, _: step(k, lanes), start=start, step=lanes)
    b.loop(stop, lambda k, _: step(k, 1), start=middle)


def _pad(s: State, op: Load, storage: Storage, index: Place) -> Values:
    s.b.write(storage.pointer, storage.place(s.b, index, 0), s.scalars[op.pad])
    return ()


def _clamped(s: State, x: Index, most: int) -> Index:
    """``x``, but at least 0 and at most ``most``."""
    if isinstance(x, int):
        return min(max(x, 0), most)
    b = s.b
    zero, top = b.const(0, x.vec.dtype), b.const(most, x.vec.dtype)
    return b.select(b.binary("lt", x, zero), zero, b.select(b.binary("lt", x, top), x, top))


def _chosen(s: State, ok: Value | bool, x: Index) -> Index:
    """``x`` where ``ok``, else 0."""
    if isinstance(ok, bool):
        return x if ok else 0
    return s.b.select(ok, s.b.value(x), s.b.value(0))


def _axis_inside(s: State, op: Load | Store, axis: int, i: Index) -> list[Value | bool]:
    """``0 <= offset + i < size`` along ``axis``."""
    coordinate = s.b.add(s.boxes[op].offsets[axis], i)
    size = size_of(s, op.tensor, axis)
    return [s.b.at_least(coordinate, 0), s.b.less(coordinate, size)]


def box_inside(s: State, op: Load | Store) -> Value | bool:
    """Whether the whole box lies inside the tensor."""
    box = s.boxes[op]
    shape = op.value.tile.shape if isinstance(op, Store) else op.result.tile.shape
    checks: list[Value | bool] = []
    for axis, (offset, n) in enumerate(zip(box.offsets, shape, strict=True)):
        size = size_of(s, op.tensor, axis)
        checks.append(s.b.at_least(offset, 0))
        checks.append(s.b.at_least(size, s.b.add(offset, n)))
    return s.b.both(checks)
