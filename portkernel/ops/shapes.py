"""Other shapes of an array: a view of its memory where strides can say it, one copy by our kernel where not.

Where a view is given back, nothing is launched and writing to it writes to the argument; with ``out`` the elements are
copied there. Names, arguments and defaults are NumPy's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ..errors import ArgumentShapeError, ArgumentTypeError
from .library import module

arrays, axes = module("arrays"), module("axes")
Array = Any
Shape = tuple[int, ...]


def _given(where: str, seen: Any, out: Array | None, route: dict[str, Any]) -> Array:
    """The view ``seen`` itself, or ``out`` filled from it."""
    if out is None:
        return seen.array()
    dtype = arrays.dtype_of(where, seen.base)
    arrays.result(where, out, seen.base, seen.shape, (dtype,))
    if 0 not in seen.shape:
        axes.copy_into(out, seen.array(), **route)
    return out


def _view(where: str, x: Array) -> Any:
    arrays.dtype_of(f"{where}: x", x)
    return arrays.view(x)


def _from_0(where: str, name: str, axis: object, ndim: int) -> int:
    found = int(arrays.integer(f"{where}: {name}", axis))
    if not -ndim <= found < ndim:
        raise ArgumentShapeError(f"{where}: {name}: expected {-ndim} to {ndim - 1}, got {found}")
    return found % ndim


def _once(where: str, name: str, given: Sequence[int], shown: object) -> None:
    if len(set(given)) != len(given):
        raise ArgumentShapeError(f"{where}: {name}: expected each axis once, got {shown}")


# --- axes in another order ----------------------------------------------------------------------------------


def transpose(
    x: Array, axes: Sequence[int] | None = None, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.transpose``: a view with the axes in another order, reversed by default. Any dtype."""
    where = "transpose()"
    seen = _view(where, x)
    order = tuple(reversed(range(seen.ndim)))
    if axes is not None:
        if not hasattr(axes, "__iter__"):
            raise ArgumentTypeError(f"{where}: axes: expected a sequence of integers, got {axes!r}")
        order = tuple(_from_0(where, "axes", a, seen.ndim) for a in axes)
    if sorted(order) != list(range(seen.ndim)):
        raise ArgumentShapeError(f"{where}: axes: expected each of {seen.ndim} axes once, got {axes}")
    return _given(where, seen.permute(*order), out, {"backend": backend, "device": device})


def swapaxes(
    x: Array, axis1: int, axis2: int, *, out: Array | None = None, backend: str | None = None, device: str | None = None
) -> Array:
    """``numpy.swapaxes``: a view with two axes exchanged. Any dtype."""
    where = "swapaxes()"
    seen = _view(where, x)
    first, second = (_from_0(where, f"axis{i}", a, seen.ndim) for i, a in ((1, axis1), (2, axis2)))
    order = list(range(seen.ndim))
    order[first], order[second] = second, first
    return _given(where, seen.permute(*order), out, {"backend": backend, "device": device})


def moveaxis(
    x: Array, source: int | Sequence[int], destination: int | Sequence[int], *, out: Array | None = None,
    backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.moveaxis``: a view with axes moved, the others in their order. Any dtype."""
    where = "moveaxis()"
    seen = _view(where, x)
    start, end = (
        [_from_0(where, name, a, seen.ndim) for a in arrays.integers(f"{where}: {name}", given)]
        for name, given in (("source", source), ("destination", destination))
    )
    if len(start) != len(end):
        raise ArgumentShapeError(f"{where}: destination: expected {len(start)} axes as source has, got {destination}")
    _once(where, "source", start, source)
    _once(where, "destination", end, destination)
    order = [a for a in range(seen.ndim) if a not in start]
    for to, of in sorted(zip(end, start, strict=True)):
        order.insert(to, of)
    return _given(where, seen.permute(*order), out, {"backend": backend, "device": device})


# --- axes of length 1, and repeated ones --------------------------------------------------------------------


def squeeze(
    x: Array, axis: int | Sequence[int] | None = None, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.squeeze``: a view without the axes of length 1, or without those named. Any dtype."""
    where = "squeeze()"
    seen = _view(where, x)
    if axis is None:
        gone = [a for a, n in enumerate(seen.shape) if n == 1]
    else:
        gone = [_from_0(where, "axis", a, seen.ndim) for a in arrays.integers(f"{where}: axis", axis)]
        _once(where, "axis", gone, axis)
        for a in gone:
            if seen.shape[a] != 1:
                raise ArgumentShapeError(f"{where}: axis: expected axes of length 1, got shape {seen.shape}")
    for a in sorted(gone, reverse=True):
        seen = seen.drop(a)
    return _given(where, seen, out, {"backend": backend, "device": device})


def expand_dims(
    x: Array, axis: int | Sequence[int], *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.expand_dims``: a view with axes of length 1 at ``axis`` of the result. Any dtype."""
    where = "expand_dims()"
    seen = _view(where, x)
    wanted = arrays.integers(f"{where}: axis", axis)
    new = [_from_0(where, "axis", a, seen.ndim + len(wanted)) for a in wanted]
    _once(where, "axis", new, axis)
    for a in sorted(new):
        seen = seen.insert(a)
    return _given(where, seen, out, {"backend": backend, "device": device})


def broadcast_to(
    x: Array, shape: int | Sequence[int], *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.broadcast_to``: a view that repeats x along new axes and axes of length 1. Any dtype."""
    where = "broadcast_to()"
    seen = _view(where, x)
    wanted = _sizes(where, shape)
    fits = zip(seen.shape[::-1], wanted[::-1], strict=False)
    if len(wanted) < seen.ndim or any(n not in (1, m) for n, m in fits):
        raise ArgumentShapeError(f"{where}: shape: expected one that {seen.shape} broadcasts to, got {wanted}")
    return _given(where, seen.broadcast(wanted), out, {"backend": backend, "device": device})


# --- the same elements in other axes ------------------------------------------------------------------------


def _sizes(where: str, shape: int | Sequence[int], least: int = 0) -> Shape:
    found: Shape = arrays.integers(f"{where}: shape", shape)
    if any(n < least for n in found):
        raise ArgumentShapeError(f"{where}: shape: expected sizes of at least {least}, got {found}")
    return found


def _wanted(where: str, shape: int | Sequence[int], have: Shape) -> Shape:
    """``shape`` with its -1, if any, worked out."""
    found, size = _sizes(where, shape, -1), math.prod(have)
    known = math.prod(n for n in found if n >= 0)
    if found.count(-1) == 1 and known and size % known == 0:
        found = tuple(size // known if n < 0 else n for n in found)
    if found.count(-1) or math.prod(found) != size:
        raise ArgumentShapeError(f"{where}: shape: expected one for the {size} elements of x, got {tuple(found)}")
    return found


def _strides(have: Shape, steps: Shape, shape: Shape) -> Shape | None:
    """The strides under which memory of shape ``have`` has ``shape``; None where it takes a copy."""
    if 0 in have:
        return (0,) * len(shape)
    runs: list[tuple[int, int]] = []
    for n, s in zip(have, steps, strict=True):
        if n == 1:
            continue
        if runs and runs[-1][1] == n * s:
            runs[-1] = (runs[-1][0] * n, s)
        else:
            runs.append((n, s))
    found: list[int] = []
    left, step = 1, 0
    for n in reversed(shape):
        if n == 1:
            found.append(0)
            continue
        if left == 1:
            left, step = runs.pop()
        if left % n:
            return None
        found.append(step)
        left, step = left // n, step * n
    return tuple(reversed(found))


def _reshaped(where: str, x: Array, shape: Shape, out: Array | None, route: dict[str, Any]) -> Array:
    seen = _view(where, x)
    steps = _strides(seen.shape, seen.strides, shape)
    if steps is None:
        seen = arrays.view(axes.contiguous(x, range(seen.ndim), **route))
        steps = _strides(seen.shape, seen.strides, shape)
        assert steps is not None, "row-major memory takes any shape"
    return _given(where, type(seen)(seen.base, shape, steps), out, route)


def reshape(
    x: Array, shape: int | Sequence[int], *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.reshape`` in row-major order; one size may be -1. A view, or a copy where strides cannot say it. Any dtype."""
    where = "reshape()"
    wanted = _wanted(where, shape, _view(where, x).shape)
    return _reshaped(where, x, wanted, out, {"backend": backend, "device": device})


def ravel(x: Array, *, out: Array | None = None, backend: str | None = None, device: str | None = None) -> Array:
    """``numpy.ravel``: one axis, in row-major order. A view, or a copy where strides cannot say it. Any dtype."""
    where = "ravel()"
    size = math.prod(_view(where, x).shape)
    return _reshaped(where, x, (size,), out, {"backend": backend, "device": device})


# --- several arrays -----------------------------------------------------------------------------------------


def stack(
    arrays: Sequence[Array], axis: int = 0, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.stack``: arrays of one shape side by side along a new axis; one copy for each. Any dtype."""
    where = "stack()"
    if not isinstance(arrays, (list, tuple)) or not arrays:
        raise ArgumentTypeError(f"{where}: arrays: expected a list of at least one array, got {arrays!r:.40}")
    seen = [_view(where, x) for x in arrays]
    for i, v in enumerate(seen):
        if v.shape != seen[0].shape:
            raise ArgumentShapeError(f"{where}: array {i}: expected shape {seen[0].shape}, got {v.shape}")
    a = _from_0(where, "axis", axis, seen[0].ndim + 1)
    return module("pad").concatenate([v.insert(a).array() for v in seen], a, out=out, backend=backend, device=device)


def split(
    x: Array, indices_or_sections: int | Sequence[int], axis: int = 0, *, backend: str | None = None,
    device: str | None = None,
) -> list[Array]:  # fmt: skip
    """``numpy.split``: views of x cut along ``axis`` into equal sections, or before each of the indices. Any dtype."""
    where = "split()"
    seen = _view(where, x)
    a = _from_0(where, "axis", axis, seen.ndim)
    n = seen.shape[a]
    if isinstance(indices_or_sections, (list, tuple)):
        inside = [range(n)[slice(i)].stop for i in arrays.integers(f"{where}: indices", indices_or_sections)]
        bounds = [0, *inside, n]
    else:
        count = arrays.integer(f"{where}: sections", indices_or_sections)
        if count < 1 or n % count:
            raise ArgumentShapeError(f"{where}: sections: expected a divisor of {n}, got {count}")
        bounds = list(range(0, n + 1, max(1, n // count))) if n else [0] * (count + 1)
    cuts = (slice(low, max(low, high)) for low, high in pairwise(bounds))
    return [x[(slice(None),) * a + (cut,)] for cut in cuts]
