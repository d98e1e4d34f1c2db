"""Which stores of the CPU schedule go past the caches.

A core reads the line that it writes a part of, unless it is told that the whole line will be written. For a result too
large to stay in a cache that is a third to a half of the traffic: 16 MiB of softmax take 0.65 of the time.
"""

from __future__ import annotations

from ...dtypes import bool_
from ...ir import Dot, Store, walk
from ...ir.core import Effect
from .build import Index
from .lower_memory import size_of
from .plan import tensors_touched
from .state import State

LARGE = 16 << 20
"""Bytes of a result from which on it is not worth a place in the caches: half of the last level of a usual machine."""
RUN = 512
"""Bytes of neighbours in a tile from which on nearly every line is written whole."""


def choose_streams(s: State) -> None:
    """Note in ``s.streams`` for each tensor that is large, written by one store in long rows and not read here, whether it is
    as large as that. To be called before anything else is lowered. A product's result is small beside its work, and often
    the next one's operand."""
    if s.threads > 1 or s.target.schedule != "cpu":
        return
    ops = list(walk(s.func.body))
    if any(isinstance(op, Dot) for op in ops):
        return
    read = tensors_touched(s.func.body.ops, Effect.READ)
    for tensor in s.func.tensors:
        writers = [op for op in ops if op.effect is Effect.WRITE and tensor in op.operands]
        match writers:
            case [Store() as op] if tensor not in read and _in_long_rows(s, op):
                size: Index = tensor.tensor.dtype.itemsize
                for axis in range(tensor.tensor.rank):
                    size = s.b.mul(size, size_of(s, tensor, axis))
                large = s.b.at_least(size, LARGE)
                if large is not False:
                    s.streams[tensor] = s.b.const(True, bool_) if large is True else large
            case _:
                continue


def _in_long_rows(s: State, op: Store) -> bool:
    tile = op.value.tile
    if not tile.shape:
        return False
    inner = s.layouts.inner(tile.shape)
    return op.tensor.tensor.strides[inner] == 1 and tile.shape[inner] * op.tensor.tensor.dtype.itemsize >= RUN
