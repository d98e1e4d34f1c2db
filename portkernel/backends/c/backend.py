"""The backends of the C family: lower to SIMT IR, then print it in a dialect."""

from __future__ import annotations

from typing import ClassVar

from ...dtypes import DType
from ...ir import TILE_OPS
from ...ir import ops as o
from ...ir import simt as s
from ...ir.core import Func, Op
from ...ir.types import Tensor, Tile
from ...targets import Target
from ..base import Param, Source, Support
from . import handlers
from .dialect import Dialect
from .emit import HANDLERS, emit_text
from .spell import SMALL

assert handlers.__name__  # fills HANDLERS

_MEMORY: tuple[type[Op], ...] = (
    o.Const, o.Load, o.Store, o.Gather, o.Scatter, o.Full, o.Cast, o.Bitcast, o.Reshape, o.Permute, o.BroadcastTo, o.Concat,
    o.Extract, o.Select, s.ReadElem, s.WriteElem, s.Alloc, s.Base, s.Splat, s.Pack, s.Lane, s.Loop, o.If, o.While, o.Dot,
)  # fmt: skip
"""What the storage-only dtypes take part in."""
_ATOMIC: tuple[type[Op], ...] = (o.AtomicRMW, o.AtomicCAS, s.AtomicElem, s.AtomicCasElem)


def params_of(func: Func) -> tuple[Param, ...]:
    """The parameters of the launch."""
    found: list[Param] = []
    for value in func.params:
        assert isinstance(value.type, (Tensor, Tile)), value.type
        found.append(Param(value.hint, value.type))
    return tuple(found)


class CBackend:
    """A backend whose text is C; a subclass names itself and its dialect."""

    name: str
    dialect: ClassVar[Dialect]

    def supports(self, op: type[Op], dtype: DType, target: Target) -> Support:
        """Whether ``op`` on ``dtype`` can be printed for ``target``: from the handlers and the target's dtypes."""
        if op not in HANDLERS and op not in TILE_OPS:  # the lowering knows every tile operation
            return Support("unsupported", f"{self.name} has no {op.__name__}")
        if dtype.name in target.absent:
            return Support("unsupported", f"{target.name} has no {dtype}")
        if op in _ATOMIC and (dtype.bits < 32):
            return Support("unsupported", f"{self.name} has no atomics on {dtype}")
        if op in _ATOMIC and dtype.bits == 64 and not target.has("int64_atomics"):
            return Support("unsupported", f"{target.name} has no 64-bit atomics")
        if dtype.is_storage_only and op not in _MEMORY:
            return Support("unsupported", f"{dtype} has no arithmetic")
        if dtype.name in SMALL:
            return Support("emulated", f"{dtype} is computed in float32 and rounded")
        if dtype.name not in target.native:
            return Support("unsupported", f"{target.name} has no {dtype}")
        return Support("native")

    def emit(self, func: Func, target: Target) -> Source:
        from .lower import lower

        return emit_text(lower(func, target), self.dialect, target, params_of(func))
