"""Which integers cannot be negative, so that a load need not compare its index with 0."""

from __future__ import annotations

from ... import ir
from ...dtypes import int64
from ...ir import Block, Func, Value

_KEEPS = frozenset({"add", "mul", "max", "min", "floordiv", "mod", "shr"})
"""Functions of two numbers that are not negative whose result is none either: in int64, where sizes and indices do not
wrap. (An int32 product may.)"""


def nonnegative(func: Func) -> frozenset[Value]:
    """The scalars of ``func`` that are at least 0 whatever the arguments."""
    found: set[Value] = set()
    _block(func.body, found)
    return frozenset(found)


def _block(block: Block, found: set[Value]) -> None:
    for op in block.ops:
        match op:
            case ir.ProgramId() | ir.NumPrograms() | ir.Dim():
                found.add(op.result)
            case ir.Const() if not isinstance(op.value, float) and op.value >= 0:
                found.add(op.result)
            case ir.Cast() if op.x in found and op.result.tile.dtype == int64:
                found.add(op.result)
            case ir.Binary() if op.fn in _KEEPS and op.result.tile.dtype == int64 and {op.x, op.y} <= found:
                found.add(op.result)
            case ir.For() if {op.start, op.step} <= found:
                found.add(op.body.params[0])
            case _:
                pass
        for inner in op.regions:
            _block(inner, found)
