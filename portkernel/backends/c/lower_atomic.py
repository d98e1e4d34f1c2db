"""Atomic updates of global memory."""

from __future__ import annotations

from ...ir import AtomicCAS, AtomicRMW, Value
from ...ir.simt import AtomicCasElem, AtomicElem, Vec
from .build import Index, Values
from .lower_elementwise import element
from .lower_memory import irregular
from .state import State


def lower_atomic(s: State, op: AtomicRMW | AtomicCAS) -> None:
    """Each thread updates the elements that it holds; one thread does a scalar, and tells the others what it found."""
    s.writing(op.tensor)
    tile = op.result.tile
    if tile.shape:
        _tile(s, op)
        return
    if s.threads == 1:
        s.scalars[op.result] = _update(s, op, (), 0)
        return
    told = s.allocate((), tile.dtype, False, "an atomic's old value", op.loc)
    s.before_write(told)

    def one() -> Values:
        s.b.write(told.pointer, 0, _update(s, op, (), 0))
        return ()

    s.first(one)
    s.after_write(told)
    s.dirty = True
    s.scalars[op.result] = s.b.read(told.pointer, 0)


def _tile(s: State, op: AtomicRMW | AtomicCAS) -> None:
    tile = op.result.tile
    if op.result not in s.plan.stored:
        s.each(tile.shape, lambda index, register, _: _visit(s, op, index, register))
        return
    storage = s.allocate(tile.shape, tile.dtype, s.plan.stored[op.result], f"the tile {tile}", op.loc)
    s.before_write(storage)

    def visit(index: tuple[Index, ...], register: Index, _: int) -> None:
        s.b.write(storage.pointer, storage.place(s.b, index, register), _update(s, op, index, register))

    s.each(tile.shape, visit)
    s.after_write(storage)
    s.stored[op.result] = storage


def _visit(s: State, op: AtomicRMW | AtomicCAS, index: tuple[Index, ...], register: Index) -> None:
    _update(s, op, index, register)


def _update(s: State, op: AtomicRMW | AtomicCAS, index: tuple[Index, ...], register: Index) -> Value:
    ok, place = irregular(s, op, index, register, element)
    pointer = s.base(op.tensor)
    kind = Vec(op.result.tile.dtype)

    def update() -> Values:
        value = element(s, op.value, index, register)
        if isinstance(op, AtomicCAS):
            expected = element(s, op.expected, index, register)
            made = s.b.emit(AtomicCasElem, (kind,), pointer=pointer, index=place, expected=expected, value=value)
            return (made.result,)
        return (s.b.emit(AtomicElem, (kind,), fn=op.fn, pointer=pointer, index=place, value=value).result,)

    zero = False if kind.dtype.is_bool else 0.0 if kind.dtype.is_float else 0
    return s.b.branch(ok, update, lambda: (s.b.const(zero, kind.dtype),))[0]
