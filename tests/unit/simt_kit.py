"""Small SIMT functions written by hand, and the ways to run their text here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from portkernel import targets
from portkernel.backends.base import Param, Source
from portkernel.backends.c.cuda import Cuda
from portkernel.backends.c.dialect import Dialect
from portkernel.backends.c.emit import emit_text
from portkernel.backends.c.hip import Hip
from portkernel.backends.c.musa import Musa
from portkernel.backends.c.opencl import OpenCL
from portkernel.dtypes import DType, bool_, int32, int64
from portkernel.ir import Binary, Block, Const, Op, ProgramId, Tensor, Type, Value
from portkernel.ir import simt as s
from portkernel.loc import Loc
from portkernel.runtime import pocl

sys.path.insert(0, str(Path(__file__).parents[1] / "emulation"))

from harness import run_cuda_on_cpu

Array = NDArray[np.generic]
DIALECTS: dict[str, Dialect] = {"opencl": OpenCL(), "cuda": Cuda(), "hip": Hip(), "musa": Musa()}
TARGETS = {"opencl": "opencl-gpu", "cuda": "nvidia-a100", "hip": "amd-mi300x", "musa": "mthreads-s4000-qy2"}


class Kit:
    """Appends operations; scalar arguments of ``binary`` may be Python numbers."""

    def __init__(self, name: str = "kernel_under_test", threads: int = 1) -> None:
        self.name, self.threads = name, threads
        self.params: list[Value] = []
        self.scopes: list[list[Op]] = [[]]
        self.line = 0

    def emit(self, op: type[Op], *types: Type, hint: str = "", **fields: object) -> Op:
        self.line += 1
        made = op(results=tuple(Value(t, hint) for t in types), loc=Loc("kit.py", self.line), **fields)  # type: ignore[arg-type]
        self.scopes[-1].append(made)
        return made

    def tensor(self, name: str, dtype: DType) -> Value:
        """A contiguous 1-d parameter; the result is its address."""
        value = Value(Tensor(1, dtype, (None,), (1,)), name)
        self.params.append(value)
        return self.emit(s.Base, s.Pointer(dtype, "global"), tensor=value).result

    def scalar(self, name: str, dtype: DType) -> Value:
        from portkernel.ir import Tile

        self.params.append(Value(Tile((), dtype), name))
        return self.params[-1]

    def const(self, value: object, dtype: DType, lanes: int = 1) -> Value:
        return self.emit(Const, s.Vec(dtype, lanes), value=value).result

    def binary(self, fn: str, x: Value, y: Value | float, hint: str = "") -> Value:
        other = y if isinstance(y, Value) else self.const(y, x.vec.dtype, x.vec.lanes)
        compare = fn in ("lt", "le", "gt", "ge", "eq", "ne")
        return self.emit(Binary, s.Vec(bool_, x.vec.lanes) if compare else x.vec, fn=fn, x=x, y=other, hint=hint).result

    def program_id(self, axis: int = 0) -> Value:
        return self.emit(ProgramId, s.Vec(int32), axis=axis, hint="pid").result

    def position(self, lanes: int = 1) -> Value:
        """The first element of this thread."""
        group = self.binary("mul", self.program_id(), self.threads)
        thread = self.emit(s.ThreadId, s.Vec(int32)).result
        at = self.binary("add", group, thread)
        return self.binary("mul", at, lanes) if lanes > 1 else at

    def read(self, pointer: Value, index: Value, lanes: int = 1, hint: str = "") -> Value:
        kind = s.Vec(pointer.pointer.dtype, lanes)
        return self.emit(s.ReadElem, kind, pointer=pointer, index=index, aligned=False, hint=hint).result

    def write(self, pointer: Value, index: Value, value: Value) -> None:
        self.emit(s.WriteElem, pointer=pointer, index=index, value=value, streamed=None, aligned=False)

    def block(self, params: tuple[Value, ...], fill: Callable[[], tuple[Value, ...]]) -> Block:
        self.scopes.append([])
        yields = fill()
        return Block(params, tuple(self.scopes.pop()), yields)

    def loop(
        self, stop: int, inits: tuple[Value, ...], fill: Callable[..., tuple[Value, ...]], unroll: int = 1
    ) -> tuple[Value, ...]:
        index = Value(s.Vec(int64), "i")
        carried = tuple(Value(v.type) for v in inits)
        start, end = self.const(0, int64), self.const(stop, int64)
        body = self.block((index, *carried), lambda: fill(index, *carried))
        types = [v.type for v in inits]
        return self.emit(s.Loop, *types, step=1, unroll=unroll, start=start, stop=end, inits=inits, body=body).results

    def func(self) -> s.SimtFunc:
        return s.SimtFunc(self.name, tuple(self.params), Block((), tuple(self.scopes[0]), ()), self.threads, 0)

    def source(self, dialect: str) -> Source:
        params = tuple(Param(p.hint, p.type) for p in self.params)  # type: ignore[arg-type]
        return emit_text(self.func(), DIALECTS[dialect], targets.find(TARGETS[dialect]), params)


def elementwise(apply: Callable[..., Value], dtypes: tuple[DType, ...], out: DType, lanes: int = 1) -> Kit:
    """``out[i] = apply(x0[i], x1[i], …)`` in ``lanes`` elements a thread."""
    kit = Kit(threads=1 if lanes > 1 else 64)
    pointers = [kit.tensor(f"x{i}", d) for i, d in enumerate(dtypes)]
    target = kit.tensor("out", out)
    at = kit.position(lanes)
    kit.write(target, at, apply(kit, *(kit.read(p, at, lanes) for p in pointers)))
    return kit


def evaluate(
    route: str,
    apply: Callable[..., Value],
    xs: tuple[Array, ...],
    dtypes: tuple[DType, ...],
    out: DType,
    lanes: int = 1,
) -> Array:
    """``apply`` over arrays of any length on one route: ``cuda`` (in emulation) or ``opencl`` (on PoCL)."""
    per_group = lanes if lanes > 1 else 64
    n = len(xs[0])
    groups = -(-n // per_group)
    padded = [np.concatenate([x, np.zeros(groups * per_group - n, x.dtype)]) for x in xs]
    result = np.full(groups * per_group, 1, out.np)
    args = {**{f"x{i}": x for i, x in enumerate(padded)}, "out": result}
    run(route, elementwise(apply, dtypes, out, lanes).source(route), (groups,), args)
    return result[:n]


def run(route: str, source: Source, grid: tuple[int, ...], args: Mapping[str, object]) -> None:
    if route == "cuda":
        run_cuda_on_cpu(source, grid, args)
    else:
        _run_opencl(source, grid, args)


_queue: list[object] = []


def _run_opencl(source: Source, grid: tuple[int, ...], args: Mapping[str, object]) -> None:
    import pyopencl as cl

    if not _queue:
        wanted = os.environ.get("PORTKERNEL_TEST_PLATFORM", "Portable Computing Language")
        device = next(p for p in cl.get_platforms() if p.name == wanted).get_devices()[0]
        pocl.repair(device)
        context = cl.Context([device])
        _queue.extend([context, cl.CommandQueue(context)])
    context, queue = _queue
    flags = list(dict(source.options)["flags"])  # type: ignore[call-overload]
    program = cl.Program(context, source.text).build(flags)  # type: ignore[attr-defined]
    kernel = getattr(program, source.entry)
    values: list[object] = []
    copied: list[tuple[object, Array]] = []
    for param in source.params:
        value = args[param.name]
        if not isinstance(param.type, Tensor):
            dtype = param.type.dtype
            register = (
                np.float32 if dtype.is_float and dtype.bits < 64 else np.int32 if dtype.is_bool else dtype.np.type
            )
            values.append(register(value))  # type: ignore[arg-type]
            continue
        assert isinstance(value, np.ndarray)
        raw = value.view(np.uint8)
        buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR, hostbuf=raw)  # type: ignore[attr-defined]
        copied.append((buffer, raw))
        values += [buffer, np.int64(0), np.int64(len(value))]
    status = np.zeros(1, np.int32)
    word = cl.Buffer(context, cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR, hostbuf=status)  # type: ignore[attr-defined]
    full = (*grid, 1, 1, 1)[:3]
    kernel(queue, (full[0] * source.threads, *full[1:]), (source.threads, 1, 1), *values, word)
    for buffer, raw in copied:
        cl.enqueue_copy(queue, raw, buffer)
    cl.enqueue_copy(queue, status, word)
    assert status[0] == 0, source.asserts[status[0] - 1]
