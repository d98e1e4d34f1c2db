"""What a CPU or GPU device reaches in the simplest kernels there are: multiply-adds in registers, a sum over memory."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..backends.c.opencl import MAD
from ..errors import PortkernelError
from .platforms import import_invoker

_ROUNDS = 5
_CHAINS = 12
_STEPS = 1 << 15
_PROGRAMS = 16
"""For each compute unit: enough that a thread that wakes late costs little."""
_MEMORY = 256 << 20


def _compute_text(scalar: str, lanes: int) -> str:
    kind = f"{scalar}{lanes}" if lanes > 1 else scalar
    names = [f"x{i}" for i in range(_CHAINS)]
    return "\n".join(
        [
            "#pragma OPENCL FP_CONTRACT OFF",  # both as in every text of ours
            MAD,
            "#pragma OPENCL EXTENSION cl_khr_fp64 : enable" if scalar == "double" else "",
            f"__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void peak(__global {scalar}* out, {scalar} a, int n) {{",
            f"  {kind} m = ({kind})(a), {', '.join(f'{x} = m + ({scalar}){i}' for i, x in enumerate(names))};",
            "  for (int k = 0; k < n; k++) {",
            *(f"    {x} = pk_mad({x}, m, m);" for x in names),
            "  }",
            f"  {kind} s = {' + '.join(names)};",
            f"  out[get_global_id(0)] = {'+'.join(f's.s{i:x}' for i in range(lanes)) if lanes > 1 else 's'};",
            "}",
        ]
    )


_READ = """
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void peak(__global const float* x, __global float* out, long n) {
  x += n * get_global_id(0);
  float8 a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
  for (long i = 0; i < n; i += 32) {
    a += vload8(0, x + i); b += vload8(0, x + i + 8); c += vload8(0, x + i + 16); d += vload8(0, x + i + 24);
  }
  float8 s = a + b + c + d;
  out[get_global_id(0)] = s.s0 + s.s1 + s.s2 + s.s3 + s.s4 + s.s5 + s.s6 + s.s7;
}
"""


def _best(run: Any) -> float:
    run()
    taken = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)


def measure(wanted: str | None) -> dict[str, object]:
    """``{"flops": {dtype: FLOP/s}, "bandwidth": bytes/s, "device": its name, "place": its implementation}``; only the names where it cannot be measured."""
    from .driver import find
    from .identity import identify

    driver = find("opencl")
    device = driver.device(wanted, None)
    target = driver.target(device)
    found: dict[str, object] = {"flops": {}, "bandwidth": 0.0, "device": device.name, "place": identify(device).place}
    try:
        flops: dict[str, float] = {}
        for dtype, scalar, width in (("float32", "float", 4), ("float64", "double", 8)):
            if dtype in target.native:
                lanes = max(target.dot_vector_bytes or target.vector_bytes, width) // width
                flops[dtype] = _flops(device.handle, scalar, lanes, _PROGRAMS * target.units, width)
        found |= {"flops": flops, "bandwidth": _bandwidth(device.handle, target.units)}
    except (PortkernelError, RuntimeError) as error:
        found["failure"] = str(error)
    return found


def _program(handle: Any, text: str) -> Any:
    import pyopencl as cl

    import_invoker()
    return cl.Kernel(cl.Program(handle.context, text).build(["-cl-std=CL1.2"]), "peak")


def _flops(handle: Any, scalar: str, lanes: int, groups: int, width: int) -> float:
    import pyopencl as cl

    kernel = _program(handle, _compute_text(scalar, lanes))
    out = cl.Buffer(handle.context, cl.mem_flags.READ_WRITE, groups * width)
    kernel.set_args(out, np.dtype(f"f{width}").type(0.5), np.int32(_STEPS))

    def run() -> None:
        cl.enqueue_nd_range_kernel(handle.queue, kernel, (groups,), (1,))
        handle.queue.finish()

    return 2.0 * _CHAINS * lanes * _STEPS * groups / _best(run)


def _bandwidth(handle: Any, groups: int) -> float:
    import pyopencl as cl

    kernel = _program(handle, _READ)
    memory = cl.Buffer(handle.context, cl.mem_flags.READ_ONLY, _MEMORY)
    out = cl.Buffer(handle.context, cl.mem_flags.READ_WRITE, groups * 4)
    cl.enqueue_fill_buffer(handle.queue, memory, np.ones(1, np.float32), 0, _MEMORY)
    count = _MEMORY // 4 // groups // 32 * 32
    kernel.set_args(memory, out, np.int64(count))

    def run() -> None:
        cl.enqueue_nd_range_kernel(handle.queue, kernel, (groups,), (1,))
        handle.queue.finish()

    return 4.0 * count * groups / _best(run)
