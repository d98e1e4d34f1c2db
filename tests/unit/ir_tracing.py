"""Builds tile functions without the front-end: language functions over a plain builder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from io import StringIO

import numpy as np

from portkernel.backends.numpy import execute
from portkernel.dtypes import as_dtype, int32, int64
from portkernel.ir import Builder, For, Func, If, Tensor, Tile, Value, While, use, verify
from portkernel.lang.values import TensorValue, TileValue, as_tile, builder
from portkernel.passes import optimize


def tensor(dtype, rank=1) -> Tensor:
    return Tensor(rank, as_dtype(dtype), (None,) * rank, (None,) * rank)


def type_of(arg: object) -> Tensor | Tile:
    if isinstance(arg, (Tensor, Tile)):
        return arg
    if isinstance(arg, np.ndarray):
        return tensor(arg.dtype, arg.ndim)
    return Tile((), int32 if isinstance(arg, int) else as_dtype(np.asarray(arg, np.float32).dtype))


def trace(fn: Callable[..., None], types: Mapping[str, Tensor | Tile]) -> Func:
    """``fn(*params)`` recorded as a function with parameters of ``types``, verified."""
    params = tuple(Value(t, name) for name, t in types.items())
    made = Builder()
    with use(made), made.scope() as body:
        fn(*(TensorValue(p) if isinstance(p.type, Tensor) else TileValue(p) for p in params))
    func = Func(fn.__name__, params, body.close())
    verify(func)
    return func


def run(fn: Callable[..., None], grid, chunk_bytes=1 << 26, **args) -> Func:
    """Trace ``fn`` for ``args`` and execute it; the optimised function must do the same to copies of ``args``."""
    func = trace(fn, {name: type_of(a) for name, a in args.items()})
    copies = {name: a.copy() if isinstance(a, np.ndarray) else a for name, a in args.items()}
    execute(func, full_grid(grid), args, chunk_bytes)
    with redirect_stdout(StringIO()):
        execute(optimize(func, verify=True), full_grid(grid), copies, chunk_bytes)
    for name, a in args.items():
        assert np.asarray(a).tobytes() == np.asarray(copies[name]).tobytes(), name
    return func


def full_grid(grid) -> tuple[int, int, int]:
    sides = grid if isinstance(grid, tuple) else (grid,)
    return (*sides, 1, 1, 1)[:3]


def fresh(values) -> tuple[Value, ...]:
    return tuple(Value(v.type) for v in values)


def for_(start, stop, step, inits, body) -> tuple[TileValue, ...]:
    """``for i in range(start, stop, step): inits = body(i, *inits)``."""
    b = builder()
    bounds = [as_tile(x, "for", int64).astype(int64).value for x in (start, stop, step)]
    values = tuple(i.value for i in inits)
    params = (Value(Tile((), int64)), *fresh(values))
    with b.scope(params) as scope:
        out = body(*(TileValue(p) for p in params))
    out = out if isinstance(out, tuple) else ()
    block = scope.close(tuple(o.value for o in out))
    types = tuple(v.type for v in values)
    op = b.emit(For, types, start=bounds[0], stop=bounds[1], step=bounds[2], inits=values, body=block)
    return tuple(TileValue(r) for r in op.results)


def while_(inits, cond, body) -> tuple[TileValue, ...]:
    b = builder()
    values = tuple(i.value for i in inits)
    blocks = []
    for part in (cond, body):
        params = fresh(values)
        with b.scope(params) as scope:
            out = part(*(TileValue(p) for p in params))
        out = out if isinstance(out, tuple) else (out,)
        blocks.append(scope.close(tuple(o.value for o in out)))
    op = b.emit(While, tuple(v.type for v in values), inits=values, cond=blocks[0], body=blocks[1])
    return tuple(TileValue(r) for r in op.results)


def if_(cond, then, orelse=lambda: ()) -> tuple[TileValue, ...]:
    b = builder()
    blocks = []
    for part in (then, orelse):
        with b.scope() as scope:
            out = part()
        out = out if isinstance(out, tuple) else ()
        blocks.append(scope.close(tuple(o.value for o in out)))
    types = tuple(v.type for v in blocks[0].yields)
    op = b.emit(If, types, cond=cond.value, then=blocks[0], orelse=blocks[1])
    return tuple(TileValue(r) for r in op.results)
