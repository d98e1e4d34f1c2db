"""The SIMT vocabulary: what one thread does. The C-family emitters print it, one dialect each.

Elementwise operations, constants and structured control flow are the classes of :mod:`.ops` with operands of type
:class:`Vec` in place of tiles: ``Const``, ``Unary``, ``Binary``, ``Select``, ``Cast``, ``Bitcast``, ``While``, ``If``,
``ProgramId``, ``NumPrograms``, ``Dim``, ``Stride``, ``Assert`` and ``Print`` (of one-lane values). What stands here is the
rest. A ``Vec`` names the *logical* dtype: how a register holds a bfloat16 is the emitter's business.

Every thread of a group runs the same function on the same program. Control flow around a :class:`Barrier` is uniform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .core import Block, Effect, Op, Value, attr, operand, region
from .types import Pointer, Space, Vec

__all__ = [
    "SIMT_OPS", "Alloc", "AtomicCasElem", "AtomicElem", "Barrier", "Base", "Interleave", "Iota", "Lane", "Loop", "Mad", "Pack", "Pointer",
    "ReadElem", "SimtFunc", "Space", "Splat", "ThreadId", "Vec", "WriteElem",
]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ThreadId(Op):
    """int32: the linear index of the thread in its group, 0 to ``Source.threads - 1``."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Base(Op):
    """The address of element (0, …, 0) of a tensor parameter: a global Pointer."""

    tensor: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Alloc(Op):
    """``size`` uninitialised elements in local or private memory, 64-byte aligned. Only at the top of the function body."""

    effect: ClassVar[Effect] = Effect.WRITE
    size: int = attr()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReadElem(Op):
    """``pointer[index : index + lanes]``. ``index`` is a scalar int32 or int64, in elements; no alignment is promised
    beyond the element's own unless ``aligned``."""

    effect: ClassVar[Effect] = Effect.READ
    pointer: Value = operand()
    index: Value = operand()
    aligned: bool = attr()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WriteElem(Op):
    """``pointer[index : index + lanes] = value``; past the caches where ``streamed`` (a bool) is true."""

    effect: ClassVar[Effect] = Effect.WRITE
    pointer: Value = operand()
    index: Value = operand()
    value: Value = operand()
    streamed: Value | None = operand()
    aligned: bool = attr()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Splat(Op):
    """A scalar in every lane."""

    x: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Iota(Op):
    """``0, 1, …, lanes - 1`` in the result's integer dtype."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Lane(Op):
    """Lane ``index`` (static) of a vector, as a scalar."""

    index: int = attr()
    x: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Pack(Op):
    """A vector from scalars, one per lane."""

    xs: tuple[Value, ...] = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Interleave(Op):
    """The lanes of the lower halves of ``x`` and ``y`` in turn, or with ``high`` of the upper halves."""

    high: bool = attr()
    x: Value = operand()
    y: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Mad(Op):
    """``x * y + z`` with one rounding or two, whichever is faster: only inside a dot product, whose bound allows both."""

    x: Value = operand()
    y: Value = operand()
    z: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Loop(Op):
    """``for (i = start; i < stop; i += step)`` with carried values, as ``For``; ``step`` is a positive constant.

    ``unroll``: 1 leaves the loop alone, 0 asks for complete unrolling, n for a factor.
    """

    effect: ClassVar[Effect] = Effect.WRITE
    step: int = attr()
    unroll: int = attr()
    start: Value = operand()
    stop: Value = operand()
    inits: tuple[Value, ...] = operand()
    body: Block = region()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Barrier(Op):
    """Every thread of the group waits; writes to local (and global) memory before it are visible after it."""

    effect: ClassVar[Effect] = Effect.WRITE


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AtomicElem(Op):
    """Atomic ``fn`` on ``pointer[index]`` (see ``AtomicRMW``); the result is the value before. Relaxed, device scope."""

    effect: ClassVar[Effect] = Effect.WRITE
    fn: str = attr()
    pointer: Value = operand()
    index: Value = operand()
    value: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AtomicCasElem(Op):
    """Atomic compare-and-swap on ``pointer[index]``; the result is the value before."""

    effect: ClassVar[Effect] = Effect.WRITE
    pointer: Value = operand()
    index: Value = operand()
    expected: Value = operand()
    value: Value = operand()


SIMT_OPS: tuple[type[Op], ...] = (
    ThreadId, Base, Alloc, ReadElem, WriteElem, Splat, Iota, Lane, Pack, Interleave, Mad, Loop, Barrier, AtomicElem, AtomicCasElem,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class SimtFunc:
    """A kernel for one thread: the parameters of the tile function, and how many threads a group has."""

    name: str
    params: tuple[Value, ...]
    body: Block
    threads: int
    local_bytes: int
