"""Launching a CUDA kernel through CuPy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from ..backends import Source
from ..errors import MissingDependencyError
from ..ir import Tensor
from .arguments import HOST, ArrayRef, host_bytes
from .driver import Device, Grid, Launch, Value, raise_assertion
from .opencl_kernel import scalar_type
from .statistics import COUNTERS

_STATIC_LOCAL = 48 * 1024
"""What a kernel may use of shared memory without asking."""


@cache
def package() -> Any:
    """CuPy. Raises :class:`~portkernel.errors.MissingDependencyError`."""
    try:
        import cupy
    except ImportError:
        raise MissingDependencyError("cuda: CuPy is not installed", hint='pip install "portkernel[cuda]"') from None
    return cupy


class Loaded:
    """A kernel in a CuPy module."""

    def __init__(self, source: Source, device: Device, cubin: bytes, writes: frozenset[str]) -> None:
        self.source = source
        self.device = device
        self.writes = writes
        cupy = package()
        with cupy.cuda.Device(device.handle):
            self.module = cupy.cuda.function.Module()
            self.module.load(cubin)
            self.function = self.module.get_function(source.entry)
            if source.local_bytes > _STATIC_LOCAL:
                api = import_module("cupy_backends.cuda.api.driver")
                limit = api.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
                api.funcSetAttribute(self.function.ptr, limit, source.local_bytes)
            self.status = cupy.zeros(1, cupy.int32)

    def prepare(self, args: Sequence[Value]) -> Launch:
        """Arguments as ctypes-sized NumPy scalars, open sizes and strides fixed."""
        cupy, source = package(), self.source
        templates = [(p, a if isinstance(a, ArrayRef) else None) for p, a in zip(source.params, args, strict=True)]

        def launch(grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> None:
            copies: list[tuple[Any, Any]] = []
            with cupy.cuda.Device(self.device.handle):
                flat: list[Any] = []
                for (param, ref), value in zip(templates, values, strict=True):
                    if ref is None:
                        flat.append(np.dtype(scalar_type(param.type.dtype)).type(value))
                        continue
                    assert isinstance(param.type, Tensor)
                    flat.append(np.uint64(self._address(param.name, ref, value, copies)))
                    flat += [np.int64(n) for n, known in zip(ref.shape, param.type.shape, strict=True) if known is None]
                    flat += [
                        np.int64(s) for s, known in zip(ref.strides, param.type.strides, strict=True) if known is None
                    ]
                if source.asserts:
                    self.status.fill(0)
                flat.append(np.uint64(self.status.data.ptr))
                self.function(grid, (source.threads, 1, 1), tuple(flat), source.local_bytes)
                for host, copy in copies:
                    if host is not None:
                        host[...] = cupy.asnumpy(copy)
                if source.asserts:
                    raise_assertion(source, int(self.status.get()[0]))

        return launch

    def _address(self, name: str, ref: ArrayRef, value: int, copies: list[tuple[Any, Any]]) -> int:
        """The address of element (0, …, 0) on the device; host arrays are copied there, outputs noted for the way back."""
        if ref.device != HOST:
            return value
        low, high = ref.extent
        if low == high:
            return 0
        host = host_bytes(value + low, high - low)
        copy = package().asarray(host)
        copies.append((host if name in self.writes else None, copy))
        COUNTERS.add("bytes_copied", (high - low) * (2 if name in self.writes else 1))
        return int(copy.data.ptr) - low
