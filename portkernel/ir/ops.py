"""The tile vocabulary: what a kernel is, before any decision about threads or memory.

``docs/ir.md`` gives the meaning of each operation in one line; the NumPy backend is its definition.
Shapes are static. Integer indices are scalars (tiles of shape ``()``) or tiles of an integer dtype.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..dtypes import Scalar
from .core import Block, Effect, Op, Value, attr, operand, region


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Const(Op):
    """A scalar constant: a Python bool, int or float, already in the range of the result's dtype."""

    value: Scalar = attr()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProgramId(Op):
    """int32: which program of the grid this is, along ``axis`` (0, 1 or 2)."""

    axis: int = attr()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class NumPrograms(Op):
    """int32: the size of the grid along ``axis``."""

    axis: int = attr()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Dim(Op):
    """int64: the size of ``tensor`` along ``axis``."""

    tensor: Value = operand()
    axis: int = attr()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Stride(Op):
    """int64: the stride of ``tensor`` along ``axis``, in elements; may be negative or zero."""

    tensor: Value = operand()
    axis: int = attr()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Full(Op):
    """A tile with ``value`` (a scalar of the same dtype) in every element."""

    value: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Arange(Op):
    """int32, rank 1: ``start, start + 1, …``."""

    start: int = attr()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Load(Op):
    """The box of ``tensor`` that begins at ``offsets`` (integer scalars, in elements, one per dimension).

    Elements outside the tensor, on either side, are ``pad`` (a scalar of the tensor's dtype).
    """

    effect: ClassVar[Effect] = Effect.READ
    tensor: Value = operand()
    offsets: tuple[Value, ...] = operand()
    pad: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Store(Op):
    """Writes ``value`` (of the tensor's rank and dtype) to the box that begins at ``offsets``; drops what lies outside."""

    effect: ClassVar[Effect] = Effect.WRITE
    tensor: Value = operand()
    offsets: tuple[Value, ...] = operand()
    value: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Gather(Op):
    """``tensor[indices]`` element by element; ``indices`` have the result's shape, one per dimension.

    Where ``mask`` (bool, same shape) is false or an index lies outside the tensor, the result is ``pad``.
    """

    effect: ClassVar[Effect] = Effect.READ
    tensor: Value = operand()
    indices: tuple[Value, ...] = operand()
    mask: Value | None = operand()
    pad: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Scatter(Op):
    """``tensor[indices] = value`` element by element, dropping what ``mask`` excludes and what lies outside.

    Where two elements of one tile, or two programs, name the same place, which one stays is unspecified.
    """

    effect: ClassVar[Effect] = Effect.WRITE
    tensor: Value = operand()
    indices: tuple[Value, ...] = operand()
    mask: Value | None = operand()
    value: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AtomicRMW(Op):
    """``old = tensor[i]; tensor[i] = fn(old, value)``, atomic for each element; the result is ``old``.

    ``fn`` is add, max, min, and, or, xor or xchg. Excluded and outside elements are untouched and give 0.
    """

    effect: ClassVar[Effect] = Effect.WRITE
    fn: str = attr()
    tensor: Value = operand()
    indices: tuple[Value, ...] = operand()
    mask: Value | None = operand()
    value: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AtomicCAS(Op):
    """``old = tensor[i]; if old == expected: tensor[i] = value``, atomic for each element; the result is ``old``."""

    effect: ClassVar[Effect] = Effect.WRITE
    tensor: Value = operand()
    indices: tuple[Value, ...] = operand()
    mask: Value | None = operand()
    expected: Value = operand()
    value: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Unary(Op):
    """``fn`` of every element; ``lang.functions`` is the table of functions."""

    fn: str = attr()
    x: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Binary(Op):
    """``fn`` of every pair of elements; both operands have the same shape and dtype. Comparisons give bool."""

    fn: str = attr()
    x: Value = operand()
    y: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Select(Op):
    """``x`` where ``cond`` (bool, same shape), else ``y``."""

    cond: Value = operand()
    x: Value = operand()
    y: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Cast(Op):
    """Conversion to the result's dtype: rounds to nearest even; float to integer truncates and saturates, NaN gives 0."""

    x: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Bitcast(Op):
    """The same bits read as another dtype of the same width."""

    x: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reshape(Op):
    """The same elements in row-major order under another shape of the same size."""

    x: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Permute(Op):
    """Dimension ``i`` of the result is dimension ``axes[i]`` of ``x``."""

    axes: tuple[int, ...] = attr()
    x: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BroadcastTo(Op):
    """Repeats dimensions of size 1; ``x`` has the result's rank."""

    x: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Concat(Op):
    """The operands one after the other along ``axis``."""

    axis: int = attr()
    xs: tuple[Value, ...] = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Extract(Op):
    """The sub-tile of the result's shape that begins at ``offsets`` (static, in elements)."""

    offsets: tuple[int, ...] = attr()
    x: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reduce(Op):
    """Folds ``xs`` along ``axis``, which disappears from the shape.

    ``fn`` is sum, prod, max, min (NaN propagates), and, or, xor; or ``combine``: then ``body`` takes the accumulators
    and the next elements, ``(a0, …, b0, …)`` as scalars, and yields the new accumulators. A combine function is
    taken to be associative, not commutative: elements keep their order.
    """

    fn: str = attr()
    axis: int = attr()
    xs: tuple[Value, ...] = operand()
    body: Block | None = region()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ArgReduce(Op):
    """int32: where the ``argmax`` or ``argmin`` along ``axis`` stands: the first of equals, the first NaN before all."""

    fn: str = attr()
    axis: int = attr()
    x: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Scan(Op):
    """Inclusive running fold along ``axis``; ``fn`` and ``body`` as in :class:`Reduce`; ``reverse`` runs from the end.

    With ``reverse`` the combine function takes the later elements as its accumulators.
    """

    fn: str = attr()
    axis: int = attr()
    reverse: bool = attr()
    xs: tuple[Value, ...] = operand()
    body: Block | None = region()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Dot(Op):
    """``acc + a @ b`` over the last two dimensions (rank 2, or 3 with a batch in front), accumulated in acc's dtype.

    ``a`` and ``b`` share a dtype. ``precision`` is ``ieee`` or ``tf32``: the latter rounds float32 operands to 10
    fraction bits first, to nearest, ties away from zero.
    """

    precision: str = attr()
    a: Value = operand()
    b: Value = operand()
    acc: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class For(Op):
    """``for i in range(start, stop, step)``. ``body`` takes ``(i, *carried)`` and yields the new carried values.

    Bounds are integer scalars of one dtype; ``step`` is not 0. The yields are a *parallel* assignment.
    """

    effect: ClassVar[Effect] = Effect.WRITE
    start: Value = operand()
    stop: Value = operand()
    step: Value = operand()
    inits: tuple[Value, ...] = operand()
    body: Block = region()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class While(Op):
    """``cond`` takes the carried values and yields one bool scalar; ``body`` takes them and yields the new ones."""

    effect: ClassVar[Effect] = Effect.WRITE
    inits: tuple[Value, ...] = operand()
    cond: Block = region()
    body: Block = region()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class If(Op):
    """``cond`` is a bool scalar; the branches take nothing and yield the results."""

    effect: ClassVar[Effect] = Effect.WRITE
    cond: Value = operand()
    then: Block = region()
    orelse: Block = region()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Assert(Op):
    """Reports ``message`` with the location if any element of ``cond`` (bool) is false."""

    effect: ClassVar[Effect] = Effect.WRITE
    message: str = attr()
    cond: Value = operand()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Print(Op):
    """Prints ``prefix`` and the values, one line for each element of the first value."""

    effect: ClassVar[Effect] = Effect.WRITE
    prefix: str = attr()
    xs: tuple[Value, ...] = operand()


TILE_OPS: tuple[type[Op], ...] = (
    Const, ProgramId, NumPrograms, Dim, Stride, Full, Arange, Load, Store, Gather, Scatter, AtomicRMW, AtomicCAS,
    Unary, Binary, Select, Cast, Bitcast, Reshape, Permute, BroadcastTo, Concat, Extract, Reduce, ArgReduce, Scan, Dot,
    For, While, If, Assert, Print,
)  # fmt: skip
