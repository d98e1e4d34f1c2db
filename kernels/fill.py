"""New arrays: one value everywhere, or numbers that count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, poison, rounding, unit_roundoff
from portkernel.errors import ArgumentShapeError

from .arrays import dtype_of, empty, fitting, integers, named_dtype, number, result, strides_of
from .axes import copy_into, view
from .fold import DTYPES, Array


@pk.kernel
def fill_line(out, value, B: pk.constexpr[int] = pk.auto(64, 4096)):
    """``out = value`` for a vector of any stride."""
    pk.store(out, (pk.program_id(0),), pk.broadcast_to(pk.astype(value, out.dtype), (B,)))


@pk.kernel
def count_line(out, start, step, WIDE: pk.constexpr[pk.DType], B: pk.constexpr[int] = pk.auto(64, 4096)):
    """``out[i] = start + i·step``, computed in ``WIDE``."""
    i = (pk.program_id(0) * B + pk.arange(B)).astype(WIDE)
    pk.store(out, (pk.program_id(0),), (i * pk.astype(step, WIDE) + pk.astype(start, WIDE)).astype(out.dtype))


def _fill(where: str, out: Array, value: Any, route: dict[str, Any]) -> Array:
    dtype = dtype_of(f"{where}: out", out, DTYPES)
    value = fitting(f"{where}: fill_value", value, dtype)
    size = math.prod(int(n) for n in out.shape)
    if size:
        flat = tuple(out.shape) == (size,)
        line = view(out, (size,), strides_of(out)) if flat else empty(out, (1,), dtype)
        value = np.float64(value) if dtype == pk.float64 else value
        fill_line[lambda meta: (pk.cdiv(int(line.shape[0]), meta["B"]),)](line, value, **route)
        if not flat:
            copy_into(out, view(line, tuple(out.shape), (0,) * len(out.shape)), **route)
    return out


def full(
    shape: int | Sequence[int], fill_value: float, dtype: Any = None, *, like: Array | None = None,
    out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.full``: in the library and on the device of ``like``, a NumPy array without it. Any dtype but 8-bit floats.

    ``dtype`` is that of a NumPy array of ``fill_value`` by default. Exact where the dtype holds the value.
    """
    where = "full()"
    size = integers(f"{where}: shape", shape)
    if any(n < 0 for n in size):
        raise ArgumentShapeError(f"{where}: shape: expected sizes of at least 0, got {size}")
    natural = np.asarray(number(f"{where}: fill_value", fill_value)).dtype
    kind = named_dtype(f"{where}: dtype", natural if dtype is None else dtype)
    found = result(where, out, np.empty(0) if like is None else like, size, (kind,))
    return _fill(where, found, fill_value, {"backend": backend, "device": device})


def zeros(
    shape: int | Sequence[int], dtype: Any = None, *, like: Array | None = None, out: Array | None = None,
    backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.zeros``: as ``full``; float64 without ``dtype``."""
    return full(shape, 0, pk.float64 if dtype is None else dtype, like=like, out=out, backend=backend, device=device)


def ones(
    shape: int | Sequence[int], dtype: Any = None, *, like: Array | None = None, out: Array | None = None,
    backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.ones``: as ``full``; float64 without ``dtype``."""
    return full(shape, 1, pk.float64 if dtype is None else dtype, like=like, out=out, backend=backend, device=device)


def full_like(
    x: Array, fill_value: float, dtype: Any = None, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.full_like``: of the shape of x, and of its dtype unless ``dtype`` says."""
    own = dtype_of("full_like(): x", x)
    shape = tuple(int(n) for n in x.shape)
    return full(shape, fill_value, own if dtype is None else dtype, like=x, out=out, backend=backend, device=device)


def zeros_like(
    x: Array, dtype: Any = None, *, out: Array | None = None, backend: str | None = None, device: str | None = None
) -> Array:
    """``numpy.zeros_like``: as ``full_like``."""
    return full_like(x, 0, dtype, out=out, backend=backend, device=device)


def ones_like(
    x: Array, dtype: Any = None, *, out: Array | None = None, backend: str | None = None, device: str | None = None
) -> Array:
    """``numpy.ones_like``: as ``full_like``."""
    return full_like(x, 1, dtype, out=out, backend=backend, device=device)


def arange(
    start: float, stop: float | None = None, step: float = 1, dtype: Any = None, *, like: Array | None = None,
    out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.arange``: ``start + i·step`` below ``stop``, in the library and on the device of ``like``.

    int64 for integers, else float64, unless ``dtype`` says; any dtype but 8-bit floats. Computed in int64, or in float32
    (float64 for float64): error 2 ulp of |start| + |i·step|, then one rounding; exact in integers.
    """
    where = "arange()"
    start, stop = (0, start) if stop is None else (start, stop)
    given = [number(f"{where}: {n}", v) for n, v in (("start", start), ("stop", stop), ("step", step))]
    if step == 0 or not all(math.isfinite(v) for v in given):
        raise ArgumentShapeError(f"{where}: step: expected finite numbers and a step other than 0, got {given}")
    whole = all(isinstance(v, (int, np.integer)) for v in given)
    kind = named_dtype(f"{where}: dtype", (pk.int64 if whole else pk.float64) if dtype is None else dtype)
    size = max(0, math.ceil((stop - start) / step))
    found = result(where, out, np.empty(0) if like is None else like, (size,), (kind,))
    dtype_of(f"{where}: dtype", found, [d for d in DTYPES if not d.is_bool])
    wide = pk.dtypes.accumulator(kind) if kind.is_float else pk.int64 if whole else pk.float64
    if size:
        numbers = [np.float64(v) if wide == pk.float64 else v for v in (start, step)]
        count_line[lambda meta: (pk.cdiv(size, meta["B"]),)](found, *numbers, WIDE=wide, backend=backend, device=device)
    return found


def _case(n: int, start: float, step: float):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        wide = pk.dtypes.accumulator(dtype) if dtype.is_float else pk.int64
        want = start + np.arange(n, dtype=np.float64 if dtype.is_float else np.int64) * step
        size = abs(start) + np.abs(want - start)
        return Problem(
            args={"out": poison((n,), dtype), "start": start, "step": step},
            grid=lambda meta: (pk.cdiv(n, meta["B"]),),
            constants={"WIDE": wide},
            reference=lambda: {"out": want},
            bound=lambda: {"out": 4 * unit_roundoff(wide) * size + rounding(want, dtype)},
        )

    return make


ENTRIES = (
    Entry(
        "arange",
        count_line,
        (pk.float32, pk.float16, pk.int32),
        (Case("100 from -50", _case(100, -50, 1)), Case("1", _case(1, 0, 1)), Case("77 down", _case(77, 40, -1))),
    ),
)
