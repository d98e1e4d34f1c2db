"""Reading a tile across the grain: vectors along the dimension that is contiguous in memory, turned in registers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ...ir import Cast, Load, Permute, Value
from ...ir.simt import Interleave
from .build import SimtBuilder, Values
from .layout import squeezed
from .lower_vector import lanes_for
from .state import State


@contextmanager
def across(s: State, value: Value) -> Iterator[int]:
    """In the context, vectors of ``value``, a matrix or a stack of them, run down its columns. Gives their lanes, 1 if
    there can be none: only a box of memory is read so, with nothing computed from it but casts."""
    kept = s.layouts
    shape = value.tile.shape
    if not _is_box(s, value) or min(shape[-2:]) == 1:
        yield 1
        return
    s.layouts = replace(
        kept, turned={**kept.turned, squeezed(shape): -2}, accumulators=kept.accumulators - {shape}
    )  # the shape of an accumulator may be that of ``value`` too
    try:
        yield lanes_for(s, shape, [value])
    finally:
        s.layouts = kept


def _is_box(s: State, value: Value) -> bool:
    if value in s.stored:
        return False
    match s.makers.get(value):
        case Load():
            return True
        case Cast() | Permute() as op:
            return _is_box(s, op.x)
        case _:
            return False


def transposed(b: SimtBuilder, rows: Values) -> Values:
    """The columns of a square of vectors: as many perfect shuffles of all elements as their number has bits.

    Source: H. S. Stone, "Parallel processing with the perfect shuffle", IEEE Transactions on Computers 20 (1971).
    """
    size = len(rows)
    kind = rows[0].vec
    assert kind.lanes == size
    for _ in range(size.bit_length() - 1):
        pairs = list(zip(rows[: size // 2], rows[size // 2 :], strict=True))
        rows = tuple(b.pure(Interleave, kind, high=high, x=x, y=y) for x, y in pairs for high in (False, True))
    return rows
