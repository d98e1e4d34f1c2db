"""Moving elements between tiles of other shapes, whose padding differs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from ...dtypes import DType
from ...ir import Arange, BroadcastTo, Concat, Extract, Permute, Reshape, Value
from .elementwise import as_bits, from_bits
from .printer import Printer
from .spell import along, padded, padded_side, range_of, register, shape_text

ONE_HOT_ELEMENTS = 1 << 14
"""Up to this size elements are moved by a sum over a one-hot mask, above it by ``tl.gather`` (Triton 3.2 and later)."""


def arange(p: Printer, op: Arange) -> None:
    lanes = range_of(op.result.tile.shape[0])
    p.define(op.result, lanes if op.start == 0 else f"{lanes} + ({op.start})")


def broadcast_to(p: Printer, op: BroadcastTo) -> None:
    p.define(op.result, f"tl.broadcast_to({p.use(op.x)}, {p.padded_text(op.result.tile.shape)})")


def permute(p: Printer, op: Permute) -> None:
    same = op.axes == tuple(range(len(op.axes)))
    p.define(op.result, p.use(op.x) if same else f"tl.permute({p.use(op.x)}, {shape_text(op.axes)})")


def reshape_text(p: Printer, x: str, old: tuple[int, ...], new: tuple[int, ...], dtype: DType) -> str:
    """``x`` of the Triton shape ``old`` in the Triton shape ``new`` of as many elements; ``()`` is a scalar."""
    if old == new:
        return x
    if not old:
        return f"tl.full({shape_text(new)}, {x}, {register(dtype)})"
    if new:
        return f"tl.reshape({x}, {shape_text(new)})"
    only = f"{p.helper('_only')}({x}{'.to(tl.int32)' if dtype.is_bool else ''})"
    return f"{only} != 0" if dtype.is_bool else only


def reshape(p: Printer, op: Reshape) -> None:
    old, new = op.x.tile.shape, op.result.tile.shape
    dtype = op.x.tile.dtype
    if _reshapes_with_padding(old, new):
        p.define(op.result, reshape_text(p, p.use(op.x), padded(old), padded(new), dtype))
        return
    size, count = math.prod(padded(old)), math.prod(padded(new))
    place = p.temp("place", f"tl.arange(0, {count})")
    element = p.temp("element", _linear(place, padded(new), new))  # row-major number among the elements
    source = p.temp("source", _linear(element, old, padded(old)))  # where that element stands in x
    flat = reshape_text(p, p.use(op.x), padded(old), (size,), dtype)
    moved = take(p, flat, dtype, 0, (size,), f"tl.minimum({source}, {size - 1})", count)
    p.define(op.result, reshape_text(p, moved, (count,), padded(new), dtype))


def _linear(index: str, sides: tuple[int, ...], strides_of: tuple[int, ...]) -> str:
    """The row-major number ``index`` over ``sides`` as a number over ``strides_of``, coordinate by coordinate."""
    terms: list[str] = []
    inner, stride = 1, 1
    for axis in reversed(range(len(sides))):
        coordinate = index if inner == 1 else f"{index} // {inner}"
        if axis:
            coordinate = f"({coordinate}) % {sides[axis]}"
        terms.append(f"({coordinate})" + (f" * {stride}" if stride != 1 else ""))
        inner *= sides[axis]
        stride *= strides_of[axis]
    return " + ".join(reversed(terms))


def _reshapes_with_padding(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    """True if a reshape of the padded tiles moves every element to its place.

    Both shapes are cut into groups of sides with equal products. A group is right if every side but its first is a
    power of two, on either side: then the padding of the group is at its end.
    """
    a, b = [n for n in old if n != 1], [n for n in new if n != 1]
    while a or b:
        left, right = [a.pop(0)], [b.pop(0)]
        while math.prod(left) != math.prod(right):
            if math.prod(left) < math.prod(right):
                left.append(a.pop(0))
            else:
                right.append(b.pop(0))
        if any(padded_side(n) != n for n in (*left[1:], *right[1:])):
            return False
    return True


def take(p: Printer, x: str, dtype: DType, axis: int, shape: tuple[int, ...], index: str, count: int) -> str:
    """``x[…, index, …]`` along ``axis``, of Triton shapes: ``index`` is rank 1, int32, of ``count`` elements, in range."""
    rank = len(shape)
    new = (*shape[:axis], count, *shape[axis + 1 :])
    bits = p.temp("bits", as_bits(x, dtype))
    if math.prod(shape) * count > ONE_HOT_ELEMENTS:
        lanes = f"tl.broadcast_to({along(f'({index})', axis, rank)}, {shape_text(new)})"
        return p.temp("moved", from_bits(f"tl.gather({bits}, {lanes}, {axis})", dtype))
    # one more dimension: axis runs over the source, axis + 1 over the result
    here = along(f"tl.arange(0, {shape[axis]})", axis, rank + 1) + " == " + along(f"({index})", axis + 1, rank + 1)
    spread = f"{bits}[{', '.join('None' if i == axis + 1 else ':' for i in range(rank + 1))}]"
    text = f"tl.reduce(tl.where({here}, {spread}, {spread} - {spread}), {axis}, {p.helper('_add')})"
    return p.temp("moved", from_bits(text, dtype))


def extract(p: Printer, op: Extract) -> None:
    text = p.use(op.x)
    shape = list(padded(op.x.tile.shape))
    for axis, (offset, side) in enumerate(zip(op.offsets, op.result.tile.shape, strict=True)):
        want = padded_side(side)
        if offset == 0 and want == shape[axis]:
            continue
        index = f"tl.minimum({range_of(side)} + {offset}, {shape[axis] - 1})"
        text = take(p, text, op.x.tile.dtype, axis, tuple(shape), index, want)
        shape[axis] = want
    p.define(op.result, text)


def concat(p: Printer, op: Concat) -> None:
    shape, axis = op.result.tile.shape, op.axis
    dtype = op.result.tile.dtype
    want = padded_side(shape[axis])
    lanes = range_of(shape[axis])
    offset, text = 0, ""
    for x in op.xs:
        own = padded(x.tile.shape)
        side = x.tile.shape[axis]
        if offset == 0 and own[axis] == want:
            part = p.use(x)
        else:
            index = f"tl.minimum(tl.maximum({lanes} - {offset}, 0), {own[axis] - 1})"
            part = take(p, p.use(x), dtype, axis, own, index, want)
        here = along(f"({lanes} < {offset})", axis, len(shape))
        text = p.temp("joined", f"tl.where({here}, {text}, {part})") if text else part
        offset += side
    p.define(op.result, text)


@contextmanager
def each_element(p: Printer, xs: tuple[Value, ...], texts: list[str]) -> Iterator[list[str]]:
    """A loop over the elements of ``xs`` (equal shapes), row-major; gives the scalars. ``texts`` spell the tiles."""
    shape = xs[0].tile.shape
    size = math.prod(padded(shape))
    flat = [p.temp("flat", f"tl.reshape({t}, ({size},))") for t in texts]
    i = p.fresh("element")
    p.line(f"for {i} in range(0, {math.prod(shape)}):")
    with p.indented():
        place = p.temp("place", _linear(i, shape, padded(shape)))
        scalars: list[str] = []
        for name in flat:
            kept = f"tl.where(tl.arange(0, {size}) == {place}, {name}, {name} * 0)"
            scalars.append(p.temp("shown", f"tl.reduce({kept}, 0, {p.helper('_add')})"))
        yield scalars
