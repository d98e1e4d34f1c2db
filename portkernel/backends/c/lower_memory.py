"""Loads, stores, gathers and scatters: addresses, bounds, padding."""

from __future__ import annotations

from collections.abc import Callable

from ...dtypes import int64, uint64
from ...ir import AtomicCAS, AtomicRMW, Cast, Dim, Gather, Load, Permute, Reshape, Scatter, Store, Stride, Value
from ...ir.simt import Pack, Vec
from .build import Index, Values
from .layout import same_sides
from .state import Box, State

Place = tuple[Index, ...]
ElementOf = Callable[[State, Value, Place, Index, int], Value]


def size_of(s: State, tensor: Value, axis: int) -> Index:
    """The size of ``tensor`` along ``axis``: known, or int64."""
    known = tensor.tensor.shape[axis]
    return known if known is not None else s.b.pure(Dim, Vec(int64), tensor=tensor, axis=axis)


def stride_of(s: State, tensor: Value, axis: int) -> Index:
    """The stride of ``tensor`` along ``axis`` in elements: known, or int64."""
    known = tensor.tensor.strides[axis]
    return known if known is not None else s.b.pure(Stride, Vec(int64), tensor=tensor, axis=axis)


def _wide_scalar(s: State, value: Value) -> Index:
    known = s.constants.get(value)
    return int(known) if known is not None else s.b.wide(s.scalars[value])


def open_box(s: State, op: Load | Store) -> Box:
    """The place of ``op``'s box, computed where ``op`` stands."""
    offsets = tuple(_wide_scalar(s, v) for v in op.offsets)
    corner: Index = 0
    for axis, offset in enumerate(offsets):
        corner = s.b.add(corner, s.b.mul(offset, stride_of(s, op.tensor, axis)))
    box = s.boxes[op] = Box(op.tensor, offsets, corner)
    return box


def address(s: State, tensor: Value, corner: Index, index: Place) -> Index:
    """``corner + index · strides``, int64."""
    total = corner
    for axis, i in enumerate(index):
        total = s.b.add(total, s.b.mul(s.b.wide(i), stride_of(s, tensor, axis)))
    return total if not isinstance(total, int) else s.b.const(total, int64)


def _within(s: State, coordinate: Index, size: Index) -> Value | bool:
    """``0 <= coordinate < size`` in one comparison of unsigned numbers."""
    if isinstance(coordinate, int) and isinstance(size, int):
        return 0 <= coordinate < size
    if isinstance(coordinate, int) and coordinate < 0:
        return False
    x, y = (s.b.const(v, uint64) if isinstance(v, int) else s.b.cast(v, uint64) for v in (coordinate, size))
    return s.b.binary("lt", x, y)


def _box_checks(s: State, op: Load | Store, index: Place) -> Value | bool:
    """Whether the element ``index`` of the box lies inside the tensor."""
    if op in s.inside:
        return True
    box = s.boxes[op]
    checks: list[Value | bool] = []
    for axis, (offset, i) in enumerate(zip(box.offsets, index, strict=True)):
        checks.append(_within(s, s.b.add(offset, s.b.wide(i)), size_of(s, op.tensor, axis)))
    return s.b.both(checks)


def neighbour(s: State, value: Value, index: Place, lane: int) -> Place:
    """The place ``lane`` steps after ``index`` along the innermost dimension of ``value``."""
    inner = s.layouts.inner(value.tile.shape)
    return (*index[:inner], s.b.add(index[inner], lane), *index[inner + 1 :])


def load_element(s: State, op: Load, index: Place, lanes: int) -> Value:
    """``lanes`` elements of a load, or the pad."""
    ok = _box_checks(s, op, index)
    stride = op.tensor.tensor.strides[s.layouts.inner(op.result.tile.shape)] if op.result.tile.shape else 1
    if lanes > 1 and (ok is not True or stride not in (0, 1)):
        ones = tuple(load_element(s, op, neighbour(s, op.result, index, lane), 1) for lane in range(lanes))
        return s.b.pure(Pack, Vec(op.result.tile.dtype, lanes), xs=ones)
    pointer = s.base(op.tensor)
    place = address(s, op.tensor, s.boxes[op].corner, index)
    if lanes > 1 and stride == 0:
        return s.b.splat(s.b.read(pointer, place), lanes)
    return s.b.branch(ok, lambda: (s.b.read(pointer, place, lanes),), lambda: (s.scalars[op.pad],))[0]


def store_element(s: State, op: Store, index: Place, value: Value) -> None:
    """Write one element, or a vector of neighbours whose box is known to lie inside."""
    lanes = value.vec.lanes
    storage = s.staged.get(op)
    if storage is not None:
        s.b.write(storage.pointer, storage.place(s.b, index, 0), value)
        return
    ok = _box_checks(s, op, index)
    assert lanes == 1 or ok is True
    pointer = s.base(op.tensor)
    place = address(s, op.tensor, s.boxes[op].corner, index)

    def write() -> Values:
        s.b.write(pointer, place, value, streamed=s.streams.get(op.tensor) if lanes > 1 else None)
        return ()

    s.b.branch(ok, write)


def irregular(
    s: State, op: Gather | Scatter | AtomicRMW | AtomicCAS, index: Place, register: Index, of: ElementOf
) -> tuple[Value | bool, Index]:
    """Whether the element is to be touched, and its address."""
    checks: list[Value | bool] = []
    if op.mask is not None:
        checks.append(of(s, op.mask, index, register, 1))
    place: Index = 0
    for axis, value in enumerate(op.indices):
        known = s.constants.get(value)
        raw = of(s, value, index, register, 1)
        coordinate: Index = int(known) if known is not None else s.b.wide(raw)
        checks.append(_within(s, coordinate, size_of(s, op.tensor, axis)))
        place = s.b.add(place, s.b.mul(coordinate, stride_of(s, op.tensor, axis)))
    return s.b.both(checks), place if not isinstance(place, int) else s.b.const(place, int64)


def gather_element(s: State, op: Gather, index: Place, register: Index, lanes: int, of: ElementOf) -> Value:
    """``lanes`` elements of a gather, or the pad."""
    if lanes > 1:
        ones = tuple(
            of(s, op.result, neighbour(s, op.result, index, lane), s.b.add(register, lane), 1) for lane in range(lanes)
        )
        return s.b.pure(Pack, Vec(op.result.tile.dtype, lanes), xs=ones)
    ok, place = irregular(s, op, index, register, of)
    pointer = s.base(op.tensor)
    return s.b.branch(ok, lambda: (s.b.read(pointer, place),), lambda: (s.scalars[op.pad],))[0]


def scatter_element(s: State, op: Scatter, index: Place, register: Index, of: ElementOf) -> None:
    """Write one element of a scatter."""
    ok, place = irregular(s, op, index, register, of)
    pointer = s.base(op.tensor)

    def write() -> Values:
        s.b.write(pointer, place, of(s, op.value, index, register, 1))
        return ()

    s.b.branch(ok, write)


def unit_axis(s: State, value: Value) -> int:
    """The dimension of ``value`` along which neighbours lie side by side in memory; the last one if that is not known."""
    rank = len(value.tile.shape)
    if value in s.stored or value not in s.makers:
        return rank - 1
    op = s.makers[value]
    match op:
        case Load():
            strides, shape = op.tensor.tensor.strides, value.tile.shape
            unit = [d for d in range(rank) if strides[d] == 1 and shape[d] != 1]
            return unit[-1] if unit else rank - 1
        case Permute():
            return op.axes.index(unit_axis(s, op.x))
        case Cast():
            return unit_axis(s, op.x)
        case Reshape() if same := same_sides(op.x.tile.shape, value.tile.shape):
            return same.get(unit_axis(s, op.x), rank - 1)
        case _:
            return rank - 1
