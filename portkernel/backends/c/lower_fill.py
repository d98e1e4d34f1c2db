"""Writing every element of a tile to its storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...ir import Value
from .build import Index
from .layout import Layout, Rows
from .lower_edge import guarded
from .lower_elementwise import element
from .lower_vector import lanes_for
from .state import State, Storage

Convert = Callable[[tuple[Index, ...], int], Value]


def fill(
    s: State, value: Value, storage: Storage, layout: Layout | None = None, convert: Convert | None = None
) -> None:
    """Write ``value``, or what ``convert(index, lanes)`` makes of it, to ``storage``, and make that visible to the group.

    ``layout`` says which thread writes what, if that is not the layout of the shape.
    """
    tile = value.tile
    chosen = layout or s.layouts.of(tile.shape)

    def visit(index: tuple[Index, ...], register: Index, lanes: int) -> None:
        found = element(s, value, index, register, lanes) if convert is None else convert(index, lanes)
        s.b.write(storage.pointer, storage.place(s.b, index, register), found)

    def body() -> None:
        if isinstance(chosen, Rows):
            chosen.each(
                s.b, visit, lanes_for(s, tile.shape, [value]), unrolled=True
            )  # one at a time unless the last is innermost
        else:
            chosen.each(s.b, visit)

    s.before_write(storage)
    guarded(s, [value], tile.size, body)
    s.after_write(storage)


def fill_together(s: State, pairs: Sequence[tuple[Value, Storage]]) -> None:
    """Write several tiles of one shape in one loop, each element of all of them before the next: what they read of one
    another's storage is what it held before. On one thread."""
    shape = pairs[0][0].tile.shape
    values = [value for value, _ in pairs]

    def visit(index: tuple[Index, ...], register: Index, lanes: int) -> None:
        found = [element(s, value, index, register, lanes) for value in values]
        for (_, storage), new in zip(pairs, found, strict=True):
            s.b.write(storage.pointer, storage.place(s.b, index, register), new)

    guarded(s, values, values[0].tile.size, lambda: s.each(shape, visit, lanes_for(s, shape, values), unrolled=True))
