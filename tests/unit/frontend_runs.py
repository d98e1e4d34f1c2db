"""Lowering a kernel and executing it on NumPy, for the tests of the front-end."""

from __future__ import annotations

from types import FunctionType

import numpy as np

from portkernel import dtypes as d
from portkernel import ir
from portkernel.backends.numpy import execute
from portkernel.frontend import KernelFn, kernel_from_source


def array(rank: int, dtype: d.DType = d.float32) -> ir.Tensor:
    return ir.Tensor(rank, dtype, (None,) * rank, (None,) * (rank - 1) + (1,) if rank else ())


def lower(fn: FunctionType, constants: dict[str, object] | None = None, **types: ir.Tensor | ir.Tile) -> ir.Func:
    func = KernelFn(fn).lower(types, constants or {})
    ir.verify(func)
    return func


def count(func: ir.Func, op: type[ir.Op]) -> int:
    return sum(isinstance(o, op) for o in ir.walk(func.body))


def run(fn: FunctionType | str, n: int = 0, size: int = 8, dtype: d.DType = d.float32) -> list[float]:
    """What ``fn(x, out, n)`` writes to ``out``, which begins as -99, for x = 1, 2, 3, …"""
    made = kernel_from_source(fn, "kernel") if isinstance(fn, str) else fn
    func = lower(made, x=array(1), out=array(1, dtype), n=ir.Tile((), d.int32))
    out = np.full(size, -99, dtype.np)
    x = np.arange(1, 17, dtype=np.float32)
    execute(func, (1, 1, 1), {"x": x, "out": out, "n": np.int32(n)}, 1 << 20)
    return [float(v) for v in out]
