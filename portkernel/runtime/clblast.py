"""CLBlast's matrix product on an OpenCL device of ours: a peer of the benchmarks, where the library is installed."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from . import driver as drivers

_ROW_MAJOR, _PLAIN = 101, 111
"""Of CLBlast's C interface (clblast_c.h)."""


@cache
def _library() -> Any | None:
    name = ctypes.util.find_library("clblast")
    try:
        return ctypes.CDLL(name) if name else None
    except OSError:
        return None


def sgemm(
    a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], out: np.ndarray[Any, Any], wanted: str | None
) -> tuple[Callable[[], None], Callable[[], None]] | None:
    """Two functions: ``a @ b`` in buffers of the device, waited for; and its result copied to ``out``. float32, row-major.

    None without CLBlast. Raises ``RuntimeError`` where CLBlast refuses.
    """
    library = _library()
    if library is None:
        return None
    import pyopencl as cl

    handle = drivers.find("opencl").device(wanted, None).handle
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
    memory = [cl.Buffer(handle.context, flags, hostbuf=x) for x in (a, b, out)]
    queue = ctypes.c_void_p(handle.queue.int_ptr)
    (m, k), n = a.shape, b.shape[1]
    size, real, place = ctypes.c_size_t, ctypes.c_float, [ctypes.c_void_p(x.int_ptr) for x in memory]

    def run() -> None:
        code = library.CLBlastSgemm(
            _ROW_MAJOR, _PLAIN, _PLAIN, size(m), size(n), size(k), real(1), place[0], size(0), size(k), place[1], size(0),
            size(n), real(0), place[2], size(0), size(n), ctypes.byref(queue), None,
        )  # fmt: skip
        if code:
            raise RuntimeError(f"CLBlastSgemm answered {code}")
        handle.queue.finish()

    def read() -> None:
        cl.enqueue_copy(handle.queue, out, memory[2])

    return run, read
