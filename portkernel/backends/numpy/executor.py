"""Executes tile IR for many programs at once: the reference that defines what a kernel computes.

Every value is an array of shape ``(programs, *tile shape)``, or ``(1, *tile shape)`` where all programs hold the same, so
that control flow on constants and sizes stays cheap. The programs of one chunk run in lock step: each operation is
done for all of them, in the order of their linear index (axis 0 fastest), before the next one begins. A branch or loop
that only some programs take runs under a mask; side effects respect it. A kernel in which a program waits for
another (a spin lock) therefore does not end, as on a device without forward progress between programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ...dtypes import DType
from ...errors import DeviceAssertionError, InternalError
from ...ir import (
    ArgReduce,
    Assert,
    AtomicCAS,
    AtomicRMW,
    Block,
    Dim,
    For,
    Func,
    Gather,
    If,
    Load,
    NumPrograms,
    Op,
    Print,
    ProgramId,
    Reduce,
    Scan,
    Scatter,
    Store,
    Stride,
    Tensor,
    Value,
    While,
    walk,
)
from ...lang.evaluate import constant
from ...lang.functions import Array
from . import folds, memory
from .compute import compute
from .memory import Ints, Mask

Grid = tuple[int, int, int]
Arrays = tuple[Array, ...]


def execute(func: Func, grid: Grid, args: Mapping[str, object], chunk_bytes: int) -> None:
    """Run ``func`` on every program of ``grid``; outputs are written in place.

    ``args`` has a NumPy array for each tensor parameter and a Python or NumPy scalar for each other, by name.
    Programs run in chunks whose temporaries stay near ``chunk_bytes``; a chunk has at least one program.
    Raises :class:`~portkernel.errors.DeviceAssertionError` as soon as a device assertion fails.
    """
    bound = {p: bind(p, args[p.hint]) for p in func.params}
    programs = grid[0] * grid[1] * grid[2]
    chunk = max(1, min(programs, chunk_bytes // max(1, bytes_per_program(func))))
    with np.errstate(all="ignore"):
        for first in range(0, programs, chunk):
            linear = np.arange(first, min(first + chunk, programs))
            pids = (linear % grid[0], linear // grid[0] % grid[1], linear // (grid[0] * grid[1]))
            Machine(grid, pids, dict(bound)).run(func.body)


def bind(param: Value, arg: object) -> Array:
    """The array that stands for a parameter: a tensor itself, a scalar as one element for all programs."""
    if not isinstance(param.type, Tensor):
        return constant(arg, param.tile.dtype)  # type: ignore[arg-type]  # the runtime has checked it
    if not isinstance(arg, np.ndarray) or arg.dtype != param.type.dtype.np or arg.ndim != param.type.rank:
        raise InternalError(f"execute(): {param.hint}: expected {param.type}, got {arg!r:.200}")
    return arg


def bytes_per_program(func: Func) -> int:
    """A bound on what one program holds: every result of every operation, once."""
    return sum(r.tile.size * r.tile.dtype.itemsize for op in walk(func.body) for r in op.results)


class Machine:
    """A chunk of programs in lock step. ``values`` maps each IR value to its array, each tensor parameter to its own."""

    def __init__(self, grid: Grid, pids: tuple[Ints, Ints, Ints], values: dict[Value, Array]) -> None:
        self.grid = grid
        self.pids = pids
        self.programs = len(pids[0])
        self.values = values
        self.active: Mask | None = None
        """Which programs take part; None stands for all."""

    def run(self, block: Block) -> None:
        for op in block.ops:
            self.step(op)

    def step(self, op: Op) -> None:
        """Execute one operation for all active programs."""
        results = self._results(op)
        for result, array in zip(op.results, results, strict=True):
            self.values[result] = array

    def _get(self, values: tuple[Value, ...]) -> Arrays:
        return tuple(self.values[v] for v in values)

    def _get_optional(self, value: Value | None) -> Array | None:
        return None if value is None else self.values[value]

    def _results(self, op: Op) -> Arrays:
        match op:
            case For():
                return self._for(op)
            case While():
                return self._while(op)
            case If():
                return self._if(op)
            case Load() | Gather() | ProgramId() | NumPrograms() | Dim() | Stride():
                return (self._read(op),)
            case Store() | Scatter() | AtomicRMW() | AtomicCAS():
                return self._write(op)
            case Reduce() | Scan() | ArgReduce():
                return self._fold(op)
            case Assert() | Print():
                self._report(op)
                return ()
            case _:
                return (compute(op, self._get(op.operands)),)

    # --- memory and facts ---

    def _read(self, op: Load | Gather | ProgramId | NumPrograms | Dim | Stride) -> Array:
        match op:
            case Load():
                pad = self.values[op.pad]
                shape = op.result.tile.shape
                return _clean(memory.load(self.values[op.tensor], self._get(op.offsets), shape, pad))
            case Gather():
                mask, pad = self._get_optional(op.mask), self.values[op.pad]
                shape = op.result.tile.shape
                return _clean(memory.gather(self.values[op.tensor], self._get(op.indices), mask, pad, shape))
            case ProgramId(axis=axis):
                pid = self.pids[axis].astype(np.int32)
                return pid[:1] if (pid == pid[0]).all() else pid
            case NumPrograms(axis=axis):
                return np.array([self.grid[axis]], np.int32)
            case Dim(axis=axis):
                return np.array([self.values[op.tensor].shape[axis]], np.int64)
            case Stride(axis=axis):
                tensor = self.values[op.tensor]
                return np.array([tensor.strides[axis] // tensor.itemsize], np.int64)

    def _write(self, op: Store | Scatter | AtomicRMW | AtomicCAS) -> Arrays:
        tensor, value = self.values[op.tensor], self.values[op.value]
        if isinstance(op, Store):
            memory.store(tensor, self._get(op.offsets), value, self.active)
            return ()
        indices, mask = self._get(op.indices), self._get_optional(op.mask)
        match op:
            case Scatter():
                memory.scatter(tensor, indices, mask, value, self.active, self.programs)
                return ()
            case AtomicRMW(fn=fn):
                return (memory.atomic(fn, tensor, indices, mask, value, self.active, self.programs),)
            case AtomicCAS():
                expected = self.values[op.expected]
                return (memory.compare_and_swap(tensor, indices, mask, expected, value, self.active, self.programs),)

    # --- folds ---

    def _fold(self, op: Reduce | Scan | ArgReduce) -> Arrays:
        if isinstance(op, ArgReduce):
            return (folds.arg_reduce(op.fn, self.values[op.x], op.axis, op.x.tile.dtype),)
        if op.body is not None:
            return self._combine(op, op.body)
        x, dtype = self.values[op.xs[0]], op.xs[0].tile.dtype
        if isinstance(op, Scan):
            return (folds.scan(op.fn, x, op.axis, op.reverse, dtype),)
        return (folds.reduce(op.fn, x, op.axis, dtype),)

    def _combine(self, op: Reduce | Scan, body: Block) -> Arrays:
        """Every line of every program becomes a program of its own, so that ``body`` folds all of them at once."""
        xs = self._get(op.xs)
        lead = max(len(x) for x in xs)
        scalars = [v for v in _captured(body) if not isinstance(v.type, Tensor)]
        if any(len(self.values[v]) > 1 for v in scalars) or any(isinstance(o, ProgramId) for o in walk(body)):
            lead = self.programs
        xs = tuple(np.broadcast_to(x, (lead, *x.shape[1:])) for x in xs)
        rows = tuple(folds.lines(x, op.axis) for x in xs)
        inner = self._spread(body, lead, rows[0].shape[1] // lead)

        def combine(arguments: Arrays) -> Arrays:
            inner.values.update(zip(body.params, arguments, strict=True))
            inner.run(body)
            return tuple(np.broadcast_to(v, arguments[0].shape) for v in inner._get(body.yields))

        kept = np.moveaxis(xs[0], op.axis + 1, 0).shape
        if isinstance(op, Scan):
            scanned = folds.combine_scan(rows, op.reverse, combine)
            return tuple(np.moveaxis(r.reshape(kept), 0, op.axis + 1) for r in scanned)
        return tuple(r.reshape(kept[1:]) for r in folds.combine_reduce(rows, combine))

    def _spread(self, body: Block, lead: int, lines: int) -> Machine:
        """A machine with ``lines`` programs for each of ours (for one of them if all hold the same)."""
        first = tuple(p[:lead] for p in self.pids)
        pids = (np.repeat(first[0], lines), np.repeat(first[1], lines), np.repeat(first[2], lines))
        values = dict(self.values)
        for v in _captured(body):
            if not isinstance(v.type, Tensor) and len(values[v]) > 1:
                values[v] = np.repeat(values[v], lines, axis=0)
        inner = Machine(self.grid, pids, values)
        inner.active = None if self.active is None or lead == 1 else np.repeat(self.active, lines)
        return inner

    # --- control flow ---

    def _masked(self, mask: Mask | None, block: Block) -> Arrays:
        """Run ``block`` for the programs of ``mask``; what it yields."""
        before, self.active = self.active, mask
        try:
            self.run(block)
        finally:
            self.active = before
        return self._get(block.yields)

    def _for(self, op: For) -> Arrays:
        start, stop, step = self._get((op.start, op.stop, op.step))
        carried = self._get(op.inits)
        index, params = op.body.params[0], op.body.params[1:]
        trips = _trips(start, stop, step)
        live = trips if self.active is None or len(trips) == 1 else trips[self.active]
        for trip in range(int(live.max(initial=0))):
            self.values[index] = _index(start, step, trip, index.tile.dtype)
            self.values.update(zip(params, carried, strict=True))
            mask = self.active
            if trip >= live.min():
                mask = trips > trip if mask is None else mask & (trips > trip)
            carried = _merge(mask, self._masked(mask, op.body), carried)
        return carried

    def _while(self, op: While) -> Arrays:
        carried, mask = self._get(op.inits), self.active
        while True:
            self.values.update(zip(op.cond.params, carried, strict=True))
            (cond,) = self._masked(mask, op.cond)
            mask, stopped = _narrow(mask, cond)
            if stopped:
                return carried
            self.values.update(zip(op.body.params, carried, strict=True))
            carried = _merge(mask, self._masked(mask, op.body), carried)

    def _if(self, op: If) -> Arrays:
        cond = self.values[op.cond]
        then, none_then = _narrow(self.active, cond)
        orelse, none_else = _narrow(self.active, ~cond.astype(np.bool_))
        if none_then:
            return self._masked(self.active, op.orelse)
        if none_else:
            return self._masked(self.active, op.then)
        first = self._masked(then, op.then)
        return _merge(then, first, self._masked(orelse, op.orelse))

    # --- reports ---

    def _report(self, op: Assert | Print) -> None:
        live = np.ones(self.programs, np.bool_) if self.active is None else self.active
        match op:
            case Assert():
                cond = self.values[op.cond]
                holds = cond.reshape(len(cond), -1).all(axis=1)
                if not (holds | ~live).all():
                    raise DeviceAssertionError(f"device_assert(): {op.message or 'the condition is false'}", loc=op.loc)
            case Print():
                shape = op.xs[0].tile.shape if op.xs else ()
                xs = [np.broadcast_to(x, (self.programs, *shape)) for x in self._get(op.xs)]
                for p in np.flatnonzero(live):
                    place = ", ".join(str(int(axis[p])) for axis in self.pids)
                    for idx in np.ndindex(shape):
                        shown = "".join(f" {_show(x[(p, *idx)])}" for x in xs)
                        print(f"pid ({place}) idx ({', '.join(map(str, idx))}): {op.prefix}{shown}")


def _clean(x: Array) -> Array:
    """Any nonzero byte of a bool array reads as true; NumPy itself expects 0 or 1."""
    return np.not_equal(x.view(np.uint8), 0) if x.dtype == np.bool_ else x


def _show(x: np.generic) -> str:
    """As C prints it: ``%d`` for integers and bool, ``%g`` for floats."""
    return str(int(x)) if x.dtype.kind in "biu" else f"{float(x):g}"


def _merge(mask: Mask | None, new: Arrays, old: Arrays) -> Arrays:
    """``new`` where ``mask``, else ``old``: all carried values at once, so that swaps come out right."""
    if mask is None:
        return new
    return tuple(
        n if n is o else np.where(mask.reshape((len(mask),) + (1,) * (n.ndim - 1)), n, o)
        for n, o in zip(new, old, strict=True)
    )


def _narrow(mask: Mask | None, cond: Array) -> tuple[Mask | None, bool]:
    """The programs of ``mask`` for which ``cond`` holds (None for all of them), and whether there are none."""
    if len(cond) == 1:
        return mask, not cond[0]
    both = cond.astype(np.bool_) if mask is None else mask & cond.astype(np.bool_)
    if mask is None and both.all():
        return None, False
    return both, not both.any()


def _trips(start: Array, stop: Array, step: Array) -> Ints:
    """How often the loop of each program runs; a step of 0 never."""
    if start.dtype == np.uint64:  # the difference fits again, unless it is past counting
        span = np.where(np.greater(stop, start), np.subtract(stop, start), np.uint64(0)).astype(np.int64)
        return np.asarray(-(-span // step.astype(np.int64)), np.int64)
    first, last, by = start.astype(np.int64), stop.astype(np.int64), step.astype(np.int64)
    return np.asarray(np.where(by == 0, 0, np.maximum(0, -((first - last) // by))), np.int64)


def _index(start: Array, step: Array, trip: int, dtype: DType) -> Array:
    found: Array = (start.astype(np.int64) + trip * step.astype(np.int64)).astype(dtype.np)
    return found


def _captured(body: Block) -> Iterator[Value]:
    """The values that ``body`` uses and does not define."""
    defined = set(body.params)
    for op in walk(body):
        defined.update(op.results)
        for inner in op.regions:
            defined.update(inner.params)
    seen: set[Value] = set()
    for value in [v for op in walk(body) for v in op.operands] + list(body.yields):
        if value not in defined and value not in seen:
            seen.add(value)
            yield value
