"""How a tile lives: which thread holds which elements, in which order.

The layout is a function of the tile's shape (and of whether that shape is an accumulator of a dot product), so that a
chain of elementwise operations on one shape never moves an element from thread to thread.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ...ir import Block, Dot, For, Func, Load, Store, While, walk
from ...targets import Target
from .build import Index, SimtBuilder, Values

Visit = Callable[[tuple[Index, ...], Index, int], None]
"""Takes the index of an element, the register of the thread that holds it, and how many neighbours come with it."""

UNROLL = 64  # more registers than this stay a loop
FEW = 16
"""A tile of so many vectors is filled with no loop over them: compilers then keep it in registers."""
_TURNS = 16  # how often the body of a loop is taken to run
T = TypeVar("T")


def last(items: tuple[T, ...], axis: int) -> tuple[T, ...]:
    """``items`` with the one at ``axis`` moved to the end."""
    if not items:
        return items
    axis %= len(items)
    return (*items[:axis], *items[axis + 1 :], items[axis])


def first(items: tuple[T, ...], axis: int) -> tuple[T, ...]:
    """The inverse of :func:`last`: the last item moved back to ``axis``."""
    if not items:
        return items
    axis %= len(items)
    return (*items[:axis], items[-1], *items[axis:-1])


@dataclass(frozen=True, slots=True)
class Rows:
    """One thread holds the whole tile, row-major; it visits dimension ``inner`` fastest."""

    shape: tuple[int, ...]
    inner: int = -1

    @property
    def registers(self) -> int:
        return math.prod(self.shape)

    def each(self, b: SimtBuilder, visit: Visit, lanes: int = 1, *, unrolled: bool = False) -> None:
        """Visit every element, ``lanes`` at once along dimension ``inner`` and the rest one by one.

        ``unrolled``: a tile of few vectors with no loop.
        """
        if unrolled and lanes > 1 and math.prod(self.shape) <= FEW * lanes and self.shape[self.inner] % lanes == 0:
            self._one_by_one(b, visit, lanes)
            return
        if self.inner % max(len(self.shape), 1) == len(self.shape) - 1 or not self.shape:
            self._dimension(b, (), visit, lanes)
            return

        def turned(index: tuple[Index, ...], _: Index, count: int) -> None:
            back = first(index, self.inner)
            visit(back, b.flat(back, self.shape), count)

        Rows(last(self.shape, self.inner)).each(b, turned, lanes)

    def _one_by_one(self, b: SimtBuilder, visit: Visit, lanes: int) -> None:
        sides = [range(0, n, lanes if d == self.inner % len(self.shape) else 1) for d, n in enumerate(self.shape)]
        for turned in itertools.product(*last(tuple(sides), self.inner)):
            index = first(turned, self.inner)
            visit(index, b.flat(index, self.shape), lanes)

    def _dimension(self, b: SimtBuilder, index: tuple[Index, ...], visit: Visit, lanes: int) -> None:
        d = len(index)
        if d == len(self.shape):
            visit(index, b.flat(index, self.shape), 1)
            return

        def body(i: Index, _: Values) -> Values:
            self._dimension(b, (*index, i), visit, lanes)
            return ()

        def chunk(i: Index, _: Values) -> Values:
            visit((*index, i), b.flat((*index, i), self.shape), lanes)
            return ()

        done = 0
        if lanes > 1 and d == len(self.shape) - 1:
            done = self.shape[d] // lanes * lanes
            b.loop(done, chunk, step=lanes)
        b.loop(self.shape[d], body, start=done)


@dataclass(frozen=True, slots=True)
class Cyclic:
    """Element ``r * threads + t`` (row-major) is register ``r`` of thread ``t``: neighbours read neighbours.

    With another ``inner`` dimension, elements are counted with that one fastest.
    """

    shape: tuple[int, ...]
    threads: int
    inner: int = -1

    @property
    def registers(self) -> int:
        return -(-math.prod(self.shape) // self.threads)

    def each(self, b: SimtBuilder, visit: Visit) -> None:
        """Visit every element that the thread holds."""
        size = math.prod(self.shape)

        def body(r: Index, _: Values) -> Values:
            element = b.add(b.mul(r, self.threads), b.thread())

            def inside() -> Values:
                visit(first(b.unflat(element, last(self.shape, self.inner)), self.inner), r, 1)
                return ()

            b.branch(True if size % self.threads == 0 else b.less(element, size), inside)
            return ()

        b.loop(self.registers, body, unroll=0 if self.registers <= UNROLL else 1)


@dataclass(frozen=True, slots=True)
class Blocks:
    """The accumulator of a dot product: thread ``(y, x)`` of a grid holds rows ``y + i * ny`` and columns ``x + j * nx``.

    A leading batch dimension is outermost in the registers.
    """

    shape: tuple[int, ...]
    ny: int
    nx: int

    @property
    def rows(self) -> int:
        return -(-self.shape[-2] // self.ny)

    @property
    def cols(self) -> int:
        return -(-self.shape[-1] // self.nx)

    @property
    def batch(self) -> int:
        return self.shape[0] if len(self.shape) == 3 else 1

    @property
    def registers(self) -> int:
        return self.batch * self.rows * self.cols

    def place(self, b: SimtBuilder) -> tuple[Index, Index]:
        """Row and column of the thread in the grid."""
        return b.div(b.thread(), self.nx), b.mod(b.thread(), self.nx)

    def each(self, b: SimtBuilder, visit: Visit) -> None:
        """Visit every element that the thread holds."""
        y, x = self.place(b)
        height, width = self.shape[-2:]

        def body(r: Index, _: Values) -> Values:
            n, rest = b.div(r, self.rows * self.cols), b.mod(r, self.rows * self.cols)
            row = b.add(y, b.mul(b.div(rest, self.cols), self.ny))
            col = b.add(x, b.mul(b.mod(rest, self.cols), self.nx))
            checks = [] if height % self.ny == 0 else [b.less(row, height)]
            checks += [] if width % self.nx == 0 else [b.less(col, width)]

            def inside() -> Values:
                visit((n, row, col) if len(self.shape) == 3 else (row, col), r, 1)
                return ()

            b.branch(b.both(list(checks)), inside)
            return ()

        if self.batch == 1:
            b.loop(self.registers, body, unroll=0 if self.registers <= UNROLL else 1)
        else:
            b.loop(self.registers, body)


Layout = Rows | Cyclic | Blocks


@dataclass(frozen=True, slots=True)
class Layouts:
    """The decision for one function: how many threads, and the layout of each shape.

    ``turned`` holds, by shape without its sides of 1, the dimension along which neighbours lie if that is not the last:
    one thread then stores and visits tiles of that shape so.
    """

    threads: int
    accumulators: frozenset[tuple[int, ...]]
    turned: Mapping[tuple[int, ...], int] = field(default_factory=dict)

    def inner(self, shape: tuple[int, ...]) -> int:
        """The dimension of ``shape`` along which neighbours lie side by side; the last one if it has no long side."""
        long = [d for d, n in enumerate(shape) if n != 1]
        if not long or shape in self.accumulators:
            return len(shape) - 1
        return long[self.turned.get(squeezed(shape), -1)]

    def of(self, shape: tuple[int, ...]) -> Layout:
        if self.threads == 1:
            return Rows(shape, self.inner(shape))
        if shape in self.accumulators:
            return _blocks(shape, self.threads)
        return Cyclic(shape, self.threads)


def _blocks(shape: tuple[int, ...], threads: int) -> Blocks:
    """The grid of threads whose blocks are nearest to square."""
    width = shape[-1]
    best: tuple[float, Blocks] | None = None
    nx = 1
    while nx <= threads:
        blocks = Blocks(shape, threads // nx, nx)
        # each step of k reads rows + cols operands for rows * cols products; idle threads cost whole products
        cost = blocks.rows * blocks.cols * (1.0 + 0.01 * (blocks.rows + blocks.cols)) - 0.001 * min(nx, width)
        if best is None or cost < best[0]:
            best = (cost, blocks)
        nx *= 2
    assert best is not None
    return best[1]


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` without its sides of 1."""
    return tuple(n for n in shape if n != 1)


def same_sides(shape: tuple[int, ...], other: tuple[int, ...]) -> dict[int, int] | None:
    """The dimension of ``other`` for each of ``shape`` that is not 1, if the two differ in sides of 1 alone."""
    if squeezed(shape) != squeezed(other):
        return None
    long, wanted = ([d for d, n in enumerate(s) if n != 1] for s in (shape, other))
    return dict(zip(long, wanted, strict=True))


def _turned(func: Func) -> dict[tuple[int, ...], int]:
    """The shapes that most of their loads and stores see along another dimension than the last.

    Of a product, the right operand stays as it is: packing reads it in the order of memory anyway. The left one may turn:
    its elements are read one by one, and those of one column then come from one place.
    """
    votes: dict[tuple[int, ...], dict[int, int]] = {}
    fixed: set[tuple[int, ...]] = set()

    def visit(block: Block, weight: int) -> None:
        for op in block.ops:
            if isinstance(op, (Load, Store)):
                shape = (op.result if isinstance(op, Load) else op.value).tile.shape
                strides = [s for s, n in zip(op.tensor.tensor.strides, shape, strict=True) if n != 1]
                if 1 in strides:
                    found = votes.setdefault(squeezed(shape), {})
                    axis = len(strides) - 1 - strides[::-1].index(1)
                    found[axis] = found.get(axis, 0) + weight
            elif isinstance(op, Dot):
                fixed.update(squeezed(v.tile.shape) for v in (op.b, op.acc))
            for region in op.regions:
                visit(region, weight * (_TURNS if isinstance(op, (For, While)) else 1))

    visit(func.body, 1)
    best = {shape: max(v, key=lambda axis: (v[axis], axis)) for shape, v in votes.items() if shape not in fixed}
    return {shape: axis for shape, axis in best.items() if axis != len(shape) - 1}


def choose(func: Func, target: Target) -> Layouts:
    """How ``func`` is laid out on ``target``."""
    accumulators = frozenset(op.result.tile.shape for op in walk(func.body) if isinstance(op, Dot))
    if target.schedule == "cpu":
        return Layouts(1, accumulators, _turned(func))
    sizes = [v.tile.size for op in walk(func.body) if not isinstance(op, Store) for v in op.results]
    largest = max(sizes, default=1)
    wanted = 64
    while wanted < 256 and wanted * 8 < largest:
        wanted *= 2
    floor = max(target.lanes, 1)
    threads = max(min(max(wanted, floor), target.max_threads), 1)
    return Layouts(1 << (threads.bit_length() - 1), accumulators)
