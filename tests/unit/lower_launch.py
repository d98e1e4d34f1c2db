"""Launches lowered kernels directly through pyopencl: the lowering and the emitter, without the runtime."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from portkernel import dtypes as d
from portkernel import targets
from portkernel.backends.opencl import OpenCLBackend
from portkernel.errors import DeviceAssertionError
from portkernel.frontend import KernelFn
from portkernel.ir import Func, Tensor, Tile
from portkernel.passes import optimize
from portkernel.targets import Target

CPU = targets.variant(targets.find("opencl-cpu"), local_bytes=1 << 20)
GPU = targets.find("opencl-gpu")


@cache
def _device() -> Any:
    import pyopencl as cl

    from portkernel.runtime.pocl import repair

    for platform in cl.get_platforms():
        if platform.name == "Portable Computing Language":
            (device, *_) = platform.get_devices()
            repair(device)
            context = cl.Context([device])
            return context, cl.CommandQueue(context)
    return None


def available() -> bool:
    """Whether PoCL is here."""
    try:
        return _device() is not None
    except ImportError:
        return False


def tensor_type(x: np.ndarray) -> Tensor:
    """The type that a launch gives to ``x``."""
    strides = tuple(s // x.itemsize for s in x.strides)
    return Tensor(
        x.ndim,
        d.as_dtype(x.dtype),
        tuple(1 if n == 1 else None for n in x.shape),
        tuple(s if s in (0, 1) else None for s in strides),
    )


def types_of(kernel: KernelFn, args: dict[str, Any]) -> dict[str, Tensor | Tile]:
    found: dict[str, Tensor | Tile] = {}
    for p in kernel.params:
        if p.constexpr:
            continue
        x = args[p.name]
        if isinstance(x, np.ndarray):
            found[p.name] = tensor_type(x)
        else:
            found[p.name] = Tile((), d.as_dtype(x.dtype) if isinstance(x, np.generic) else d.weak_dtype(x))
    return found


def lowered(kernel: KernelFn, args: dict[str, Any], constants: dict[str, Any]) -> Func:
    given = {p.name: p.default for p in kernel.params if p.constexpr}
    return optimize(kernel.lower(types_of(kernel, args), {**given, **constants}), verify=True)


def launch(
    kernel: KernelFn, grid: tuple[int, ...], args: dict[str, Any], constants: dict[str, Any], target: Target
) -> str:
    """Compile, run, and write the outputs back; the text that ran."""
    import pyopencl as cl

    context, queue = _device()
    source = OpenCLBackend().emit(lowered(kernel, args, constants), target)
    program = cl.Program(context, source.text).build(options=["-cl-std=CL1.2"])
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
    call: list[Any] = []
    back: list[tuple[np.ndarray, np.ndarray, Any]] = []
    for p in source.params:
        x = args[p.name]
        if isinstance(p.type, Tensor):
            whole, offset = _backing(x)
            buffer = cl.Buffer(context, flags, hostbuf=whole if whole.size else np.zeros(1, np.uint8))
            call += [buffer, np.int64(offset)]
            call += [np.int64(n) for n, k in zip(x.shape, p.type.shape, strict=True) if k is None]
            call += [np.int64(s // x.itemsize) for s, k in zip(x.strides, p.type.strides, strict=True) if k is None]
            back.append((x, whole, buffer))
        elif p.type.dtype.name in ("float16", "bfloat16"):
            call.append(np.float32(x))
        else:
            call.append(np.int32(x) if p.type.dtype.is_bool else p.type.dtype.np.type(x))
    status = cl.Buffer(context, flags, hostbuf=np.zeros(1, np.int32))
    groups = (*grid, 1, 1)[:3]
    run = getattr(program, source.entry)
    run(queue, (groups[0] * source.threads, *groups[1:]), (source.threads, 1, 1), *call, status)
    code = np.zeros(1, np.int32)
    cl.enqueue_copy(queue, code, status)
    for _x, whole, buffer in back:
        if whole.size and whole.flags.writeable:
            cl.enqueue_copy(queue, whole, buffer)
    queue.finish()
    if code[0]:
        raise DeviceAssertionError(source.asserts[int(code[0]) - 1][0])
    return source.text


def _backing(x: np.ndarray) -> tuple[np.ndarray, int]:
    """The bytes that ``x`` spans, as they lie in memory, and where its first element is in them, in elements."""
    if x.size == 0:
        return np.zeros(0, np.uint8), 0
    low = sum(min(0, (n - 1) * s) for n, s in zip(x.shape, x.strides, strict=True))
    high = sum(max(0, (n - 1) * s) for n, s in zip(x.shape, x.strides, strict=True)) + x.itemsize
    import ctypes

    start = x.__array_interface__["data"][0] + low
    raw = (ctypes.c_uint8 * (high - low)).from_address(start)
    whole = np.frombuffer(raw, np.uint8)
    whole.flags.writeable = True
    return whole, -low // x.itemsize
