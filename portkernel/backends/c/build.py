"""Appends SIMT operations: equal pure operations are one, index arithmetic folds as it is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from ...dtypes import DType, Scalar, bool_, int32, int64, uint32
from ...ir import Binary, Block, Cast, Const, Effect, If, Op, Select, Value, While
from ...ir.core import OpT
from ...ir.simt import Alloc, Loop, Pointer, ReadElem, Space, Splat, ThreadId, Vec, WriteElem
from ...ir.types import Type
from ...loc import UNKNOWN, Loc

Index = int | Value
"""An index: a number that is known now, or a scalar integer register."""

Values = tuple[Value, ...]
Key = tuple[object, ...]


@dataclass(slots=True)
class _Scope:
    ops: list[Op] = field(default_factory=list)
    known: dict[Key, Value] = field(default_factory=dict)
    elements: dict[Key, Value] = field(default_factory=dict)


class SimtBuilder:
    """Builds the body of one SIMT function. ``index`` is the dtype of positions inside tiles."""

    def __init__(self, index: DType) -> None:
        self.loc: Loc = UNKNOWN
        self.index = index
        self.allocs: list[Op] = []
        self._scopes: list[_Scope] = [_Scope()]
        self.constants: dict[Value, int] = {}

    # --- operations ---------------------------------------------------------------------------------------------

    def emit(self, op: type[OpT], types: tuple[Type, ...], **fields: object) -> OpT:
        """Append an operation with an effect or a region."""
        made = op(results=tuple(Value(t) for t in types), loc=self.loc, **fields)
        self._scopes[-1].ops.append(made)
        return made

    def pure(self, op: type[OpT], kind: Type, **fields: object) -> Value:
        """The result of a pure operation: the one that stands already, if an equal one does."""
        assert op.effect is Effect.PURE, op
        key = (op, kind, *((k, repr(v) if isinstance(v, float) else v) for k, v in fields.items()))
        for scope in reversed(self._scopes):
            if key in scope.known:
                return scope.known[key]
        result = self.emit(op, (kind,), **fields).result
        self._scopes[-1].known[key] = result
        return result

    def recall(self, key: Key) -> Value | None:
        """The element remembered under ``key`` in a scope that is still open."""
        for scope in reversed(self._scopes):
            if key in scope.elements:
                return scope.elements[key]
        return None

    def remember(self, key: Key, value: Value) -> Value:
        self._scopes[-1].elements[key] = value
        return value

    def const(self, value: Scalar, dtype: DType) -> Value:
        found = self.pure(Const, Vec(dtype), value=value)
        if isinstance(value, int) and dtype.is_integer:
            self.constants[found] = int(value)
        return found

    def binary(self, fn: str, x: Value, y: Value) -> Value:
        kind = x.vec
        result = Vec(bool_, kind.lanes) if fn in ("lt", "le", "gt", "ge", "eq", "ne") else kind
        return self.pure(Binary, result, fn=fn, x=x, y=y)

    def cast(self, x: Value, dtype: DType) -> Value:
        kind = x.vec
        return x if kind.dtype == dtype else self.pure(Cast, Vec(dtype, kind.lanes), x=x)

    def select(self, cond: Value, x: Value, y: Value) -> Value:
        return self.pure(Select, x.vec, cond=cond, x=x, y=y)

    def splat(self, x: Value, lanes: int) -> Value:
        return x if lanes == 1 else self.pure(Splat, Vec(x.vec.dtype, lanes), x=x)

    def thread(self) -> Value:
        return self.pure(ThreadId, Vec(int32))

    def alloc(self, dtype: DType, size: int, space: Space) -> Value:
        made = Alloc(results=(Value(Pointer(dtype, space)),), loc=self.loc, size=max(size, 1))
        self.allocs.append(made)
        return made.result

    def read(self, pointer: Value, index: Index, lanes: int = 1, aligned: bool = False) -> Value:
        kind = Vec(pointer.pointer.dtype, lanes)
        return self.emit(ReadElem, (kind,), pointer=pointer, index=self.value(index), aligned=aligned).result

    def write(
        self, pointer: Value, index: Index, value: Value, aligned: bool = False, streamed: Value | None = None
    ) -> None:
        place = self.value(index)
        self.emit(WriteElem, (), pointer=pointer, index=place, value=value, streamed=streamed, aligned=aligned)

    # --- index arithmetic ---------------------------------------------------------------------------------------

    def value(self, x: Index) -> Value:
        return self.const(x, self.index) if isinstance(x, int) else x

    def wide(self, x: Index) -> Index:
        """``x`` as int64, for addresses in global memory."""
        if isinstance(x, int):
            return x
        if x in self.constants:
            return self.constants[x]
        return self.cast(x, int64)

    def _pair(self, x: Index, y: Index) -> tuple[Value, Value]:
        if isinstance(x, int):
            assert isinstance(y, Value)
            return self.const(x, y.vec.dtype), y
        return x, (self.const(y, x.vec.dtype) if isinstance(y, int) else y)

    def add(self, x: Index, y: Index) -> Index:
        if isinstance(x, int) and isinstance(y, int):
            return x + y
        if isinstance(x, int):
            x, y = y, x
        if isinstance(y, int) and y == 0:
            return x
        return self.binary("add", *self._pair(x, y))

    def sub(self, x: Index, y: Index) -> Index:
        if isinstance(x, int) and isinstance(y, int):
            return x - y
        if isinstance(y, int) and y == 0:
            return x
        return self.binary("sub", *self._pair(x, y))

    def mul(self, x: Index, y: Index) -> Index:
        if isinstance(x, int) and isinstance(y, int):
            return x * y
        if isinstance(x, int):
            x, y = y, x
        if isinstance(y, int) and y in (0, 1):
            return x if y else 0
        return self.binary("mul", *self._pair(x, y))

    def div(self, x: Index, n: int) -> Index:
        """``x // n`` for ``x >= 0``."""
        return self._unsigned("floordiv", x, n)

    def mod(self, x: Index, n: int) -> Index:
        """``x % n`` for ``x >= 0``."""
        return self._unsigned("mod", x, n)

    def _unsigned(self, fn: str, x: Index, n: int) -> Index:
        if isinstance(x, int):
            return x // n if fn == "floordiv" else x % n
        if n == 1:
            return x if fn == "floordiv" else 0
        found = self.binary(fn, self.cast(x, uint32), self.const(n, uint32))
        return self.cast(found, x.vec.dtype)

    def less(self, x: Index, y: Index) -> Value | bool:
        if isinstance(x, int) and isinstance(y, int):
            return x < y
        return self.binary("lt", *self._pair(x, y))

    def at_least(self, x: Index, y: Index) -> Value | bool:
        if isinstance(x, int) and isinstance(y, int):
            return x >= y
        return self.binary("ge", *self._pair(x, y))

    def both(self, conditions: list[Value | bool]) -> Value | bool:
        """All of ``conditions``; a bool where that is known now."""
        found: Value | None = None
        for c in conditions:
            if c is False:
                return False
            if isinstance(c, Value):
                found = c if found is None else self.binary("and", found, c)
        return True if found is None else found

    def flat(self, index: tuple[Index, ...], shape: tuple[int, ...]) -> Index:
        """The row-major position of ``index`` in an array of ``shape``."""
        total: Index = 0
        for d, i in enumerate(index):
            total = self.add(total, self.mul(i, math.prod(shape[d + 1 :])))
        return total

    def unflat(self, position: Index, shape: tuple[int, ...]) -> tuple[Index, ...]:
        """The index whose row-major position in ``shape`` is ``position``, which lies inside."""
        index: list[Index] = []
        step = math.prod(shape)
        rest = position
        for n in shape:
            step //= n
            if n == 1:
                index.append(0)
                continue
            index.append(self.div(rest, step))
            if step > 1:
                rest = self.mod(rest, step)
        return tuple(index)

    # --- control flow -------------------------------------------------------------------------------------------

    def block(self, params: Values, body: Callable[[], Values]) -> Block:
        """A nested block with what ``body`` appends; it returns the yields."""
        self._scopes.append(_Scope())
        try:
            yields = body()
        finally:
            scope = self._scopes.pop()
        return Block(params, tuple(scope.ops), yields)

    def loop(
        self,
        stop: Index,
        body: Callable[[Index, Values], Values],
        *,
        start: Index = 0,
        step: int = 1,
        inits: Values = (),
        unroll: int = 1,
        dtype: DType | None = None,
    ) -> Values:
        """``for i in range(start, stop, step)``; ``body(i, carried)`` returns the new carried values."""
        if isinstance(start, int) and isinstance(stop, int):
            trips = len(range(start, stop, step))
            if trips == 0:
                return inits
            if trips == 1:
                return body(start, inits)
        kind = dtype or next((x.vec.dtype for x in (start, stop) if isinstance(x, Value)), self.index)
        bounds = [self.const(x, kind) if isinstance(x, int) else x for x in (start, stop)]
        counter = Value(Vec(kind))
        carried = tuple(Value(x.vec) for x in inits)
        inner = self.block((counter, *carried), lambda: body(counter, carried))
        types = tuple(x.vec for x in inits)
        made = self.emit(
            Loop, types, step=step, unroll=unroll, start=bounds[0], stop=bounds[1], inits=inits, body=inner
        )
        return made.results

    def branch(
        self, cond: Value | bool, then: Callable[[], Values], orelse: Callable[[], Values] | None = None
    ) -> Values:
        """``if``; without ``orelse`` there are no results. A condition that is known takes its branch at once."""
        other = orelse or (lambda: ())
        if isinstance(cond, bool):
            return then() if cond else other()
        first = self.block((), then)
        second = self.block((), other)
        types = tuple(y.vec for y in first.yields)
        return self.emit(If, types, cond=cond, then=first, orelse=second).results

    def repeat(self, inits: Values, cond: Callable[[Values], Value], body: Callable[[Values], Values]) -> Values:
        """``while cond(carried): carried = body(carried)``."""
        types = tuple(x.vec for x in inits)
        tested = tuple(Value(t) for t in types)
        carried = tuple(Value(t) for t in types)
        test = self.block(tested, lambda: (cond(tested),))
        inner = self.block(carried, lambda: body(carried))
        return self.emit(While, types, inits=inits, cond=test, body=inner).results

    def finish(self) -> Block:
        (scope,) = self._scopes
        return Block((), (*self.allocs, *scope.ops), ())
