"""Which loops of the CPU schedule run over vectors.

A loop along the innermost dimension takes ``lanes`` neighbours at once where everything it reads lies side by side (or is
the same for all): stored tiles, and loads whose box is inside a tensor of unit stride. Everything else stays a scalar loop.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...dtypes import DType
from ...ir import BroadcastTo, Concat, Extract, Gather, Load, Permute, Reshape, Store, Value
from .layout import same_sides
from .state import State

MOST = 16
"""Lanes of a vector in OpenCL C, at most."""

LEAST = 4
"""Lanes below which a short side is not worth a vector."""


def lanes_for(s: State, shape: tuple[int, ...], roots: Iterable[Value], store: Store | None = None) -> int:
    """How many neighbours along the innermost dimension of ``shape`` to compute at once, to write them to ``store`` or to
    storage of this thread."""
    if s.threads > 1 or not shape:
        return 1
    inner = s.layouts.inner(shape)
    direct = store is not None and store not in s.staged
    if store is not None and direct and (store not in s.inside or store.tensor.tensor.strides[inner] != 1):
        return 1
    seen: dict[Value, bool] = {}
    values = tuple(roots)
    for root in values:
        _visit(s, root, seen)
    if not all(seen.values()):
        return 1
    lanes = full_lanes(s, (v.tile.dtype for v in seen))
    while lanes > LEAST and shape[inner] < lanes:
        lanes //= 2
    if lanes < 2 or shape[inner] < lanes:
        return 1
    return lanes if all(divides(s, v, lanes) for v in seen) else 1


def full_lanes(s: State, dtypes: Iterable[DType]) -> int:
    """How many lanes of the widest of ``dtypes`` fill a vector."""
    widest = max((_register_bits(dtype) for dtype in dtypes), default=32)
    return min(8 * s.target.vector_bytes // widest, MOST)


def _register_bits(dtype: DType) -> int:
    """The width of a lane: masks and small floats take 32 bits."""
    return 32 if dtype.is_bool or (dtype.is_float and dtype.bits < 32) else dtype.bits


def _visit(s: State, value: Value, seen: dict[Value, bool]) -> None:
    """Note for ``value`` and what it is computed from whether neighbours can be had at once."""
    if value in seen:
        return
    if not value.tile.shape or value in s.stored:
        seen[value] = True
        return
    op = s.makers[value]
    match op:
        case Gather():
            seen[value] = False
            return
        case Load():
            seen[value] = op in s.inside and op.tensor.tensor.strides[s.layouts.inner(value.tile.shape)] in (0, 1)
            return
        case BroadcastTo() if op.x.tile.shape[s.layouts.inner(value.tile.shape)] == 1:
            seen[value] = True
            return
        case BroadcastTo() | Permute() | Concat() | Extract() | Reshape():
            seen[value] = runs_along(s, op)
        case _:
            seen[value] = True
    for x in op.operands:
        _visit(s, x, seen)


def runs_along(s: State, op: BroadcastTo | Permute | Concat | Extract | Reshape) -> bool:
    """Whether neighbours of the result are neighbours of an operand, or all the same."""
    inner = s.layouts.inner(op.result.tile.shape)
    match op:
        case BroadcastTo():
            return op.x.tile.shape[inner] == 1 or s.layouts.inner(op.x.tile.shape) == inner
        case Extract():
            return s.layouts.inner(op.x.tile.shape) == inner
        case Permute():
            return op.axes[inner] == s.layouts.inner(op.x.tile.shape)
        case Concat():
            return op.axis != inner and all(s.layouts.inner(x.tile.shape) == inner for x in op.xs)
        case Reshape():
            before, after = op.x.tile.shape, op.result.tile.shape
            same = same_sides(after, before)
            if same:
                return same.get(inner) == s.layouts.inner(before)
            return bool(before) and inner == len(after) - 1 and s.layouts.inner(before) == len(before) - 1


def divides(s: State, value: Value, lanes: int) -> bool:
    """Whether a run of ``lanes`` never crosses the end of a row of what ``value`` is a view of."""
    op = s.makers.get(value)
    if value in s.stored or not isinstance(op, Reshape) or same_sides(op.result.tile.shape, op.x.tile.shape):
        return True
    return op.x.tile.shape[-1] % lanes == 0 and op.result.tile.shape[-1] % lanes == 0
