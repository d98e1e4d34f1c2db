"""How a tile lives: which thread holds which elements, in which order.

The layout is a function of the tile's shape (and of whether that shape is an accumulator of a dot product), so that a
chain of elementwise operations on one shape never moves an element from thread to thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ...ir import Dot, Func, Store, walk
from ...targets import Target
from .build import Index, SimtBuilder, Values

Visit = Callable[[tuple[Index, ...], Index, int], None]
"""Takes the index of an element, the register of the thread that holds it, and how many neighbours come with it."""

UNROLL = 64  # more registers than this stay a loop
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

    def each(self, b: SimtBuilder, visit: Visit, lanes: int = 1) -> None:
        """Visit every element, ``lanes`` at once along the last dimension and the rest one by one."""
        if self.inner % max(len(self.shape), 1) == len(self.shape) - 1 or not self.shape:
            self._dimension(b, (), visit, lanes)
            return
        turned = Rows(last(self.shape, self.inner))
        turned.each(b, lambda index, _, __: self._visit_turned(b, index, visit))

    def _visit_turned(self, b: SimtBuilder, index: tuple[Index, ...], visit: Visit) -> None:
        back = first(index, self.inner)
        visit(back, b.flat(back, self.shape), 1)

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
    """The decision for one function: how many threads, and the layout of each shape."""

    threads: int
    accumulators: frozenset[tuple[int, ...]]

    def of(self, shape: tuple[int, ...]) -> Layout:
        if self.threads == 1:
            return Rows(shape)
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


def choose(func: Func, target: Target) -> Layouts:
    """How ``func`` is laid out on ``target``."""
    accumulators = frozenset(op.result.tile.shape for op in walk(func.body) if isinstance(op, Dot))
    if target.schedule == "cpu":
        return Layouts(1, accumulators)
    sizes = [v.tile.size for op in walk(func.body) if not isinstance(op, Store) for v in op.results]
    largest = max(sizes, default=1)
    wanted = 64
    while wanted < 256 and wanted * 8 < largest:
        wanted *= 2
    floor = max(target.lanes, 1)
    threads = max(min(max(wanted, floor), target.max_threads), 1)
    return Layouts(1 << (threads.bit_length() - 1), accumulators)
