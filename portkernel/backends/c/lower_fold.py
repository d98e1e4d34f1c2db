"""Folds along an axis: reductions, arg-reductions, scans.

A *line* is what is folded to one element. With as many lines as threads, each thread folds whole lines; with fewer, the
threads share a line in parts, and the parts are folded in order through local memory. No shuffles, no lane width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...dtypes import int32
from ...ir import (
    Arange,
    ArgReduce,
    Binary,
    Bitcast,
    Block,
    BroadcastTo,
    Cast,
    Const,
    Dim,
    Extract,
    Full,
    Load,
    Op,
    Permute,
    ProgramId,
    Reduce,
    Reshape,
    Scan,
    Select,
    Unary,
    Value,
)
from ...ir.simt import Iota, Lane, Vec
from ...lang.functions import FOLDS
from .build import Index, Values
from .layout import FEW, Cyclic, same_sides
from .lower_edge import guarded
from .lower_elementwise import element
from .lower_memory import neighbour
from .lower_vector import lanes_for
from .state import State, Storage

AT_ONCE = 8
"""Vectors of accumulators that a fold across lines keeps in registers."""
Place = tuple[Index, ...]
Combine = Callable[[Values, Values], Values]
Inline = Callable[[State, Block, Values], Values]


def _combiner(s: State, op: Reduce | ArgReduce | Scan, inline: Inline) -> Combine:
    """One step of the fold: the accumulators with the next elements."""
    if isinstance(op, ArgReduce):
        return lambda acc, new: _better(s, op, acc, new)
    body = op.body
    if body is not None:
        return lambda acc, new: inline(s, body, (*acc, *new))
    fn = FOLDS[op.fn]
    return lambda acc, new: (s.b.binary(fn, acc[0], new[0]),)


def _better(s: State, op: ArgReduce, acc: Values, new: Values) -> Values:
    """``(value, index)`` of the better one; the earlier of equals, the first NaN before all."""
    b = s.b
    wins = b.binary("gt" if op.fn == "argmax" else "lt", new[0], acc[0])
    if new[0].vec.dtype.is_float:
        first_nan = b.binary("and", b.binary("ne", new[0], new[0]), b.binary("eq", acc[0], acc[0]))
        wins = b.binary("or", wins, first_nan)
    return b.select(wins, new[0], acc[0]), b.select(wins, new[1], acc[1])


def _first_of(s: State, op: ArgReduce, one: Values, other: Values) -> Values:
    """As :func:`_better` for results of any order: of equals the one that stands first."""
    b = s.b
    wins = b.binary("gt" if op.fn == "argmax" else "lt", other[0], one[0])
    tie = b.binary("eq", other[0], one[0])
    if one[0].vec.dtype.is_float:
        both_nan = b.binary("and", b.binary("ne", other[0], other[0]), b.binary("ne", one[0], one[0]))
        only_nan = b.binary("and", b.binary("ne", other[0], other[0]), b.binary("eq", one[0], one[0]))
        wins, tie = b.binary("or", wins, only_nan), b.binary("or", tie, both_nan)
    wins = b.binary("or", wins, b.binary("and", tie, b.binary("lt", other[1], one[1])))
    return b.select(wins, other[0], one[0]), b.select(wins, other[1], one[1])


def _elements(s: State, op: Reduce | ArgReduce | Scan, line: Place, k: Index, lanes: int = 1) -> Values:
    """The elements at position ``k`` of a line; for an arg-reduction, also the position."""
    index = (*line[: op.axis], k, *line[op.axis :])
    if not isinstance(op, ArgReduce):
        return tuple(element(s, x, index, 0, lanes) for x in op.xs)
    place = s.b.const(k, int32) if isinstance(k, int) else s.b.cast(k, int32)
    return element(s, op.x, index, 0, lanes), s.b.splat(place, lanes)


def _fold(
    s: State, first: Values, start: Index, stop: Index, step: int, at: Callable[[Index], Values], combine: Combine
) -> Values:
    """``first`` combined with the elements at ``range(start, stop, step)``."""
    return s.b.loop(stop, lambda k, acc: combine(acc, at(k)), start=start, step=step, inits=first)


def lower_reduce(s: State, op: Reduce | ArgReduce, inline: Inline) -> None:
    """The results are stored where the plan says; a scalar result is a register of every thread."""
    xs = op.xs if isinstance(op, Reduce) else (op.x,)
    length = xs[0].tile.shape[op.axis]
    kept = op.results[0].tile.shape
    lines = op.results[0].tile.size
    combine = _combiner(s, op, inline)
    if s.threads == 1 or lines >= s.threads:
        _whole_lines(s, op, xs, kept, length, combine)
        return
    parts = max(1, min(length, s.threads // lines))
    chunk = -(-length // parts)
    parts = -(-length // chunk)
    ordered = isinstance(op, ArgReduce) or op.body is not None
    kinds = [x.tile.dtype for x in xs] + ([int32] if isinstance(op, ArgReduce) else [])
    partial = [s.allocate((lines, parts), kind, False, "the partial results of a fold", op.loc) for kind in kinds]

    def part(line: Place, g: Index) -> None:
        if ordered:
            start, step = s.b.mul(g, chunk), 1
            stop: Index = length if parts == 1 else s.b.add(start, chunk)
            if length % chunk and not isinstance(stop, int):
                stop = s.b.select(s.b.binary("lt", stop, s.b.value(length)), stop, s.b.value(length))
        else:
            start, stop, step = g, length, parts
        found = _fold(
            s,
            _elements(s, op, line, start),
            s.b.add(start, step),
            stop,
            step,
            lambda k: _elements(s, op, line, k),
            combine,
        )
        for storage, value in zip(partial, found, strict=True):
            s.b.write(storage.pointer, s.b.add(s.b.mul(s.b.flat(line, kept), parts), g), value)

    for storage in partial:
        s.before_write(storage)
    _share(s, kept, parts, part)
    s.dirty = True
    s.fence()
    _finish(s, op, kept, lambda line, *_: [_fold_parts(s, partial, kept, parts, line, combine)])


def _fold_parts(
    s: State, partial: list[Storage], kept: tuple[int, ...], parts: int, line: Place, combine: Combine
) -> Values:
    corner = s.b.mul(s.b.flat(line, kept), parts)

    def at(g: Index) -> Values:
        return tuple(s.b.read(p.pointer, s.b.add(corner, g)) for p in partial)

    s.dirty = True
    return _fold(s, at(0), 1, parts, 1, at, combine)


def _share(s: State, kept: tuple[int, ...], parts: int, visit: Callable[[Place, Index], None]) -> None:
    """Give every thread its line and its part of the line; threads that are left over do nothing."""
    b = s.b
    if s.threads == 1:
        s.each(kept, lambda line, _, __: visit(line, 0))
        return
    if parts == 1:
        Cyclic(kept, s.threads).each(b, lambda line, _, __: visit(line, 0))
        return
    lines = 1
    for n in kept:
        lines *= n

    def mine() -> Values:
        visit(b.unflat(b.div(b.thread(), parts), kept), b.mod(b.thread(), parts))
        return ()

    b.branch(True if lines * parts == s.threads else b.less(b.thread(), lines * parts), mine)


def _whole_lines(
    s: State,
    op: Reduce | ArgReduce,
    xs: tuple[Value, ...],
    kept: tuple[int, ...],
    length: int,
    combine: Combine,
) -> None:
    shape = xs[0].tile.shape
    inner = s.layouts.inner(shape)
    simple = isinstance(op, ArgReduce) or op.body is None

    def lines_of(line: Place, lanes: int, ways: int) -> list[Values]:
        if simple and lanes == 1 and op.axis == inner:
            width = lanes_for(s, shape, xs)
            if width > 1 and length >= 2 * width:
                return [_fold_lanes(s, op, line, length, width, combine)]
        beside = [neighbour(s, op.results[0], line, way * lanes) if way else line for way in range(ways)]

        def at(k: Index) -> list[Values]:
            return [_elements(s, op, place, k, lanes) for place in beside]

        def step(k: Index, acc: Values) -> Values:
            return tuple(v for old, new in zip(_parts(acc, ways), at(k), strict=True) for v in combine(old, new))

        found = s.b.loop(length, step, start=1, inits=tuple(v for values in at(0) for v in values))
        return _parts(found, ways)

    across = simple and op.axis != inner and s.layouts.inner(kept) == inner - (inner > op.axis)
    _finish(s, op, kept, lines_of, xs, across)


_ELEMENTWISE = (Unary, Binary, Select, Cast, Bitcast)


def fills_on_the_way(s: State, op: Op, later: Sequence[Op]) -> bool:
    """Whether the first of the ``later`` operations that does anything is a fold that reads each element of ``op``'s result
    once: that fold then stores the tile while it goes over it. For one thread."""
    value = op.results[0]
    if len(op.results) != 1 or value not in s.plan.stored or not isinstance(op, (Load, *_ELEMENTWISE)):
        return False
    for other in later:
        if isinstance(other, (Reduce, ArgReduce)):
            xs = other.xs if isinstance(other, Reduce) else (other.x,)
            plain = isinstance(other, ArgReduce) or other.body is None
            return plain and any(_reaches(s, x, value) for x in xs)
        if not isinstance(other, (Const, Full, *_LAZY, *_ELEMENTWISE)) or other.result in s.plan.stored:
            return False
        if not other.result.tile.shape and value in other.operands:
            return False
    return False


_LAZY = (Reshape, BroadcastTo, Permute, Extract, Arange, Dim, ProgramId)


def _reaches(s: State, x: Value, value: Value) -> bool:
    """Whether each element of ``x`` is computed from the element of ``value`` at the same place."""
    if x is value:
        return True
    op = s.makers.get(x)
    if x in s.stored or op is None:
        return False
    if isinstance(op, Reshape):
        return bool(same_sides(op.x.tile.shape, x.tile.shape)) and _reaches(s, op.x, value)
    return isinstance(op, _ELEMENTWISE) and any(_reaches(s, y, value) for y in op.operands)


def _fold_lanes(s: State, op: Reduce | ArgReduce, line: Place, length: int, lanes: int, combine: Combine) -> Values:
    """A line along the innermost dimension, in several vectors of partial results that are folded into one another at the
    end."""
    b = s.b
    most = 8 if s.target.vector_bytes >= 64 and not isinstance(op, ArgReduce) else 4  # of 32 registers, or of 16
    ways = next((w for w in (8, 4) if w <= most and length >= 2 * w * lanes), 1)
    stride = ways * lanes
    done = length // stride * stride

    def merge(one: Values, other: Values) -> Values:
        return _first_of(s, op, one, other) if isinstance(op, ArgReduce) else combine(one, other)

    def vector(k: Index) -> Values:
        found = _elements(s, op, line, k, lanes)
        if isinstance(op, ArgReduce):
            found = (found[0], b.binary("add", found[1], b.pure(Iota, found[1].vec)))
        return found

    def step(k: Index, acc: Values) -> Values:
        olds = _parts(acc, ways)
        return tuple(v for w in range(ways) for v in combine(olds[w], vector(b.add(k, w * lanes))))

    found = tuple(v for w in range(ways) for v in vector(w * lanes))
    if length <= FEW * lanes:
        for k in range(stride, done, stride):
            found = step(k, found)
    else:
        found = b.loop(done, step, start=stride, step=stride, inits=found)
    partial = _parts(found, ways)
    for start in range(done, length // lanes * lanes, lanes):
        way = (start - done) // lanes
        partial[way] = combine(partial[way], vector(start))
    whole = _halved(partial, merge)
    ones = [tuple(b.pure(Lane, Vec(v.vec.dtype), index=i, x=v) for v in whole) for i in range(lanes)]
    rest = length // lanes * lanes
    return _fold(s, _halved(ones, merge), rest, length, 1, lambda k: _elements(s, op, line, k), combine)


def _parts(values: Values, count: int) -> list[Values]:
    """``values`` in ``count`` equal parts."""
    size = len(values) // count
    return [values[i * size : (i + 1) * size] for i in range(count)]


def _halved(parts: list[Values], merge: Combine) -> Values:
    """All of a power of two of partial results in one, pairwise."""
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [merge(parts[i], parts[i + half]) for i in range(half)]
    return parts[0]


def _finish(
    s: State,
    op: Reduce | ArgReduce,
    kept: tuple[int, ...],
    result: Callable[[Place, int, int], list[Values]],
    roots: tuple[Value, ...] = (),
    across: bool = False,
) -> None:
    """Store ``result(line, lanes, ways)`` for every line; ``across`` allows ``ways`` vectors of neighbouring lines at once."""
    places = range(1, 2) if isinstance(op, ArgReduce) else range(len(op.results))
    storages = []
    for r in op.results:
        own = s.plan.stored[r] if kept else False
        storages.append(s.allocate(kept, r.tile.dtype, own, f"the tile {r.type}", op.loc))

    def visit(line: Place, register: Index, lanes: int, ways: int) -> None:
        for way, found in enumerate(result(line, lanes, ways)):
            at = neighbour(s, op.results[0], line, way * lanes) if way else line
            for k, storage in zip(places, storages, strict=True):
                s.b.write(storage.pointer, storage.place(s.b, at, register), found[k])

    for storage in storages:
        s.before_write(storage)
    size = roots[0].tile.size if roots else 0

    def body() -> None:
        lanes = lanes_for(s, roots[0].tile.shape, roots) if across else 1
        vectors = kept[s.layouts.inner(kept)] // lanes if lanes > 1 else 1
        most = AT_ONCE // len(storages) // (2 if isinstance(op, ArgReduce) else 1)
        ways = next(w for w in (8, 4, 2, 1) if w <= max(most, 1) and vectors % w == 0)
        s.each(
            kept,
            lambda line, register, n: visit(line, register, lanes if n > 1 else 1, ways if n > 1 else 1),
            lanes * ways,
        )

    guarded(s, roots, size, body)
    for r, storage in zip(op.results, storages, strict=True):
        s.after_write(storage)
        if kept:
            s.stored[r] = storage
        else:
            s.dirty = True
            s.scalars[r] = s.b.read(storage.pointer, 0)


@dataclass(frozen=True, slots=True)
class _Scanned:
    """A scan on its way: lines in ``parts`` of ``chunk`` elements, what they become, and the totals of the parts."""

    s: State
    op: Scan
    combine: Combine
    chunk: int
    parts: int
    stored: tuple[Storage, ...]
    totals: tuple[Storage, ...]
    """None where a line has one part."""

    @property
    def length(self) -> int:
        return self.op.xs[0].tile.shape[self.op.axis]

    @property
    def kept(self) -> tuple[int, ...]:
        shape = self.op.xs[0].tile.shape
        return shape[: self.op.axis] + shape[self.op.axis + 1 :]

    def place(self, k: Index) -> Index:
        return self.s.b.sub(self.length - 1, k) if self.op.reverse else k

    def index(self, line: Place, k: Index) -> Place:
        return (*line[: self.op.axis], self.place(k), *line[self.op.axis :])

    def corner(self, line: Place) -> Index:
        """Where the totals of ``line`` begin."""
        return self.s.b.mul(self.s.b.flat(line, self.kept), self.parts)

    def write(self, line: Place, k: Index, values: Values) -> None:
        b, index = self.s.b, self.index(line, k)
        for storage, value in zip(self.stored, values, strict=True):
            b.write(storage.pointer, storage.place(b, index, 0), value)

    def bounds(self, part: Index) -> tuple[Index, Index]:
        b = self.s.b
        start = b.mul(part, self.chunk)
        stop: Index = self.length if self.parts == 1 else b.add(start, self.chunk)
        if self.length % self.chunk and not isinstance(stop, int):
            whole = b.value(self.length)
            stop = b.select(b.binary("lt", stop, whole), stop, whole)
        return start, stop

    def scan_part(self, line: Place, part: Index) -> None:
        """One part by itself, and its total."""
        b = self.s.b
        start, stop = self.bounds(part)
        first = _elements(self.s, self.op, line, self.place(start))
        self.write(line, start, first)

        def step(k: Index, acc: Values) -> Values:
            found = self.combine(acc, _elements(self.s, self.op, line, self.place(k)))
            self.write(line, k, found)
            return found

        last = b.loop(stop, step, start=b.add(start, 1), inits=first)
        if self.totals:
            for storage, value in zip(self.totals, last, strict=True):
                b.write(storage.pointer, b.add(self.corner(line), part), value)

    def add_before(self, line: Place, part: Index) -> None:
        """The totals of the parts before ``part``, combined in front of each of its elements."""
        b = self.s.b

        def total(j: Index) -> Values:
            return tuple(b.read(t.pointer, b.add(self.corner(line), j)) for t in self.totals)

        def later() -> Values:
            before = _fold(self.s, total(0), 1, part, 1, total, self.combine)
            start, stop = self.bounds(part)

            def step(k: Index, _: Values) -> Values:
                index = self.index(line, k)
                old = tuple(b.read(t.pointer, t.place(b, index, 0)) for t in self.stored)
                self.write(line, k, self.combine(before, old))
                return ()

            b.loop(stop, step, start=start)
            return ()

        b.branch(b.less(0, part), later)


def lower_scan(s: State, op: Scan, inline: Inline) -> None:
    """Each part of a line is scanned into the result; then the parts before it are combined in front."""
    shape = op.xs[0].tile.shape
    length = shape[op.axis]
    lines = op.xs[0].tile.size // length
    parts = max(1, min(length, s.threads // lines))
    chunk = -(-length // parts)
    parts = -(-length // chunk)
    stored = [s.allocate(shape, r.tile.dtype, False, f"the tile {r.type}", op.loc) for r in op.results]
    totals: list[Storage] = []
    if parts > 1:
        totals = [s.allocate((lines, parts), x.tile.dtype, False, "the totals of a scan", op.loc) for x in op.xs]
    scanned = _Scanned(s, op, _combiner(s, op, inline), chunk, parts, tuple(stored), tuple(totals))
    for storage in (*stored, *totals):
        s.before_write(storage)
    guarded(s, op.xs, op.xs[0].tile.size, lambda: _share(s, scanned.kept, parts, scanned.scan_part))
    if parts > 1:
        s.dirty = True
        s.fence()
        _share(s, scanned.kept, parts, scanned.add_before)
    for r, storage in zip(op.results, stored, strict=True):
        s.after_write(storage)
        s.stored[r] = storage
