"""The tile IR: types, values, operations, builder, printer, verifier."""

from .builder import Builder, Scope, current, use
from .core import Block, Effect, Func, Op, Value, rebuild, walk
from .ops import (
    TILE_OPS,
    Arange,
    ArgReduce,
    Assert,
    AtomicCAS,
    AtomicRMW,
    Binary,
    Bitcast,
    BroadcastTo,
    Cast,
    Concat,
    Const,
    Dim,
    Dot,
    Extract,
    For,
    Full,
    Gather,
    If,
    Load,
    NumPrograms,
    Permute,
    Print,
    ProgramId,
    Reduce,
    Reshape,
    Scan,
    Scatter,
    Select,
    Store,
    Stride,
    Unary,
    While,
)
from .parser import parse_func
from .printer import print_func
from .types import Tensor, Tile, Type
from .verify import verify

__all__ = [
    "TILE_OPS", "ArgReduce", "Arange", "Assert", "AtomicCAS", "AtomicRMW", "Binary", "Bitcast", "Block", "BroadcastTo",
    "Builder", "Cast", "Concat", "Const", "Dim", "Dot", "Effect", "Extract", "For", "Full", "Func", "Gather", "If", "Load",
    "NumPrograms", "Op", "Permute", "Print", "ProgramId", "Reduce", "Reshape", "Scan", "Scatter", "Scope", "Select", "Store",
    "Stride", "Tensor", "Tile", "Type", "Unary", "Value", "While", "current", "parse_func", "print_func", "rebuild", "use", "verify", "walk",
]  # fmt: skip
