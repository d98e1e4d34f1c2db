"""The C structure of a DLPack capsule, read in place: every dtype and every device, with no copy.

Layout: https://dmlc.github.io/dlpack/latest/c_api.html
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

from ..dtypes import BY_NAME, DType
from ..errors import ArgumentDTypeError, ArgumentTypeError, MissingDependencyError
from .arguments import HOST, ArrayRef

_DEVICES = {1: "cpu", 2: "cuda", 3: "cpu", 13: "cuda"}
"""kDLCPU, kDLCUDA, kDLCUDAHost (readable by the CPU), kDLCUDAManaged."""
_KINDS = {0: "int", 1: "uint", 2: "float"}
_WHOLE_CODES = {4: "bfloat16", 6: "bool", 10: "float8_e4m3fn", 12: "float8_e5m2"}
_READ_ONLY_FLAG = 1


class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _DLTensor),
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """A tensor as DLPack tells it; ``strides`` count elements."""

    ptr: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: DType
    device: tuple[str, int]
    readonly: bool


_get_name = ctypes.pythonapi.PyCapsule_GetName
_get_name.restype, _get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype, _get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def read_capsule(producer: Any) -> tuple[object, Facts]:
    """The producer's capsule, which keeps the memory alive, and what it says. The capsule is never consumed."""
    try:
        capsule = producer.__dlpack__(max_version=(1, 0))
    except TypeError:  # a producer from before DLPack 1.0
        capsule = producer.__dlpack__()
    if type(capsule).__name__ != "PyCapsule":
        raise ArgumentTypeError(f"expected a capsule from __dlpack__, got {type(capsule).__name__}")
    name = _get_name(capsule)
    address = _get_pointer(capsule, name)
    readonly = False
    if name == b"dltensor_versioned":
        versioned = _Versioned.from_address(address)
        readonly = bool(versioned.flags & _READ_ONLY_FLAG)
        tensor = versioned.tensor
    else:
        tensor = _DLTensor.from_address(address)
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    if tensor.strides:
        strides = tuple(tensor.strides[i] for i in range(tensor.ndim))
    else:
        strides = _contiguous(shape)
    if tensor.device_type not in _DEVICES:
        raise ArgumentTypeError(f"expected an array on cpu or cuda, got DLPack device type {tensor.device_type}")
    ptr = (tensor.data or 0) + tensor.byte_offset
    device = (_DEVICES[tensor.device_type], tensor.device_id)
    return capsule, Facts(ptr, shape, strides, _dtype(tensor), device, readonly)


def _dtype(tensor: _DLTensor) -> DType:
    name = _WHOLE_CODES.get(tensor.code) or f"{_KINDS.get(tensor.code, '?')}{tensor.bits}"
    found = BY_NAME.get(name)
    if found is None or tensor.lanes != 1:
        raise ArgumentDTypeError(
            f"expected an array of a kernel dtype, got DLPack type code {tensor.code} of {tensor.bits} bits",
            hint="the dtypes are " + ", ".join(BY_NAME),
        )
    return found


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * max(1, shape[i + 1])
    return tuple(strides)


# --- arrays of libraries that are not known here ------------------------------------------------------------


def adopt(producer: Any, ref: ArrayRef) -> Any:
    """The memory of ``producer``, which ``ref`` describes, as an array of NumPy, or of CuPy on a CUDA device; no copy."""
    if ref.device == HOST:
        return ref.numpy()
    try:
        import cupy
    except ImportError:
        raise MissingDependencyError(
            f"expected CuPy for an array of {type(producer).__name__} on {ref.device}, got none",
            hint='pip install "portkernel[cuda]"',
        ) from None
    return cupy.from_dlpack(producer) if hasattr(type(producer), "__dlpack__") else cupy.asarray(producer)


def deliver(result: Any, like: Any) -> Any:
    """``result`` as an array of the library of ``like``, on the same memory, by that library's own ``from_dlpack``.

    It stays as it is where the library has none, or does not take the dtype.
    """
    package = sys.modules.get(type(like).__module__.partition(".")[0])
    spaces = getattr(like, "__array_namespace__", None)
    for owner in (spaces() if spaces is not None else None, package, getattr(package, "dlpack", None)):
        convert = getattr(owner, "from_dlpack", None)
        if convert is not None:
            try:
                return convert(result)
            except (BufferError, TypeError):
                return result
    return result
