"""A launch's arguments carried to another process: their bytes in files, laid out there as they were here."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..dtypes import Scalar, as_dtype
from .arguments import HOST, ArrayRef
from .driver import Value

_LINE = 64
"""Addresses are kept modulo a cache line, so that the copies are of the same alignment class."""


@dataclass(frozen=True, slots=True)
class Resident:
    """An argument in this process. ``read()`` gives the bytes of its memory, for an array."""

    value: Value
    memory: Any = None

    def read(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        if isinstance(self.memory, np.ndarray):
            return self.memory
        found = np.empty(self.memory.mem.size, np.uint8)
        self.memory.copy_to_host(found.ctypes.data, found.size)
        return found

    def elements(self) -> np.ndarray[Any, Any]:
        """The array's elements, copied."""
        assert isinstance(self.value, ArrayRef)
        ref, raw = self.value, self.read()
        low = ref.extent[0]
        size = ref.dtype.itemsize
        plain = np.ndarray(
            ref.shape, f"V{size}", raw.tobytes(), offset=-low, strides=tuple(s * size for s in ref.strides)
        )
        return np.ascontiguousarray(plain).view(ref.dtype.np)


def can_carry(ref: ArrayRef) -> bool:
    """Whether :func:`pack` takes arrays that lie where ``ref`` does."""
    return ref.buffer is None and (ref.device == HOST or ref.device.startswith("cuda:"))


def pack(name: str, value: Value, folder: Path) -> dict[str, object]:
    """Write an array's bytes to ``folder``; what :func:`unpack` needs to know of it, or of a scalar."""
    if not isinstance(value, ArrayRef):
        return {"name": name, "value": _plain(value)}
    low, high = value.extent
    if value.device == HOST:
        raw = ctypes.string_at(value.ptr + low, high - low)
    else:
        cell = ctypes.create_string_buffer(high - low)
        _cuda().cuda.runtime.memcpy(ctypes.addressof(cell), value.ptr + low, high - low, 2)
        raw = cell.raw
    (folder / f"{name}.bin").write_bytes(raw)
    return {
        "name": name, "shape": value.shape, "strides": value.strides, "dtype": value.dtype.name, "device": value.device,
        "line": (value.ptr + low) % _LINE,
    }  # fmt: skip


def unpack(facts: Mapping[str, Any], folder: Path) -> Resident:
    """The argument that :func:`pack` described, in memory of its own."""
    if "value" in facts:
        return Resident(_scalar(facts["value"]))
    dtype = as_dtype(facts["dtype"])
    shape, strides = tuple(facts["shape"]), tuple(facts["strides"])
    reach = [(n - 1) * s * dtype.itemsize for n, s in zip(shape, strides, strict=True)] if math.prod(shape) else []
    low = sum(r for r in reach if r < 0)
    raw = np.fromfile(folder / f"{facts['name']}.bin", np.uint8)
    if facts["device"] == HOST:
        spare = np.empty(raw.size + 2 * _LINE, np.uint8)
        start = (facts["line"] - spare.ctypes.data) % _LINE
        memory: Any = spare[start : start + raw.size]
        memory[:] = raw
        address = memory.ctypes.data
    else:
        device = _cuda().cuda.Device(int(facts["device"].partition(":")[2]))
        with device:
            memory = _cuda().cuda.alloc(raw.size)
        memory.copy_from_host(raw.ctypes.data, raw.size)
        address = memory.ptr
    return Resident(ArrayRef(address - low, shape, strides, dtype, facts["device"], False, memory), memory)


def _cuda() -> Any:
    from .cuda_kernel import package

    return package()


def _plain(value: Scalar) -> object:
    """JSON keeps integers and bools; floats go as their exact text."""
    return value if isinstance(value, (bool, int)) else float(value).hex()


def _scalar(value: object) -> Scalar:
    return float.fromhex(value) if isinstance(value, str) else value  # type: ignore[return-value]
