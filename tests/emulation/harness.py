"""Runs CUDA text on the CPU: g++ compiles it unchanged behind ``cuda_emulation.h``, ctypes calls it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from portkernel.backends.base import Source
from portkernel.errors import CompilerError, DeviceAssertionError, InternalError
from portkernel.ir import Tensor

HEADER = Path(__file__).with_name("cuda_emulation.h")
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing", "-w")
_CTYPES = {
    "b": ctypes.c_int32, "i1": ctypes.c_int8, "i2": ctypes.c_int16, "i4": ctypes.c_int32, "i8": ctypes.c_int64,
    "u1": ctypes.c_uint8, "u2": ctypes.c_uint16, "u4": ctypes.c_uint32, "u8": ctypes.c_uint64, "f8": ctypes.c_double,
}  # fmt: skip


def available() -> bool:
    """Whether there is a C++ compiler."""
    return shutil.which("g++") is not None


def run_cuda_on_cpu(
    source: Source,
    grid: tuple[int, ...],
    args: Mapping[str, object],
    *,
    order: str = "forward",
) -> None:
    """Launch ``source`` over ``grid`` on NumPy arrays and scalars by parameter name, writing outputs in place.

    ``order`` is ``forward`` or ``backward``: in which order the threads of a block run between barriers. A kernel
    whose results depend on it has a data race. Raises :class:`DeviceAssertionError` as a device launch does, and
    :class:`InternalError` if the threads of a block do not meet at the same barriers.
    """
    library = _compile(source)
    status = ctypes.c_int32(0)
    values = [*_pack(source, args), ctypes.c_void_p(ctypes.addressof(status))]
    pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
    sizes = (ctypes.c_uint32 * 3)(*(*grid, 1, 1, 1)[:3])
    barriers = int("__syncthreads" in source.text)
    failed = library.pk_launch(sizes, source.threads, barriers, int(order == "backward"), pointers)
    if failed:
        raise InternalError(
            f"{source.entry}: " + ("a barrier in divergent control flow", "no memory for stacks")[failed - 1]
        )
    if status.value:
        message, loc = source.asserts[status.value - 1]
        raise DeviceAssertionError(message, loc=loc)


def _pack(source: Source, args: Mapping[str, object]) -> list[ctypes._SimpleCData]:  # type: ignore[type-arg]
    """The values of the C parameters: see ``backends.base.Param``."""
    found: list[ctypes._SimpleCData] = []  # type: ignore[type-arg]
    for param in source.params:
        value = args[param.name]
        if isinstance(param.type, Tensor):
            array = np.asarray(value)
            assert array.dtype == param.type.dtype.np, (param.name, array.dtype, param.type)
            found.append(ctypes.c_void_p(array.ctypes.data))
            steps = [s // array.itemsize for s in array.strides]
            found += [ctypes.c_int64(n) for n, known in zip(array.shape, param.type.shape) if known is None]
            found += [ctypes.c_int64(n) for n, known in zip(steps, param.type.strides) if known is None]
        else:
            dtype = param.type.dtype
            if dtype.is_float and dtype.bits < 64:
                found.append(ctypes.c_float(float(np.asarray(value).astype(dtype.np))))  # type: ignore[arg-type]
            else:
                kind = _CTYPES["b" if dtype.is_bool else f"{dtype.kind}{dtype.itemsize}"]
                found.append(kind(value))
    return found


@cache
def _compile(source: Source) -> ctypes.CDLL:
    text = source.text
    key = hashlib.sha256("\0".join((text, source.entry, HEADER.read_text(), *FLAGS)).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"portkernel-emulation-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{key}.so"
    if not library.exists():
        kernel = folder / f"{key}.cu"
        kernel.write_text(text)
        # The entry is renamed, lest it clash with a function of the C library.
        wrapper = (
            f'#define {source.entry} pk_entry_{source.entry}\n#include "{kernel.name}"\n'
            'extern "C" int pk_launch(const unsigned* grid, unsigned threads, int barriers, int backward, void** args) {\n'
            f"  return pk_emulation::launch({source.entry}, grid, threads, barriers, backward, args);\n}}\n"
        )
        made = folder / f"{key}.{os.getpid()}.so"
        done = subprocess.run(
            ["g++", *FLAGS, "-include", str(HEADER), "-x", "c++", "-", "-I", str(folder), "-o", str(made)],
            input=wrapper, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise CompilerError(f"{source.entry}: g++ refused the text", log=done.stderr, source=text)
        made.replace(library)
    return ctypes.CDLL(str(library))
