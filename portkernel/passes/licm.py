"""Loop-invariant code: pure operations that do not depend on the loop move in front of it.

Running one that the loop would not have run is harmless, for no pure operation can fail. Loads stay: the loop may write.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir import (
    Arange,
    Block,
    BroadcastTo,
    Effect,
    For,
    Full,
    Func,
    Op,
    Permute,
    Reduce,
    Reshape,
    Scan,
    Value,
    While,
    rebuild,
    walk,
)

_FREE: tuple[type[Op], ...] = (Full, Arange, BroadcastTo, Reshape, Permute)
"""Tiles that cost nothing to make again but registers to keep: they move only for the sake of one that depends on them."""


def hoist(func: Func) -> Func:
    """Inner loops first, so that what leaves one can leave the next."""
    return replace(func, body=_block(func.body))


def _block(block: Block) -> Block:
    ops: list[Op] = []
    for old in block.ops:
        op = old if isinstance(old, (Reduce, Scan)) else rebuild(old, lambda v: v, _block)
        if isinstance(op, (For, While)):
            moved = _invariant(op)
            ops.extend(moved)
            op = rebuild(op, lambda v: v, lambda b, gone=set(moved): _without(b, gone))  # type: ignore[misc]
        ops.append(op)
    return Block(block.params, tuple(ops), block.yields)


def _without(block: Block, gone: set[Op]) -> Block:
    return replace(block, ops=tuple(op for op in block.ops if op not in gone))


def _invariant(loop: For | While) -> list[Op]:
    """The operations to move, in order."""
    inside: set[Value] = set()
    for region in loop.regions:
        inside.update(region.params)
        for op in walk(region):
            inside.update(op.results)
            for inner in op.regions:
                inside.update(inner.params)
    found: list[Op] = []
    for region in loop.regions:
        for op in region.ops:
            if op.effect is Effect.PURE and not op.regions and not any(v in inside for v in op.operands):
                found.append(op)
                inside.difference_update(op.results)
    wanted: set[Value] = set()
    moved: list[Op] = []
    for op in reversed(found):
        free = isinstance(op, _FREE) and op.result.tile.shape != ()
        if not free or any(r in wanted for r in op.results):
            moved.append(op)
            wanted.update(op.operands)
    return moved[::-1]
