"""Which tiles are computed where they are read, and which are stored: in registers of their thread, or for the group.

One walk from the last operation to the first. Every reader of a tile states how often it reads each element, and whether
each thread reads only what it holds itself (``own``); from that follows what is done with the tile, and with it what
the tile demands of its operands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ...ir import (
    Arange,
    ArgReduce,
    Assert,
    AtomicCAS,
    AtomicRMW,
    Binary,
    Block,
    BroadcastTo,
    Cast,
    Concat,
    Const,
    Dot,
    Extract,
    For,
    Full,
    Func,
    Gather,
    If,
    Load,
    Op,
    Permute,
    Print,
    Reduce,
    Reshape,
    Scan,
    Scatter,
    Store,
    Tile,
    Unary,
    Value,
    While,
    walk,
)
from ...ir.core import Effect
from ...lang.functions import BINARY, UNARY
from .layout import Cyclic, Layouts, Rows

VIEWS = (Reshape, Permute, BroadcastTo, Concat, Extract)
LOOP = 64  # how often the body of a loop is taken to run
EXPENSIVE = 16  # weight from which an element is stored rather than computed twice
_HEAVY = frozenset({"div", "floordiv", "mod", "pow", "atan2", "fmod", "hypot"})

Sink = tuple[object, ...]


@dataclass(slots=True)
class _Read:
    times: float
    own: bool
    depth: int


@dataclass(slots=True)
class _Demand:
    reads: dict[Sink, _Read] = field(default_factory=dict)

    @property
    def own(self) -> bool:
        return all(r.own for r in self.reads.values())


@dataclass(slots=True)
class Plan:
    """``stored`` maps each stored tile to True where every thread reads only its own elements.

    ``in_place`` maps the result of a dot product to the carried tile whose storage it overwrites. ``direct`` lists the
    places (loop, slot) whose new value may be written straight over the old one; ``readers`` the slots whose new values
    read the old one of a slot, each only at the element that it computes.
    """

    stored: dict[Value, bool] = field(default_factory=dict)
    in_place: dict[Value, Value] = field(default_factory=dict)
    direct: set[tuple[Op, int]] = field(default_factory=set)
    readers: dict[tuple[Op, int], frozenset[int]] = field(default_factory=dict)


def tensors_touched(ops: Iterable[Op], effect: Effect) -> set[Value]:
    """The tensors that ``ops`` read (or write), nested ones included."""
    found: set[Value] = set()
    for op in ops:
        match op:
            case Load() | Gather() if effect is Effect.READ:
                found.add(op.tensor)
            case Store() | Scatter() | AtomicRMW() | AtomicCAS() if effect is Effect.WRITE:
                found.add(op.tensor)
            case _:
                pass
        for region in op.regions:
            found |= tensors_touched(region.ops, effect)
    return found


class _Planner:
    def __init__(self, func: Func, layouts: Layouts, local_bytes: int) -> None:
        self.layouts = layouts
        self.local_bytes = local_bytes
        self.plan = Plan()
        self.demand: dict[Value, _Demand] = {}
        self.weight: dict[Value, float] = {}
        self.depth: dict[Value, int] = dict.fromkeys(func.params, 0)
        self.changed: set[Value] = set()
        self.constant: set[Value] = set()
        self._prepare(func.body, 0)
        self._block(func.body, 0)

    # --- facts that flow forward --------------------------------------------------------------------------------

    def _prepare(self, block: Block, depth: int) -> None:
        for p in block.params:
            self.depth[p] = depth
        for op in block.ops:
            own = _own_weight(op)
            if self._divides_slowly(op):
                own = EXPENSIVE
            if isinstance(op, Const) or (isinstance(op, (Full, Cast, *VIEWS)) and self._all_constant(op)):
                self.constant.update(op.results)
            total = own + sum(self.weight.get(x, 0.0) for x in op.operands)
            for r in op.results:
                self.depth[r] = depth
                self.weight[r] = min(total, 1000.0) if not op.regions else 0.0
            for region in op.regions:
                self._prepare(region, depth + isinstance(op, (For, While)))
        later: set[Value] = set()
        for op in reversed(block.ops):
            if isinstance(op, (Load, Gather)) and op.tensor in later:
                self.changed.add(op.result)
            later |= tensors_touched((op,), Effect.WRITE)

    def _all_constant(self, op: Op) -> bool:
        return all(x in self.constant for x in op.operands)

    def _divides_slowly(self, op: Op) -> bool:
        """Whether one thread divides integers by what is not known: worth keeping, as it makes no local memory of it."""
        return (
            self.layouts.threads == 1
            and isinstance(op, Binary)
            and op.fn in ("floordiv", "mod")
            and op.result.tile.dtype.is_integer
            and op.y not in self.constant
        )

    # --- demand, which flows backward ---------------------------------------------------------------------------

    def need(self, value: Value, sink: Sink, depth: int, own: bool, times: float = 1.0) -> None:
        if not isinstance(value.type, Tile) or not value.type.shape:
            return  # a scalar is computed where it stands, on every thread
        reads = self.demand.setdefault(value, _Demand()).reads
        old = reads.get(sink)
        if old is None:
            reads[sink] = _Read(times, own, depth)
        else:
            reads[sink] = _Read(max(old.times, times), old.own and own, max(old.depth, depth))

    def _block(self, block: Block, depth: int) -> None:
        for op in reversed(block.ops):
            self._op(op, depth)

    def _op(self, op: Op, depth: int) -> None:
        match op:
            case Store() | Scatter() | Assert() | Print() | AtomicRMW() | AtomicCAS():
                for r in op.results:
                    if r.tile.shape and r in self.demand:
                        self.plan.stored[r] = self.demand[r].own
                for x in op.operands:
                    self.need(x, (op,), depth, own=True)
            case Reduce() | ArgReduce() | Scan():
                for r in op.results:
                    if r.tile.shape:
                        self.plan.stored[r] = not isinstance(op, Scan) and self._demand(r).own
                for x in op.operands:
                    self.need(x, (op,), depth, own=False)
            case Dot():
                if op.result not in self.plan.in_place:
                    self.plan.stored[op.result] = self._demand(op.result).own
                self.need(op.a, (op, "a"), depth, own=False)
                self.need(op.b, (op, "b"), depth, own=False)
                self.need(op.acc, (op, "acc"), depth, own=True)
            case For() | While():
                self._loop(op, depth)
            case If():
                self._if(op, depth)
            case _:
                self._lazy(op, depth)

    def _demand(self, value: Value) -> _Demand:
        return self.demand.get(value, _Demand())

    def _lazy(self, op: Op, depth: int) -> None:
        tiles = [x for x in op.operands if isinstance(x.type, Tile)]
        result = op.result
        if not result.tile.shape:
            for x in tiles:
                self.need(x, (op,), depth, own=False)
            return
        demand = self.demand.get(result)
        if demand is None:
            return
        keeps = self._keeps_own(op)
        if self._store(op, demand):
            self.plan.stored[result] = demand.own
            for x in tiles:
                self.need(x, (op,), depth, own=keeps)
            return
        for x in tiles:
            factor = max(1.0, result.tile.size / max(x.tile.size, 1)) if isinstance(op, BroadcastTo) else 1.0
            for sink, read in demand.reads.items():
                self.need(x, sink, read.depth, read.own and keeps, read.times * factor)

    def _keeps_own(self, op: Op) -> bool:
        """Whether a thread that computes its own elements of the result reads only its own elements of the operands."""
        if isinstance(op, Reshape):
            kinds = (self.layouts.of(op.x.tile.shape), self.layouts.of(op.result.tile.shape))
            return all(isinstance(k, (Cyclic, Rows)) for k in kinds)
        return not isinstance(op, VIEWS)

    def _store(self, op: Op, demand: _Demand) -> bool:
        result = op.result
        if result in self.changed:
            return True
        if isinstance(op, (Const, Full, Arange, *VIEWS)):
            return False
        depth = self.depth[result]
        total = sum(r.times * (LOOP if r.depth > depth else 1) for r in demand.reads.values())
        if isinstance(op, (Load, Gather)):
            again = len(demand.reads) > 1 or any(r.depth > depth for r in demand.reads.values())
            if self.layouts.threads == 1:
                return again or total > 1
            bytes_ = result.tile.size * result.tile.dtype.itemsize
            if not demand.own and bytes_ > self.local_bytes // 4:
                return False  # reading again is slower, and works
            return again or (total > 1 and result.tile.size > 4096)
        return self.weight[result] >= EXPENSIVE and total > 1

    # --- control flow -------------------------------------------------------------------------------------------

    def _if(self, op: If, depth: int) -> None:
        for k, r in enumerate(op.results):
            if r.tile.shape:
                self.plan.stored[r] = self._demand(r).own
                for name, block in (("then", op.then), ("orelse", op.orelse)):
                    self.need(block.yields[k], (op, name, k), depth, own=True)
        self._block(op.then, depth)
        self._block(op.orelse, depth)

    def _loop(self, op: For | While, depth: int) -> None:
        params = op.body.params[1:] if isinstance(op, For) else op.body.params
        tiles = [k for k, p in enumerate(params) if p.tile.shape]
        for k in tiles:
            if op.body.yields[k] is not params[k]:
                self.need(op.body.yields[k], (op, "yield", k), depth + 1, own=True)
        places = {inner: i for i, top in enumerate(op.body.ops) for inner in (top, *_nested(top))}
        self._accumulators(op, params, tiles)
        self._block(op.body, depth + 1)
        if isinstance(op, While):
            self._block(op.cond, depth + 1)
        for k in tiles:
            self._slot(op, k, params[k], places)
            self.need(op.inits[k], (op, "init", k), depth, own=True)

    def _accumulators(self, op: For | While, params: tuple[Value, ...], tiles: list[int]) -> None:
        """Mark dot products whose result is yielded: candidates to overwrite the carried tile."""
        made = {r: inner for inner in op.body.ops for r in inner.results}
        for k in tiles:
            value = op.body.yields[k]
            if isinstance(made.get(value), Dot) and value not in self.plan.in_place:
                self.plan.in_place[value] = params[k]

    def _slot(self, op: For | While, k: int, param: Value, places: dict[Op, int]) -> None:
        value = op.body.yields[k]
        reads = self._demand(param).reads
        own = self._demand(param).own and self._demand(op.results[k]).own
        if isinstance(op, While):
            own = own and self._demand(op.cond.params[k]).own
        if self.plan.in_place.get(value) is param:
            dot = next(inner for inner in op.body.ops if value in inner.results)
            if all(_before(sink, dot, places) and (sink[0] is not dot or r.own) for sink, r in reads.items()):
                own = own and self._demand(value).own
                self.plan.stored[value] = own
            else:
                del self.plan.in_place[value]
                self.plan.stored[value] = self._demand(value).own
        slots = {s[2]: r for s, r in reads.items() if s[0] is op and len(s) == 3 and s[1] == "yield"}
        if all(j == k and r.own for j, r in slots.items()):
            self.plan.direct.add((op, k))
        if all(r.own for r in slots.values()):
            self.plan.readers[op, k] = frozenset(j for j in slots if isinstance(j, int))
        shared = [param, op.results[k]] + ([op.cond.params[k]] if isinstance(op, While) else [])
        for v in shared:
            self.plan.stored[v] = own


def _nested(op: Op) -> Iterable[Op]:
    for region in op.regions:
        yield from walk(region)


def _before(sink: Sink, dot: Op, places: dict[Op, int]) -> bool:
    """Whether the carried tile is read before ``dot`` overwrites it, or by it as its accumulator."""
    op = sink[0]
    if op is dot:
        return sink[1:] == ("acc",)
    return isinstance(op, Op) and op in places and places[op] < places[dot]


def _own_weight(op: Op) -> float:
    match op:
        case Load() | Gather():
            return 8.0
        case Unary():
            return 16.0 if UNARY[op.fn].rule == "floating" and UNARY[op.fn].ulp else 2.0
        case Binary():
            return 8.0 if op.fn in _HEAVY or BINARY[op.fn].ulp else 1.0
        case _:
            return 0.0 if isinstance(op, (Const, Full, Arange, *VIEWS)) else 1.0


def make(func: Func, layouts: Layouts, local_bytes: int) -> Plan:
    """Decide for every tile of ``func``."""
    return _Planner(func, layouts, local_bytes).plan
