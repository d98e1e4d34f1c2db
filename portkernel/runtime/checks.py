"""What is checked before anything is launched or written: the grid, and outputs against the other arguments."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import GridError, OverlapError, ReadOnlyError
from .arguments import HOST, ArrayRef

Grid = tuple[int, int, int]
_WORK = 1_000_000
"""Bound on the exact overlap test: candidates for np.shares_memory, elements for an array against itself."""


def grid_of(value: Any, kernel: str, limits: Grid) -> Grid:
    """``value`` (an int or up to three of them) as three sizes. A size of 0 is legal: nothing is launched.

    Raises :class:`~portkernel.errors.GridError`.
    """
    if type(value) is tuple and 1 <= len(value) <= 2:  # what most are, in a third of the time
        x, y = value if len(value) == 2 else (value[0], 1)
        if type(x) is type(y) is int and 0 <= x <= limits[0] and 0 <= y <= limits[1]:
            return x, y, 1
    where = f"{kernel}[grid]"
    sizes: Sequence[Any] = value if isinstance(value, (tuple, list)) else (value,)
    if not 1 <= len(sizes) <= 3:
        raise GridError(
            f"{where}: grid: expected 1 to 3 sizes, got {len(sizes)}",
            hint="a grid of one program is (1,)" if not sizes else "fold dimensions together and split program_id(0)",
        )
    checked: list[int] = []
    for size in sizes:
        if isinstance(size, (bool, float)):
            raise GridError(f"{where}: grid: expected integers, got {size!r}", hint="use pk.cdiv(n, BLOCK)")
        try:
            checked.append(operator.index(size))
        except TypeError:
            raise GridError(
                f"{where}: grid: expected integers, got {type(size).__name__}",
                hint="a grid is an int, a tuple of up to three, or a function of the constants that returns one",
            ) from None
    for axis, (size, limit) in enumerate(zip(checked, limits, strict=False)):
        if size < 0:
            raise GridError(f"{where}: grid: expected sizes of at least 0, got {size} in dimension {axis}")
        if size > limit:
            raise GridError(
                f"{where}: grid: expected at most {limit} in dimension {axis}, got {size}",
                hint="use larger tiles, or put the long dimension first",
            )
    checked += [1] * (3 - len(checked))
    return checked[0], checked[1], checked[2]


def check_output(ref: ArrayRef, name: str, kernel: str) -> None:
    """An output must be writable, and no two of its elements may share a place."""
    if ref.readonly:
        raise ReadOnlyError(
            f"{kernel}(): {name}: expected a writable array, got a read-only one",
            hint="the kernel stores to it: pass a copy",
        )
    if _overlaps_itself(ref):
        raise OverlapError(
            f"{kernel}(): {name}: expected distinct elements, got strides {ref.strides} for shape {ref.shape}",
            hint="the kernel stores to it: pass a copy instead of a broadcast view",
        )


def _overlaps_itself(ref: ArrayRef) -> bool:
    reach = 0
    sides = sorted((abs(s), n) for s, n in zip(ref.strides, ref.shape, strict=True) if n > 1)
    if 0 in ref.shape:
        return False
    for stride, n in sides:
        if stride <= reach:
            return _repeats(ref)
        reach += stride * (n - 1)
    return False


def _repeats(ref: ArrayRef) -> bool:
    """Whether two elements have one address, by listing them; a very large array counts as overlapping."""
    places = np.zeros((), np.int64)
    if int(np.prod(ref.shape, dtype=object)) > _WORK:
        return True
    for n, s in zip(ref.shape, ref.strides, strict=True):
        places = places[..., None] + np.arange(n, dtype=np.int64) * s
    return bool(np.unique(places).size != places.size)


def may_overlap(a: ArrayRef, b: ArrayRef) -> bool:
    """Whether the bounds of two arrays in one memory meet."""
    if a.device != b.device or (a.buffer is not b.buffer and (a.buffer is None or a.buffer != b.buffer)):
        return False
    (a_low, a_high), (b_low, b_high) = a.extent, b.extent
    return a.ptr + a_low < b.ptr + b_high and b.ptr + b_low < a.ptr + a_high


def check_pair(out: ArrayRef, other: ArrayRef, out_name: str, other_name: str, kernel: str) -> None:
    """Raise :class:`~portkernel.errors.OverlapError` if an output shares a byte with another argument."""
    if not may_overlap(out, other):
        return
    try:
        shared = np.shares_memory(_bytes(out), _bytes(other), max_work=_WORK)  # type: ignore[arg-type]  # NumPy's stub knows 0 and -1 only
    except np.exceptions.TooHardError:
        shared = True
    if shared:
        raise OverlapError(
            f"{kernel}(): {out_name}: expected memory of its own, got memory shared with {other_name}",
            hint=f"the kernel stores to {out_name}: pass a copy of one of the two",
        )


def _bytes(ref: ArrayRef) -> np.ndarray[Any, Any]:
    """A view with the addresses of ``ref``; only compared, never read."""
    return (ref if ref.device == HOST else _anonymous(ref)).numpy()


def _anonymous(ref: ArrayRef) -> ArrayRef:
    # Offsets into a device buffer begin at 0, which NumPy takes for a null pointer: any base will do, for both.
    base = 1 << 20 if ref.buffer is not None else 0
    return ArrayRef(ref.ptr + base, ref.shape, ref.strides, ref.dtype, HOST, True, None)
