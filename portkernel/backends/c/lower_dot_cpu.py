"""Dot products on one thread: packed panels and a register-blocked micro-kernel of vectors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from ...dtypes import float32, int32
from ...ir import Dot, Value
from ...ir.simt import Mad, Vec, WholeNumber
from .build import Index, Values
from .lower_edge import guarded
from .lower_memory import unit_axis
from .lower_transpose import across, transposed
from .lower_vector import lanes_for
from .state import State, Storage

Operand = Callable[[tuple[Index, ...], int], Value]


def panel(s: State, dtype_bytes: int, height: int, width: int) -> tuple[int, int, int]:
    """Rows, vectors and lanes of the block of accumulators that stays in registers.

    16 registers hold 6 × 2 accumulators, two vectors of the right operand and one splat of the left, or 4 × 3, three and
    one: in float64 the wider panel pays, as the left operand comes from the second-level cache once for each panel. Of 32
    registers 8 × 2 accumulators were the fastest on the CPUs tried (docs/benchmarks.md).
    """
    width_bytes = s.target.dot_vector_bytes or s.target.vector_bytes
    most = 8 if width_bytes >= 64 else 6
    lanes = max(1, min(width_bytes // dtype_bytes, 16))
    while lanes > 4 and width <= lanes // 2:
        lanes //= 2
    vectors = 2 if width > lanes else 1
    if most == 6 and dtype_bytes == 8 and width > 2 * lanes:
        most, vectors = 4, 3
    rows = min(range(1, most + 1), key=lambda r: (-(-height // r) * (r * vectors + vectors + 1), -r))
    return rows, vectors, lanes


def counts_in_float(op: Dot) -> bool:
    """Whether float32 adds up the integer products of a tile exactly: sums stay within 24 bits. The micro-kernel is then
    that of float32, and its sums are added to int32 at the end."""
    if not (op.result.tile.dtype == int32 and op.a.tile.dtype.is_integer and op.b.tile.dtype.is_integer):
        return False
    largest = [max(abs(int(v.tile.dtype.min)), int(v.tile.dtype.max)) for v in (op.a, op.b)]
    return largest[0] * largest[1] * op.a.tile.shape[-1] <= 1 << 24


def dot_on_one_thread(s: State, op: Dot, target: Storage, right: Operand, left: Storage) -> None:
    """Add the products to ``target``. ``right`` is packed here in panels of columns, the last as narrow as vectors allow."""
    b = s.b
    shape = target.shape
    height, width, depth = shape[-2], shape[-1], op.a.tile.shape[-1]
    rows, vectors, lanes = panel(s, target.dtype.itemsize, height, width)
    columns = vectors * lanes
    whole, rest = divmod(width, columns)
    tail = -(-rest // lanes) * lanes
    size = (whole * columns + tail) * depth
    dtype = float32 if counts_in_float(op) else op.result.tile.dtype
    packed = s.buffer(size, dtype, "the packed right operand", op.loc)

    def batch(n: Index, _: Values) -> Values:
        lead: tuple[Index, ...] = (n,) if len(shape) == 3 else ()

        def pack() -> None:
            flat = s.layouts.inner(op.b.tile.shape) == len(shape) - 1
            together = min(lanes, lanes_for(s, op.b.tile.shape, [op.b])) if flat else 1
            downward = together == 1 and unit_axis(s, op.b) == len(shape) - 2
            with across(s, op.b) if downward else nullcontext(1) as square:
                packing = _Packing(s, packed, right, lead, depth, columns, together, downward, square)
                packing.full(whole)
                if rest:
                    packing.last(whole, rest, tail)

        guarded(s, [op.b], op.b.tile.size, pack)
        kernel = _Kernel(s, op, target, left, packed, lead, rows, columns, lanes)

        def sweep(p: Index, _: Values) -> Values:
            kernel.column(p, vectors)
            return ()

        b.loop(whole, sweep)
        if rest:
            kernel.column(whole, tail // lanes)
        return ()

    b.loop(shape[0] if len(shape) == 3 else 1, batch)


class _Packing:
    """``packed[panel][k][column]``, the last panel as narrow as whole vectors allow. ``downward``: neighbours in memory
    differ in k; then so many columns as fit ``square``, the lanes of a vector along k, are read and turned together."""

    def __init__(
        self, s: State, packed: Value, right: Operand, lead: tuple[Index, ...], depth: int, columns: int, lanes: int,
        downward: bool, square: int,
    ) -> None:  # fmt: skip
        self.s = s
        self.packed, self.right, self.lead = packed, right, lead
        self.depth, self.columns, self.lanes, self.downward = depth, columns, lanes, downward
        self.square = square

    def full(self, whole: int) -> None:
        """``whole`` panels; with vectors, in the order of memory."""
        b = self.s.b

        def chunks(k: Index, _: Values) -> Values:
            def panel_of(p: Index, _: Values) -> Values:
                for c in range(0, self.columns, self.lanes):
                    self._put(p, k, c, self.lanes, self.columns)
                return ()

            b.loop(whole, panel_of)
            return ()

        def ones(p: Index, _: Values) -> Values:
            done = self._squares(p, self.columns, self.columns)
            self._ones(p, done, self.columns, self.columns)
            return ()

        if self.lanes > 1:
            b.loop(self.depth, chunks)
        else:
            b.loop(whole, ones)

    def last(self, panel: int, count: int, width: int) -> None:
        """``count`` columns of a panel of ``width``; the others are zero."""
        b = self.s.b
        together = count // self.lanes * self.lanes if self.lanes > 1 else self._squares(panel, count, width)
        kind = self.packed.pointer.dtype

        def vectors(k: Index, _: Values) -> Values:
            for c in range(0, together, self.lanes):
                self._put(panel, k, c, self.lanes, width)
            return ()

        def zeros(k: Index, _: Values) -> Values:
            def zero(c: Index, _: Values) -> Values:
                b.write(self.packed, self._place(panel, k, c, width), b.const(0.0 if kind.is_float else 0, kind))
                return ()

            return b.loop(width, zero, start=count)

        if self.lanes > 1:
            b.loop(self.depth, vectors)
        if together < count:
            self._ones(panel, together, count, width)
        if count < width:
            b.loop(self.depth, zeros)

    def _squares(self, p: Index, count: int, width: int) -> int:
        """As many of the first ``count`` columns of panel ``p`` as make up squares; how many these are."""
        b, n = self.s.b, self.square
        if n == 1:
            return 0
        columns, depth = count // n * n, self.depth // n * n

        def strip(c: Index, _: Values) -> Values:
            def square(k: Index, _: Values) -> Values:
                rows = tuple(self._read(p, k, b.add(c, i), n) for i in range(n))
                for i, row in enumerate(transposed(b, rows)):
                    b.write(self.packed, self._place(p, b.add(k, i), c, width), row)
                return ()

            def rest(k: Index, _: Values) -> Values:
                for i in range(n):
                    self._put(p, k, b.add(c, i), 1, width)
                return ()

            b.loop(depth, square, step=n)
            b.loop(self.depth, rest, start=depth)
            return ()

        b.loop(columns, strip, step=n)
        return columns

    def _ones(self, p: Index, start: int, stop: int, width: int) -> None:
        """Columns of panel ``p``, one element after the other in the order of memory."""
        b = self.s.b

        def one(k: Index, c: Index) -> Values:
            self._put(p, k, c, 1, width)
            return ()

        if self.downward:
            b.loop(stop, lambda c, _: b.loop(self.depth, lambda k, _: one(k, c)), start=start)
        else:
            b.loop(self.depth, lambda k, _: b.loop(stop, lambda c, _: one(k, c), start=start))

    def _place(self, p: Index, k: Index, c: Index, width: int) -> Index:
        b = self.s.b
        return b.add(b.add(b.mul(p, self.depth * self.columns), b.mul(k, width)), c)

    def _put(self, p: Index, k: Index, c: Index, n: int, width: int) -> None:
        self.s.b.write(self.packed, self._place(p, k, c, width), self._read(p, k, c, n))

    def _read(self, p: Index, k: Index, c: Index, n: int) -> Value:
        """``n`` elements, converted, that begin at depth ``k`` and column ``c``."""
        b = self.s.b
        found = self.right((*self.lead, k, b.add(b.mul(p, self.columns), c)), n)
        return b.cast(found, self.packed.pointer.dtype)


class _Kernel:
    """The micro-kernel over one panel of columns."""

    def __init__(
        self, s: State, op: Dot, target: Storage, left: Storage, packed: Value, lead: tuple[Index, ...],
        rows: int, columns: int, lanes: int,
    ) -> None:  # fmt: skip
        self.s = s
        self.depth = op.a.tile.shape[-1]
        self.target, self.left, self.packed, self.lead = target, left, packed, lead
        self.rows, self.columns, self.lanes = rows, columns, lanes

    def column(self, p: Index, vectors: int) -> None:
        """All rows of panel ``p``, which is ``vectors`` wide: blocks of ``rows``, then what is left."""
        b = self.s.b
        height = self.target.shape[-2]

        def block(i: Index, _: Values) -> Values:
            self.block(p, b.mul(i, self.rows), self.rows, vectors)
            return ()

        b.loop(height // self.rows, block)
        if height % self.rows:
            self.block(p, height - height % self.rows, height % self.rows, vectors)

    def block(self, p: Index, row: Index, rows: int, vectors: int) -> None:
        b = self.s.b
        kind = Vec(self.packed.pointer.dtype, self.lanes)
        first = b.mul(p, self.columns)
        cells = [(r, v) for r in range(rows) for v in range(vectors)]
        places = [self.target.place(b, (*self.lead, b.add(row, r), b.add(first, v * self.lanes)), 0) for r, v in cells]
        panel_start = b.mul(p, self.depth * self.columns)

        def step(k: Index, acc: Values) -> Values:
            here = b.add(panel_start, b.mul(k, vectors * self.lanes))
            ys = [b.read(self.packed, b.add(here, v * self.lanes), self.lanes, True) for v in range(vectors)]
            found: list[Value] = []
            for r in range(rows):
                x = b.read(self.left.pointer, self.left.place(b, (*self.lead, b.add(row, r), k), 0))
                x = b.splat(b.cast(x, kind.dtype), self.lanes)
                for v in range(vectors):
                    old = acc[r * vectors + v]
                    if kind.dtype.is_float:
                        found.append(b.pure(Mad, kind, x=x, y=ys[v], z=old))
                    else:
                        found.append(b.binary("add", b.binary("mul", x, ys[v]), old))
            return tuple(found)

        def before(place: Index) -> Value:
            return b.read(self.target.pointer, place, self.lanes)

        if kind.dtype == self.target.dtype:
            found = b.loop(self.depth, step, inits=tuple(map(before, places)), unroll=4)
        else:
            zeros = (b.splat(b.const(0.0, kind.dtype), self.lanes),) * len(places)
            sums = b.loop(self.depth, step, inits=zeros, unroll=4)
            found = tuple(
                b.binary("add", before(place), b.pure(WholeNumber, Vec(self.target.dtype, self.lanes), x=total))
                for place, total in zip(places, sums, strict=True)
            )
        for place, value in zip(places, found, strict=True):
            b.write(self.target.pointer, place, value)
