"""Which loops of the CPU schedule run over vectors.

A loop along the last dimension takes ``lanes`` neighbours at once where everything it reads lies side by side (or is the
same for all): stored tiles, and loads whose box is inside a tensor of unit stride. Everything else stays a scalar loop.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...ir import BroadcastTo, Concat, Gather, Load, Permute, Reshape, Store, Value
from .state import State


def lanes_for(s: State, shape: tuple[int, ...], roots: Iterable[Value], store: Store | None = None) -> int:
    """How many neighbours along the last dimension of ``shape`` to compute at once, to write them to ``store`` or to
    storage of this thread."""
    if s.threads > 1 or not shape:
        return 1
    if store is not None and (store not in s.inside or store.tensor.tensor.strides[-1] != 1):
        return 1
    values = tuple(roots)
    widths = {v.tile.dtype.bits for v in values if not v.tile.dtype.is_bool}
    if len(widths) > 1 or not widths <= {32, 64}:
        return 1
    width = next(iter(widths), 32)
    lanes = min(8 * s.target.vector_bytes // width, 8)
    if lanes < 2 or shape[-1] < lanes:
        return 1
    seen: set[Value] = set()
    return lanes if all(_side_by_side(s, root, lanes, width, seen) for root in values) else 1


def _side_by_side(s: State, value: Value, lanes: int, width: int, seen: set[Value]) -> bool:
    """Whether ``lanes`` neighbours of ``value`` can be computed in registers of elements of ``width`` bits."""
    tile = value.tile
    if value in seen:
        return True
    seen.add(value)
    if not tile.dtype.is_bool and tile.dtype.bits != width:
        return False
    if not tile.shape:
        return True
    if value in s.stored:
        return not tile.dtype.is_bool
    op = s.makers[value]
    match op:
        case Gather():
            return False
        case Load():
            known = op.tensor.tensor.strides[-1]
            return op in s.inside and known in (0, 1) and not tile.dtype.is_bool
        case BroadcastTo() if op.x.tile.shape[-1] == 1 and tile.shape[-1] > 1:
            return op.x.tile.dtype.is_bool or op.x.tile.dtype.bits == width
        case Permute() if op.axes[-1] != len(op.axes) - 1:
            return False
        case Concat() if op.axis == len(tile.shape) - 1:
            return False
        case Reshape():
            before = op.x.tile.shape
            if not before or before[-1] % lanes or tile.shape[-1] % lanes:
                return False
        case _:
            pass
    return all(_side_by_side(s, x, lanes, width, seen) for x in op.operands)
