"""What a launch takes: arrays of any library, looked at without importing it, and scalars."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..dtypes import BY_NAME, DType, Scalar, as_dtype, bool_, float32, float64, int32, int64, uint64
from ..errors import (
    ArgumentDTypeError,
    ArgumentShapeError,
    ArgumentTypeError,
    DTypeError,
    PortkernelError,
)
from ..ir import Tensor
from .address import address_of

MAX_RANK = 5
HOST = "cpu"


@dataclass(slots=True)
class ArrayRef:
    """An array where it lies. ``ptr`` is the address of element (0, …, 0); ``strides`` count elements.

    ``device`` is ``cpu``, ``cuda:<index>``, or ``opencl`` with the addresses of context and queue; then ``buffer`` is the
    pyopencl buffer and ``ptr`` an offset into it, in bytes. ``owner`` keeps the memory alive.
    """

    ptr: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: DType
    device: str
    readonly: bool
    owner: Any
    buffer: Any = None

    @property
    def extent(self) -> tuple[int, int]:
        """Bytes from ``ptr`` to the lowest byte of the array (0 or negative), and to one past the highest."""
        if 0 in self.shape:
            return 0, 0
        reach = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        size = self.dtype.itemsize
        return size * sum(r for r in reach if r < 0), size * (1 + sum(r for r in reach if r > 0))

    def numpy(self) -> np.ndarray[Any, Any]:
        """A NumPy view of host memory; of other memory a view that may be compared but not read."""
        if type(self.owner) is np.ndarray and self.owner.dtype == self.dtype.np:
            return self.owner
        size = self.dtype.itemsize
        view = np.asarray(_Interface(self))
        if view.dtype.itemsize != size:
            raise ArgumentDTypeError(f"expected elements of {size} bytes, got {view.dtype}")
        return view.view(self.dtype.np)


def host_bytes(address: int, size: int) -> np.ndarray[Any, Any]:
    """``size`` bytes of host memory at ``address``, which somebody else keeps alive."""
    memory: Any = (ctypes.c_uint8 * size).from_address(address) if size else b""
    return np.frombuffer(memory, np.uint8)


class _Interface:
    """NumPy's array interface over an address, with unsigned integers of the element's width."""

    def __init__(self, ref: ArrayRef) -> None:
        size = ref.dtype.itemsize
        self.owner = ref.owner
        self.__array_interface__ = {
            "version": 3,
            "typestr": f"|u{size}" if size == 1 else f"<u{size}",
            "shape": ref.shape,
            "strides": tuple(s * size for s in ref.strides),
            "data": (ref.ptr, ref.readonly),
        }


def tensor_type(ref: ArrayRef) -> Tensor:
    """What the compiler may assume of ``ref``: the specialisation rules of :class:`portkernel.ir.Tensor`."""
    shape = tuple(1 if n == 1 else None for n in ref.shape)
    strides = tuple(0 if n == 1 else s if s in (0, 1) else None for n, s in zip(ref.shape, ref.strides, strict=True))
    open_strides = (s for s, known in zip(ref.strides, strides, strict=True) if known is None)
    aligned = ref.ptr % 16 == 0 and all(s % 16 == 0 for s in open_strides)
    return Tensor(len(shape), ref.dtype, shape, strides, 16 if aligned else 1)


# --- arrays -------------------------------------------------------------------------------------------------


def as_array(value: Any, where: str) -> ArrayRef | None:
    """``value`` as an array, or None if it is not one. ``where`` begins the messages: ``kernel(): argument``."""
    ref = look(value, where)
    if ref is None:
        return None
    if len(ref.shape) > MAX_RANK:
        raise ArgumentShapeError(
            f"{where}: expected an array of at most {MAX_RANK} dimensions, got {len(ref.shape)}",
            hint="reshape it, or drop dimensions of length 1",
        )
    return ref


def look(value: Any, where: str) -> ArrayRef | None:
    """As :func:`as_array`, of any rank."""
    try:
        return _look(value, where)
    except DTypeError:
        raise ArgumentDTypeError(
            f"{where}: expected an array of a kernel dtype, got {getattr(value, 'dtype', '?')}",
            hint="convert it first: the dtypes are " + ", ".join(BY_NAME),
        ) from None


def _look(value: Any, where: str) -> ArrayRef | None:
    if isinstance(value, np.ndarray):
        return _from_numpy(value, where)
    module = type(value).__module__.partition(".")[0]
    if hasattr(value, "data_ptr") and _is_torch(value.__class__):
        return _from_torch(value, where)
    if module == "pyopencl" and hasattr(value, "base_data"):
        return _from_pyopencl(value, where)
    if isinstance(value, (np.generic, bool, int, float)):
        return None
    if hasattr(type(value), "__cuda_array_interface__"):
        return _from_cuda_interface(value, where)
    if hasattr(type(value), "__dlpack__"):
        return _from_dlpack(value, where)
    if hasattr(type(value), "__array_interface__"):
        return _from_numpy(np.asarray(value), where)
    return None


@cache
def _is_torch(kind: type) -> bool:
    """Whether ``kind`` is a tensor of PyTorch, or a class made from it."""
    return any(base.__module__.partition(".")[0] == "torch" and base.__name__ == "Tensor" for base in kind.__mro__)


def _elements(
    byte_strides: tuple[int, ...], shape: tuple[int, ...], size: int, ptr: int, where: str
) -> tuple[int, ...]:
    """Strides in elements, with 0 for every dimension of length 1."""
    strides = tuple(0 if n == 1 else s for s, n in zip(byte_strides, shape, strict=True))
    if any(s % size for s in strides) or ptr % size:
        odd = f"the address {ptr:#x}" if ptr % size else f"strides of {byte_strides} bytes"
        raise ArgumentShapeError(
            f"{where}: expected elements at multiples of their {size} bytes, got {odd}",
            hint="copy it first: x.copy()",
        )
    return tuple(s // size for s in strides)


def _from_numpy(a: np.ndarray[Any, Any], where: str) -> ArrayRef:
    if type(a) is not np.ndarray and isinstance(a, np.ma.MaskedArray):  # numpy.ma takes 12 ms to import
        raise ArgumentTypeError(
            f"{where}: expected an array or a scalar, got a masked array", hint="pass x.filled(...)"
        )
    if not a.dtype.isnative:
        raise ArgumentDTypeError(
            f"{where}: expected native byte order, got {a.dtype.str}",
            hint='convert it first: x.astype(x.dtype.newbyteorder("="))',
        )
    dtype = as_dtype(a.dtype)
    ptr = address_of(a) if type(a) is np.ndarray else a.__array_interface__["data"][0]
    strides = _elements(a.strides, a.shape, dtype.itemsize, ptr, where)
    return ArrayRef(ptr, a.shape, strides, dtype, HOST, not a.flags.writeable, a)


def _from_torch(t: Any, where: str) -> ArrayRef:
    if str(t.layout) != "torch.strided":
        raise ArgumentTypeError(f"{where}: expected a dense tensor, got layout {t.layout}", hint="pass x.to_dense()")
    kind = t.device.type
    if kind not in ("cpu", "cuda"):
        raise ArgumentTypeError(f"{where}: expected a tensor on cpu or cuda, got {t.device}", hint="pass x.cpu()")
    if t.is_neg():  # its memory holds the negatives
        raise ArgumentTypeError(
            f"{where}: expected a plain tensor, got one with the negative bit", hint="pass x.resolve_neg()"
        )
    device = HOST if kind == "cpu" else f"cuda:{t.device.index or 0}"
    if t.dtype.is_complex:
        raise DTypeError("complex")
    shape = tuple(t.shape)
    strides = tuple(0 if n == 1 else s for n, s in zip(shape, t.stride(), strict=True))
    return ArrayRef(t.data_ptr(), shape, strides, as_dtype(str(t.dtype)), device, False, t)


def _from_pyopencl(a: Any, where: str) -> ArrayRef:
    if a.queue is None:
        raise ArgumentTypeError(
            f"{where}: expected a pyopencl array with a queue, got one without", hint="x.with_queue(q)"
        )
    dtype = as_dtype(a.dtype)
    strides = _elements(a.strides, a.shape, dtype.itemsize, a.offset, where)
    return ArrayRef(
        a.offset, a.shape, strides, dtype, f"opencl:{a.context.int_ptr}:{a.queue.int_ptr}", False, a, a.base_data
    )


def _from_cuda_interface(a: Any, where: str) -> ArrayRef:
    facts = a.__cuda_array_interface__
    dtype = as_dtype(getattr(a, "dtype", facts["typestr"]))
    ptr, readonly = facts["data"]
    shape = tuple(facts["shape"])
    byte_strides = facts.get("strides")
    if byte_strides is None:
        byte_strides = tuple(dtype.itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape)))
    strides = _elements(byte_strides, shape, dtype.itemsize, ptr or 0, where)
    device = f"cuda:{getattr(getattr(a, 'device', None), 'id', 0)}"
    return ArrayRef(ptr or 0, shape, strides, dtype, device, bool(readonly), a)


def _from_dlpack(a: Any, where: str) -> ArrayRef:
    from .dlpack import read_capsule  # with ctypes

    try:
        capsule, facts = read_capsule(a)
    except PortkernelError as e:
        raise type(e)(f"{where}: {e.message}", hint=e.hint) from None
    kind, index = facts.device
    strides = tuple(0 if n == 1 else s for n, s in zip(facts.shape, facts.strides, strict=True))
    device = HOST if kind == "cpu" else f"{kind}:{index}"
    return ArrayRef(facts.ptr, facts.shape, strides, facts.dtype, device, facts.readonly, (a, capsule))


# --- scalars ------------------------------------------------------------------------------------------------


def as_scalar(value: object, double: bool) -> tuple[DType, Scalar] | None:
    """The dtype and value that a scalar argument has in the kernel, or None if it is not a scalar.

    A Python integer is int32 if it fits, else int64, else uint64; a Python float is float64 if ``double`` (an array
    argument is float64), else float32. NumPy's scalars keep their dtype.
    """
    if isinstance(value, np.generic):
        try:
            return as_dtype(value.dtype), value.item()
        except DTypeError:
            return None
    if isinstance(value, bool):
        return bool_, value
    if isinstance(value, int):
        found = next((t for t in (int32, int64, uint64) if t.min <= value <= t.max), None)
        return None if found is None else (found, value)
    if isinstance(value, float):
        return (float64 if double else float32), value
    return None
