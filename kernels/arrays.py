"""What host functions share: arrays of any library looked at as shape and strides, viewed anew, allocated like another.

No array library but NumPy is imported here: an array brings its own.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.dtypes import as_dtype
from portkernel.errors import ArgumentDTypeError, ArgumentShapeError, ArgumentTypeError, DTypeError, ReadOnlyError

Shape = tuple[int, ...]
MOST = sys.maxsize
"""Bytes that can be counted."""


def library(x: object) -> str:
    """The package that ``x`` comes from: ``numpy``, ``torch``, ``cupy``, ``pyopencl`` …"""
    return "numpy" if isinstance(x, np.ndarray) else type(x).__module__.partition(".")[0]


def dtype_of(where: str, x: Any, allowed: Sequence[pk.DType] = ()) -> pk.DType:
    """The dtype of the array ``x``; ``where`` begins the messages: ``function(): argument``.

    Raises ArgumentTypeError for what is no array, ArgumentDTypeError for a dtype that is not among ``allowed``.
    """
    if "numpy.ma" in sys.modules and isinstance(x, np.ma.MaskedArray):
        raise ArgumentTypeError(f"{where}: expected an array, got a masked array", hint="pass x.filled(...)")
    if not hasattr(x, "shape") or not hasattr(x, "dtype") or isinstance(x, np.generic):
        raise ArgumentTypeError(f"{where}: expected an array, got {type(x).__name__}", hint="pass numpy.asarray(x)")
    if library(x) == "torch" and str(x.layout) != "torch.strided":
        raise ArgumentTypeError(f"{where}: expected a dense tensor, got layout {x.layout}", hint="pass x.to_dense()")
    try:
        found = as_dtype(x.dtype)
    except DTypeError:
        found = None
    if found is None or (allowed and found not in allowed):
        names = ", ".join(dict.fromkeys(d.name for d in allowed)) or "a kernel dtype"
        raise ArgumentDTypeError(f"{where}: expected {names}, got {x.dtype}", hint="convert the array first")
    if not getattr(x.dtype, "isnative", True):
        raise ArgumentDTypeError(
            f"{where}: expected native byte order, got {x.dtype.str}",
            hint='convert it first: x.astype(x.dtype.newbyteorder("="))',
        )
    return found


def named_dtype(where: str, dtype: Any) -> pk.DType:
    """The dtype that a caller names; ``where`` begins the message of the ArgumentDTypeError for what names none."""
    try:
        return as_dtype(dtype)
    except DTypeError as e:
        raise ArgumentDTypeError(f"{where}: {e.message}", hint=e.hint) from None


def empty(like: Any, shape: Shape, dtype: pk.DType) -> Any:
    """A new array in the library and on the device of ``like``, in row-major order; its elements are undefined.

    Raises ArgumentShapeError for one that no memory could hold.
    """
    if math.prod(shape) * dtype.itemsize > MOST or max(shape, default=0) > MOST:
        raise ArgumentShapeError(f"expected a result of at most {MOST} bytes, got shape {shape}")
    return pk.note_allocation(_empty(like, shape, dtype))


def _empty(like: Any, shape: Shape, dtype: pk.DType) -> Any:
    match library(like):
        case "torch":
            return like.new_empty(shape, dtype=getattr(sys.modules["torch"], dtype.name))
        case "cupy":
            with like.device:
                return sys.modules["cupy"].empty(shape, dtype.np)
        case "pyopencl":
            return type(like)(like.queue, shape, dtype.np)
        case _:
            return np.empty(shape, dtype.np)


def from_host(like: Any, x: np.ndarray) -> Any:
    """``x`` in the library and on the device of ``like``; a copy unless that is host memory."""
    pk.note_host_work("hands an array of the host to a kernel")
    match library(like):
        case "torch":
            return sys.modules["torch"].from_numpy(x).to(like.device)
        case "cupy":
            with like.device:
                return sys.modules["cupy"].asarray(x)
        case "pyopencl":
            return sys.modules["pyopencl.array"].to_device(like.queue, x)
        case _:
            return x


def to_host(x: Any) -> np.ndarray:
    """``x`` as a NumPy array: waits for its device, and copies if it lies elsewhere."""
    pk.note_host_work("reads an array on the host")
    match library(x):
        case "torch":
            return np.asarray(x.detach().cpu())
        case "cupy" | "pyopencl":
            return np.asarray(x.get())
        case _:
            return np.asarray(x)


def result(where: str, out: Any, like: Any, shape: Shape, dtypes: Sequence[pk.DType]) -> Any:
    """``out`` once its shape and dtype have been checked, or a new array of ``dtypes[0]`` if it is None.

    Raises ArgumentShapeError, ArgumentDTypeError, ReadOnlyError; memory shared with an input is found by the launch.
    """
    if out is None:
        return empty(like, shape, dtypes[0])
    dtype_of(f"{where}: out", out, dtypes)
    if tuple(out.shape) != shape:
        raise ArgumentShapeError(f"{where}: out: expected shape {shape}, got {tuple(out.shape)}")
    check_writable(f"{where}: out", out)
    return out


def check_writable(where: str, x: Any) -> None:
    """Raises ReadOnlyError for an array of NumPy's that may not be written."""
    if isinstance(x, np.ndarray) and not x.flags.writeable:
        raise ReadOnlyError(f"{where}: expected a writable array, got a read-only one", hint="pass a copy")


def may_share(a: Any, b: Any) -> bool:
    """False where two arrays are known to share no memory."""
    if library(a) != library(b):
        return True
    match library(a):
        case "numpy":
            return np.may_share_memory(a, b)
        case "cupy":
            return bool(sys.modules["cupy"].may_share_memory(a, b))
        case "torch":
            return bool(a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr())
        case "pyopencl":
            return bool(a.base_data == b.base_data)
        case _:
            return True


def integer(where: str, x: object) -> int:
    """``x`` as an int; ``where`` begins the message of the ArgumentTypeError for what is none."""
    try:
        return operator.index(x)  # type: ignore[arg-type]
    except TypeError:
        raise ArgumentTypeError(f"{where}: expected an integer, got {x!r}") from None


def integers(where: str, x: object) -> Shape:
    """``x``, an integer or some of them, as a tuple. Raises as ``integer``."""
    return tuple(integer(where, n) for n in x) if isinstance(x, Iterable) else (integer(where, x),)


def number(where: str, x: object) -> Any:
    """``x`` as it is, if it is a real number. Raises ArgumentTypeError."""
    if not isinstance(x, (int, float, np.bool_, np.integer, np.floating)):
        raise ArgumentTypeError(f"{where}: expected a number, got {x!r}")
    return x


def fitting(where: str, x: object, dtype: pk.DType) -> Any:
    """``x`` as it is, if it is a number in the range of ``dtype``; integers have no NaN. Fractions are cut later."""
    if dtype.is_integer and not dtype.min <= number(where, x) <= dtype.max:
        raise ArgumentTypeError(f"{where}: expected a number that fits {dtype}, got {x!r}")
    return number(where, x)


def normal_axes(where: str, axis: int | Sequence[int] | None, ndim: int) -> Shape:
    """The axes named by ``axis`` (all for None), from 0, in order. Raises ArgumentShapeError as NumPy's AxisError.

    Raises ArgumentTypeError for what is no integer.
    """
    named = range(ndim) if axis is None else axis if isinstance(axis, (tuple, list, range)) else (axis,)
    given = [integer(f"{where}: axis", a) for a in named]
    for a in given:
        if not -ndim <= a < ndim:
            known = f"{-ndim} to {ndim - 1}" if ndim else "none of an array without dimensions"
            raise ArgumentShapeError(f"{where}: axis: expected {known}, got {a}")
    found = tuple(sorted(a % ndim for a in given))
    if len(set(found)) != len(found):
        raise ArgumentShapeError(f"{where}: axis: expected each axis once, got {axis}")
    return found


def broadcast_shapes(where: str, *shapes: Shape) -> Shape:
    """NumPy's rule. Raises ArgumentShapeError."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        shown = " and ".join(map(str, shapes))
        raise ArgumentShapeError(f"{where}: expected shapes that broadcast, got {shown}") from None


@dataclass(frozen=True, slots=True)
class View:
    """An array seen under another shape and other strides, which count elements. ``array()`` makes it real.

    The first element stays where it is: permutations, broadcasts, new and merged axes, and nothing that would need a copy.
    """

    base: Any
    shape: Shape
    strides: Shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def permute(self, *axes: int) -> View:
        """As ``numpy.transpose``."""
        return View(self.base, tuple([self.shape[a] for a in axes]), tuple([self.strides[a] for a in axes]))

    def swap(self) -> View:
        """The last two axes exchanged."""
        n = self.ndim
        return self.permute(*range(n - 2), n - 1, n - 2)

    def insert(self, axis: int) -> View:
        """A new axis of length 1 at ``axis`` of the result."""
        axis %= self.ndim + 1
        shape, strides = self.shape, self.strides
        return View(self.base, (*shape[:axis], 1, *shape[axis:]), (*strides[:axis], 0, *strides[axis:]))

    def drop(self, axis: int) -> View:
        """Without ``axis``, which has length 1 or is taken at index 0."""
        axis %= self.ndim
        shape, strides = self.shape, self.strides
        return View(self.base, shape[:axis] + shape[axis + 1 :], strides[:axis] + strides[axis + 1 :])

    def broadcast(self, shape: Shape) -> View:
        """Repeated along new and length-1 axes, by strides of 0. ``shape`` is known to fit."""
        new = len(shape) - self.ndim
        strides = tuple(0 if n != m else s for n, m, s in zip(self.shape, shape[new:], self.strides, strict=True))
        return View(self.base, shape, (0,) * new + strides)

    def array(self) -> Any:
        """An array of the base's library on the same memory."""
        base = self.base
        if tuple(base.shape) == self.shape and strides_of(base) == self.strides:
            return base
        match library(base):
            case "torch":
                return base.as_strided(self.shape, self.strides, base.storage_offset())
            case "pyopencl":
                size = base.dtype.itemsize
                return type(base)(
                    base.queue,
                    self.shape,
                    base.dtype,
                    strides=tuple(s * size for s in self.strides),
                    data=base.base_data,
                    offset=base.offset,
                )
            case name:
                tricks = sys.modules["cupy"].lib.stride_tricks if name == "cupy" else np.lib.stride_tricks
                size = base.dtype.itemsize
                if name == "numpy" and base.flags.c_contiguous and base.size and base.dtype.isbuiltin == 1:
                    steps = [s * size for s in self.strides]
                    if 0 not in self.shape and min(steps, default=0) >= 0:  # a tenth of the time of as_strided
                        return np.ndarray(self.shape, base.dtype, base, 0, steps)
                # NumPy's tricks know only its own dtypes
                plain = base if base.dtype.isbuiltin == 1 else base.view(f"u{size}")
                found = tricks.as_strided(plain, self.shape, tuple(s * size for s in self.strides))
                return found if plain is base else found.view(base.dtype)


def strides_of(x: Any) -> Shape:
    """Strides in elements, 0 for axes of length 1."""
    steps = x.stride() if library(x) == "torch" else tuple(s // x.dtype.itemsize for s in x.strides)
    return tuple(0 if n == 1 else s for n, s in zip(x.shape, steps, strict=True))


def view(x: Any) -> View:
    """``x`` as it is."""
    return View(x, tuple(x.shape), strides_of(x))


def merge(first: int, last: int, *views: View) -> tuple[View, ...] | None:
    """The axes ``first`` to ``last - 1`` of every view as one, of the same length in all; None if a view would need a copy.

    With ``first == last``, a new axis of length 1.
    """
    if first == last:
        return tuple(v.insert(first) for v in views)
    size = math.prod(views[0].shape[first:last])
    found = []
    for v in views:
        step = 0
        if size:
            axes = [(n, s) for n, s in zip(v.shape[first:last], v.strides[first:last], strict=True) if n != 1]
            if any(a != n * b for (_, a), (n, b) in pairwise(axes)):
                return None
            step = axes[-1][1] if axes else 0
        shape, strides = (*v.shape[:first], size, *v.shape[last:]), (*v.strides[:first], step, *v.strides[last:])
        found.append(View(v.base, shape, strides))
    return tuple(found)
