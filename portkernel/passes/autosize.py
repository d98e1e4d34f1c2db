"""Block sizes from what the IR says: the answer to ``pk.auto``, in well under a millisecond and with no measurement.

The kernel is lowered once with a distinct probe value for each automatic constant. Wherever that number turns up as the
side of a tile, it tells what the constant is for: a side of a dot product, a folded axis, or a plain axis of a map; and
the array axis that the tile covers gives the extent to divide. The sizes then minimise a small cost: padded work, traffic
that shrinks with larger tiles, and units left idle, under the limits of the target's caches and local memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..dtypes import DType
from ..ir import (
    Arange,
    ArgReduce,
    AtomicCAS,
    AtomicRMW,
    Binary,
    Block,
    Dot,
    For,
    Func,
    Gather,
    Load,
    Op,
    Reduce,
    Scan,
    Scatter,
    Store,
    Tile,
    Unary,
    Value,
    walk,
)
from ..lang import Auto
from ..lang.functions import BINARY, UNARY
from ..targets import Target

Role = Literal["m", "n", "k", "fold", "map"]
Sizes = dict[str, int]

_PRIMES = (31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101)
_LARGE = 4096
"""The extent assumed where the IR does not tell it."""

# Sides that are worth having. Few, so that problems of many shapes share few compiled kernels. On a CPU, rows come in
# sixes or eights (the micro-kernel's), columns in whole vectors.
_CPU_M: tuple[int, ...] = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_CPU_N: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384)
_FAR_M, _FAR_N = (192, 256), (512,)
"""Rows and columns that are only worth it where the matrices come from memory."""
_CPU_K = (8, 16, 32, 64, 128, 192, 256)
_GPU_MN = (16, 32, 64, 128)
_GPU_K = (16, 32)
_GPU_ACCUMULATOR_BYTES = 128 * 128 * 4


@dataclass(slots=True)
class _Fact:
    """What is known of one automatic constant."""

    role: Role = "map"
    extent: int = 0
    contiguous: int = 0
    """How many accesses run along their array's contiguous axis with it."""
    last: int = 0
    """How many accesses have it as their last axis."""
    written: bool = False
    """Whether a store has it."""

    @property
    def size(self) -> int:
        return self.extent or _LARGE


@dataclass(slots=True)
class _Facts:
    names: dict[int, str]
    """Constants by probe value."""
    dims: Mapping[str, tuple[int, ...]]
    known: dict[str, _Fact]
    origin: dict[Value, frozenset[str]] = field(default_factory=dict)
    """The constants whose ``arange`` a value was computed from."""
    carries: bool = False
    """Whether a loop carries a tile with such a side: a fold, if not along a side of the tile."""
    functions: bool = False
    """Whether functions of many steps are computed, such as ``exp``."""
    dot: tuple[DType, DType] | None = None
    """Dtypes of a dot's operands and of its accumulator."""
    others: int = 1
    """Programs for each block of a result, along the axes of which a program stores one element: matrices, parts of a sum."""


def probe_sizes(bounds: Mapping[str, Auto]) -> Sizes:
    """A distinct probe value for each automatic constant: primes, so that no product of sides can be mistaken for one."""
    return dict(zip(bounds, _PRIMES, strict=False))


def choose(
    func: Func,
    probes: Mapping[str, int],
    bounds: Mapping[str, Auto],
    dims: Mapping[str, tuple[int, ...]],
    target: Target,
) -> Sizes:
    """A size for every constant in ``bounds``, within its bounds.

    ``func`` was lowered with ``probes``; ``dims`` are the shapes of the arguments by name. Pure: equal arguments give
    equal sizes.
    """
    facts = _Facts({probes[name]: name for name in bounds}, dims, {name: _Fact() for name in bounds})
    _read(func.body, facts)
    sizes = _dot_sizes(facts, bounds, target) if facts.dot is not None else {}
    rest = {name: fact for name, fact in facts.known.items() if name not in sizes}
    sizes |= _map_sizes(rest, bounds, target, facts)
    return {name: min(max(sizes[name], bound.low), bound.high) for name, bound in bounds.items()}


# --- reading the IR -----------------------------------------------------------------------------------------


def _read(body: Block, facts: _Facts) -> None:
    for op in walk(body):
        if isinstance(op, Arange):
            name = facts.names.get(op.result.tile.shape[0])
            facts.origin[op.result] = frozenset((name,)) if name else frozenset()
        elif isinstance(op, (Load, Store)):
            tile = op.result.tile if isinstance(op, Load) else op.value.tile
            _box(op.tensor, tile, facts)
            if isinstance(op, Store):
                for side in facts.names.keys() & set(tile.shape):
                    facts.known[facts.names[side]].written = True
                facts.others = max(facts.others, _others(op, facts))
        else:
            if isinstance(op, (Gather, Scatter, AtomicRMW, AtomicCAS)):
                _scattered(op.tensor, op.indices, facts)
            _role(op, facts)
            found = frozenset[str]().union(*(facts.origin.get(v, frozenset()) for v in op.operands))
            for result in op.results if found else ():
                facts.origin[result] = found


def _role(op: Op, facts: _Facts) -> None:
    match op:
        case Dot():
            rows, columns, depth = op.acc.tile.shape[-2], op.acc.tile.shape[-1], op.a.tile.shape[-1]
            facts.dot = facts.dot or (op.a.tile.dtype, op.acc.tile.dtype)
            for side, role in ((rows, "m"), (columns, "n"), (depth, "k")):
                if side in facts.names:
                    facts.known[facts.names[side]].role = role  # type: ignore[assignment]  # a literal of the tuple
        case Reduce() | Scan():
            _folded(op.xs[0].tile.shape[op.axis], facts)
        case ArgReduce():
            _folded(op.x.tile.shape[op.axis], facts)
        case Unary() | Binary():
            facts.functions |= (UNARY if isinstance(op, Unary) else BINARY)[op.fn].ulp > 0
        case For():
            facts.carries |= any(side in facts.names for r in op.results for side in r.tile.shape)
        case _:
            pass


def _folded(side: int, facts: _Facts) -> None:
    name = facts.names.get(side)
    if name is not None and facts.known[name].role == "map":
        facts.known[name].role = "fold"


def _box(tensor: Value, tile: Tile, facts: _Facts) -> None:
    """A load or store: each side of the tile covers one axis of the array."""
    shape = facts.dims.get(tensor.hint, ())
    for axis, side in enumerate(tile.shape):
        name = facts.names.get(side)
        if name is None:
            continue
        fact = facts.known[name]
        if axis < len(shape):
            fact.extent = max(fact.extent, shape[axis])
        fact.contiguous += tensor.tensor.strides[axis] == 1 and tile.rank > 1
        fact.last += axis == tile.rank - 1 and tile.rank > 1


def _others(op: Store, facts: _Facts) -> int:
    shape = facts.dims.get(op.tensor.hint, ())
    return math.prod(max(1, n) for n, side in zip(shape, op.value.tile.shape, strict=False) if side == 1)


def _scattered(tensor: Value, indices: tuple[Value, ...], facts: _Facts) -> None:
    """Irregular access: the axes whose index comes from one constant alone are, together, what it runs over."""
    shape = facts.dims.get(tensor.hint, ())
    covered: dict[str, int] = {}
    for axis, index in enumerate(indices):
        origin = facts.origin.get(index, frozenset())
        if len(origin) == 1 and axis < len(shape):
            (name,) = origin
            covered[name] = covered.get(name, 1) * shape[axis]
    for name, extent in covered.items():
        facts.known[name].extent = max(facts.known[name].extent, extent)


# --- dot products -------------------------------------------------------------------------------------------


def _padded(extent: int, side: int) -> int:
    return -(-extent // side) * side


def _idle(programs: int, units: int) -> float:
    """Rounds of all units, by the rounds that full use would take."""
    return -(-programs // units) * units / programs


def _allowed(sides: Iterable[int], bound: Auto | None) -> tuple[int, ...]:
    if bound is None:
        return (1,)
    found = tuple(s for s in sides if bound.low <= s <= bound.high)
    return found or (bound.low,)


def _dot_sizes(facts: _Facts, bounds: Mapping[str, Auto], target: Target) -> Sizes:
    by_role: dict[Role, str] = {f.role: name for name, f in facts.known.items() if f.role in ("m", "n", "k")}
    extent = {role: max(1, facts.known[name].size) for role, name in by_role.items()}
    bound = {role: bounds[name] for role, name in by_role.items()}
    m, n, k = (extent.get(role, 1) for role in ("m", "n", "k"))
    assert facts.dot is not None
    operand, accumulator = facts.dot
    if target.has("whole_grid"):
        picked = tuple(min(_ceil_power(e), _LARGE) for e in (m, n, k))
    elif target.schedule == "cpu":
        picked = _cpu_dot(m, n, k, facts.others, bound, operand.itemsize, accumulator.itemsize, target)
    else:
        picked = _gpu_dot(m, n, k, facts.others, bound, operand.itemsize, accumulator.itemsize, target)
    return {by_role[role]: size for role, size in zip(("m", "n", "k"), picked, strict=True) if role in by_role}


def _cpu_dot(
    m: int, n: int, k: int, others: int, bound: dict[Role, Auto], operand: int, width: int, target: Target
) -> tuple[int, int, int]:
    """Panels and accumulators, of ``width`` bytes each, in two thirds of the second-level cache, which counts as a mebibyte at
    least; and programs enough to even out: 96 × 384 × 256 in float32. Matrices that come from memory are read the less
    often, the larger the blocks are, which then take four thirds and pass through the cache: 256 × 512 × 256."""
    room = max(target.l2_bytes, _LEAST_L2) * 2 // 3
    all_rows, all_columns = _CPU_M, _CPU_N
    if others * ((m * k + k * n) * operand + m * n * width) > _FAR:
        room, all_rows, all_columns = 2 * room, all_rows + _FAR_M, all_columns + _FAR_N
    best: tuple[float, int, int, int] | None = None
    depth = _deep(k, _allowed(_CPU_K, bound.get("k")))
    for rows in _allowed(all_rows, bound.get("m")):
        for columns in _allowed(all_columns, bound.get("n")):
            fit = depth
            while fit > 16 and (rows * columns + (rows + columns) * fit) * width > room:
                fit //= 2
            programs = others * -(-m // rows) * -(-n // columns)
            # some 6 rows and 16 columns of registers; packing a panel costs the more, the fewer times it is used, and so does
            # reading and writing the accumulators, the shorter a step is
            work = _padded(m, rows) * _padded(n, columns) * (1 + 10 / rows) * (1 + 24 / columns) * (1 + 16 / fit)
            cost = work * _idle(programs, target.units) * _late(programs, target.units)
            if best is None or cost <= best[0]:
                best = (cost, rows, columns, fit)
    assert best is not None
    return best[1:]


_FAR = 32 << 20
"""Bytes of operands and result, parts of a sum counted as matrices of their own, from which on they do not stay in the last
cache (docs/benchmarks.md)."""
_LEAST_L2 = 1 << 20
"""With 512 KiB, blocks for a mebibyte were faster than smaller ones: the accumulators pass through once in a step."""


def _late(programs: int, units: int) -> float:
    """Cores are never equally fast: the others wait for a quarter of the last program."""
    return 1 + units / (4 * programs)


def _deep(k: int, sides: tuple[int, ...]) -> int:
    """The depth with the least padding, each step costing as much as 16 more terms."""
    return min(sides, key=lambda s: (_padded(k, s) * (1 + 16 / s), -s))


def _gpu_dot(
    m: int, n: int, k: int, others: int, bound: dict[Role, Auto], operand: int, accumulator: int, target: Target
) -> tuple[int, int, int]:
    """128 × 128 × 32 where local memory and registers hold it and enough programs remain, else less."""
    room = target.local_bytes * 3 // 4 // (2 if target.has("cp_async") else 1)
    depth = _deep(k, _allowed(_GPU_K, bound.get("k")))
    best: tuple[float, int, int] | None = None
    for rows in _allowed(_GPU_MN, bound.get("m")):
        for columns in _allowed(_GPU_MN, bound.get("n")):
            fits = (rows + columns) * depth * max(operand, 2) <= room
            if best is not None and not (fits and rows * columns * accumulator <= _GPU_ACCUMULATOR_BYTES):
                continue
            programs = others * -(-m // rows) * -(-n // columns)
            work = _padded(m, rows) * _padded(n, columns) * (1 + 32 / rows + 32 / columns)
            cost = work * _idle(programs, target.units)
            if best is None or cost <= best[0]:
                best = (cost, rows, columns)
    assert best is not None
    return (best[1], best[2], depth)


# --- maps and folds -----------------------------------------------------------------------------------------


def _ceil_power(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


def _floor_power(n: int) -> int:
    return 1 << (max(1, n).bit_length() - 1)


_FOLD_BLOCK, _FOLD_BLOCK_OF_FUNCTIONS, _FOLD_BLOCK_WRITTEN = (2, 8), (8, 4), (4, 2)
"""Vectors of a folded contiguous axis, of elements of 4 bytes, that a CPU takes at once, and of how many rows: memory that is
read in several places at once arrives sooner. An ``exp`` waits for its own steps unless several vectors take turns; where
the axis is written, too, as by a norm, the places that are written count (docs/benchmarks.md)."""
_FOLD_VECTORS = 8
"""Of a single row, so many at most: their partial results stay in registers, with room for what an ``exp`` needs."""
_FOLD_WHOLE = 128
"""A folded contiguous axis of up to so many elements is one tile on a CPU."""
_WIDE = 4096
"""Neighbours of a contiguous axis that a core keeps while it folds another one: memory that is read in its order arrives
two to three times as fast as pieces of it, so that this counts for more than a second core (docs/benchmarks.md)."""


def _map_sizes(known: dict[str, _Fact], bounds: Mapping[str, Auto], target: Target, facts: _Facts) -> Sizes:
    """Sides that share out a budget of elements, the contiguous axis first; powers of two but for a short folded axis.

    Elements of a program: enough to pay for starting it, few enough that the units all have work and that the tiles
    stay near the core.
    """
    cpu = target.schedule == "cpu" and not target.has("whole_grid")
    if target.has("whole_grid"):
        budget, wanted = 1 << 16, 1
    elif cpu:
        budget, wanted = 8192 if len(known) == 1 else 4096, 4 * target.units
    else:
        budget, wanted = 1024, 2 * target.units
    order = sorted(known, key=lambda name: (known[name].contiguous, known[name].last, known[name].role == "fold"))
    order.reverse()
    # A fold does not divide into programs: only the axes of a map count towards the programs wanted.
    total = math.prod(max(1, known[name].size) for name in known if known[name].role != "fold")
    share = max(1, total // wanted) if wanted > 1 else total
    folds = any(known[name].role == "fold" for name in known)
    sizes: Sizes = {}
    for place, name in enumerate(order):
        fact, bound = known[name], bounds[name]
        vectors, rows = _fold_block(fact, facts, share)
        limit = budget
        if folds and len(order) > 1 and place == 0 and fact.role != "fold":
            limit = min(budget, _WIDE if cpu else 64)  # side by side, so that the folded axis keeps some length
        if cpu and place == 0 and fact.role == "fold":
            most = _FOLD_WHOLE if fact.size <= _FOLD_WHOLE else vectors * target.vector_bytes // 4
            side = _folded_side(fact.size, min(limit, most))
        else:
            side = min(_ceil_power(fact.size), _floor_power(limit))
        if fact.role != "fold":
            least = _least(place, target)
            if cpu and folds and place == 0:
                least = max(least, _WIDE // max(1, _floor_power(target.units) // 2))
            elif cpu and facts.carries and len(known) == 1:
                least = max(least, _WIDE // _floor_power(target.units))
            side = min(side, max(_floor_power(share), least))
        side = min(max(side, bound.low), bound.high)
        budget = max(1, budget // side)
        if cpu and place == 0 and fact.role == "fold" and side < fact.size:
            budget = min(budget, rows)  # nearly in the order of memory
        if fact.role != "fold":
            share = max(1, share // side)
        sizes[name] = side
    return sizes


def _fold_block(fact: _Fact, facts: _Facts, share: int) -> tuple[int, int]:
    """Vectors and rows that are taken at once of a long folded axis, with at most ``share`` rows for a program."""
    vectors, rows = (
        _FOLD_BLOCK_WRITTEN if fact.written else _FOLD_BLOCK_OF_FUNCTIONS if facts.functions else _FOLD_BLOCK
    )
    fewer = min(rows, _floor_power(share))
    return min(vectors * rows // fewer, _FOLD_VECTORS), fewer


def _folded_side(size: int, most: int) -> int:
    """A short axis whole, in steps so that few kernels serve many lengths; a long one in equal tiles, nearly."""
    tiles = -(-size // most)
    step = 64 if size > 64 else 16 if size > 8 else 8
    return max(8, min(most, _padded(-(-size // tiles), step)))


def _least(place: int, target: Target) -> int:
    """The least side of the contiguous axis that uses vectors or lanes whole; 1 for the other axes."""
    return max(target.lanes, 32) if place == 0 else 1
