"""Reading and writing tensors for a chunk of programs: boxes, irregular access, atomics.

A box per program is one fancy index into a window view when it lies inside its tensor, and element indices with a mask at
the edges. Every offset is clipped to ``[-side, n]`` first: farther out means the same, and nothing can overflow.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ...lang.functions import BINARY, Array

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def load(tensor: Array, offsets: tuple[Array, ...], shape: tuple[int, ...], pad: Array) -> Array:
    """The box of each program, ``(programs or 1, *shape)``; ``pad`` stands for what lies outside."""
    lead = max([len(o) for o in offsets] + [len(pad)])
    if not shape:
        return np.full((1,), tensor[()], tensor.dtype)
    starts = _starts(tensor, offsets, shape)
    inside = np.broadcast_to(_inside(tensor, starts, shape), (lead,))
    if inside.all():
        count = max(len(s) for s in starts)
        return _windows(tensor, shape, False)[tuple(np.broadcast_to(s, (count,)) for s in starts)]
    result = np.empty((lead, *shape), tensor.dtype)
    starts = tuple(np.broadcast_to(s, (lead,)) for s in starts)
    if inside.any():
        result[inside] = _windows(tensor, shape, False)[tuple(s[inside] for s in starts)]
    edge = ~inside
    pads = np.broadcast_to(pad, (lead,))[edge]
    result[edge] = _gather_box(tensor, tuple(s[edge] for s in starts), shape, pads)
    return result


def store(tensor: Array, offsets: tuple[Array, ...], value: Array, active: Mask | None) -> None:
    """Write the box of each active program, dropping what lies outside; later programs overwrite earlier ones."""
    shape = value.shape[1:]
    if not shape:
        last = value[active] if active is not None and len(value) > 1 else value
        if len(last) and (active is None or active.any()):
            tensor[()] = last[-1]
        return
    starts = _starts(tensor, offsets, shape)
    lead = max([len(value)] + [len(s) for s in starts])
    if active is not None:
        lead = len(active)
    starts = tuple(np.broadcast_to(s, (lead,)) for s in starts)
    value = np.broadcast_to(value, (lead, *shape))
    live: Mask = np.ones(lead, np.bool_) if active is None else active
    inside = np.broadcast_to(_inside(tensor, starts, shape), (lead,))
    whole, edge = live & inside, live & ~inside
    if whole.all():
        _windows(tensor, shape, True)[starts] = value
    elif whole.any():
        _windows(tensor, shape, True)[tuple(s[whole] for s in starts)] = value[whole]
    if edge.any():
        places, valid = _box_indices(tensor, tuple(s[edge] for s in starts), shape)
        full = np.broadcast_shapes(*(p.shape for p in places))
        tensor[tuple(np.broadcast_to(p, full)[valid] for p in places)] = value[edge][valid]


def _starts(tensor: Array, offsets: tuple[Array, ...], shape: tuple[int, ...]) -> tuple[Ints, ...]:
    starts: list[Ints] = []
    for offset, side, n in zip(offsets, shape, tensor.shape, strict=True):
        if offset.dtype.kind == "u":  # may exceed int64
            starts.append(np.minimum(offset, np.uint64(n)).astype(np.int64))
        else:
            starts.append(np.clip(offset.astype(np.int64), -side, n))
    return tuple(starts)


def _inside(tensor: Array, starts: tuple[Ints, ...], shape: tuple[int, ...]) -> Mask:
    inside = np.ones(1, np.bool_)
    for start, side, n in zip(starts, shape, tensor.shape, strict=True):
        inside = inside & (start >= 0) & (start <= n - side)
    return inside


def _windows(tensor: Array, shape: tuple[int, ...], writeable: bool) -> Array:
    """A view ``windows[o0, o1, …]`` of every box of ``shape`` that lies inside the tensor."""
    places = tuple(n - side + 1 for n, side in zip(tensor.shape, shape, strict=True))
    bits = tensor.view(f"u{tensor.itemsize}")  # as_strided does not take every type of ml_dtypes
    return as_strided(bits, places + shape, tensor.strides * 2, writeable=writeable).view(tensor.dtype)


def _box_indices(tensor: Array, starts: tuple[Ints, ...], shape: tuple[int, ...]) -> tuple[list[Ints], Mask]:
    """Index of every element of every box, one array a dimension, ready to broadcast; and which lie inside."""
    places: list[Ints] = []
    valid = np.ones((1,) * (len(shape) + 1), np.bool_)
    for axis, (start, side, n) in enumerate(zip(starts, shape, tensor.shape, strict=True)):
        index = (start[:, None] + np.arange(side)).reshape(
            (len(start), *(side if other == axis else 1 for other in range(len(shape))))
        )
        valid = valid & (index >= 0) & (index < n)
        places.append(np.clip(index, 0, max(n - 1, 0)))
    return places, valid


def _gather_box(tensor: Array, starts: tuple[Ints, ...], shape: tuple[int, ...], pad: Array) -> Array:
    fill = pad.reshape((len(pad),) + (1,) * len(shape))
    places, valid = _box_indices(tensor, starts, shape)
    if tensor.size == 0:
        return np.broadcast_to(fill, (len(starts[0]), *shape))
    return np.where(valid, tensor[tuple(places)], fill)


def _places(tensor: Array, indices: tuple[Array, ...], shape: tuple[int, ...]) -> tuple[tuple[Ints, ...], Mask]:
    """Clipped indices and which of them lie inside, for irregular access; ``shape`` includes the programs."""
    valid = np.ones((1,) * len(shape), np.bool_)
    places: list[Ints] = []
    for index, n in zip(indices, tensor.shape, strict=True):
        valid = valid & np.greater_equal(index, 0) & np.less(index, n)
        places.append(np.clip(index, 0, max(n - 1, 0)).astype(np.int64))
    return tuple(places), valid


def gather(tensor: Array, indices: tuple[Array, ...], mask: Array | None, pad: Array, shape: tuple[int, ...]) -> Array:
    """``tensor[indices]``, or ``pad`` outside the mask or the tensor; ``shape`` is the tile's."""
    fill = pad.reshape((len(pad),) + (1,) * len(shape))
    places, valid = _places(tensor, indices, (1, *shape))
    keep = valid if mask is None else valid & mask.astype(np.bool_)
    if tensor.size == 0:
        return np.broadcast_to(fill, (len(pad), *shape))
    found = tensor[places] if places else np.full((1,) * (len(shape) + 1), tensor[()], tensor.dtype)
    return np.where(keep, found, fill)


def _selected(
    tensor: Array, indices: tuple[Array, ...], mask: Array | None, active: Mask | None, shape: tuple[int, ...]
) -> tuple[tuple[Ints, ...], Mask]:
    """The places of the elements that take part, flattened in program order, and which of ``shape`` those are."""
    places, valid = _places(tensor, indices, shape)
    keep = valid if mask is None else valid & mask.astype(np.bool_)
    if active is not None:
        keep = keep & active.reshape((len(active),) + (1,) * (len(shape) - 1))
    keep = np.broadcast_to(keep, shape)
    return tuple(np.broadcast_to(p, shape)[keep] for p in places), keep


def scatter(
    tensor: Array, indices: tuple[Array, ...], mask: Array | None, value: Array, active: Mask | None, programs: int
) -> None:
    """``tensor[indices] = value``, in order: of equal places, the last stays."""
    shape = (programs, *value.shape[1:])
    places, keep = _selected(tensor, indices, mask, active, shape)
    values = np.broadcast_to(value, shape)[keep]
    if len(values):
        tensor[places or ()] = values if places else values[-1]


def atomic(
    fn: str,
    tensor: Array,
    indices: tuple[Array, ...],
    mask: Array | None,
    value: Array,
    active: Mask | None,
    programs: int,
) -> Array:
    """Read-modify-write, element by element in program order; the values before, 0 where nothing was done."""
    shape = (programs, *value.shape[1:])
    places, keep = _selected(tensor, indices, mask, active, shape)
    old = np.zeros(shape, tensor.dtype)
    old[keep] = _in_order(fn, tensor, places, np.broadcast_to(value, shape)[keep])
    return old


_FEW = 64  # repetitions of a place that are done in turns; above, each place is done on its own


def _in_order(fn: str, tensor: Array, places: tuple[Ints, ...], values: Array) -> Array:
    """Apply ``values`` in order. Elements of different places are independent, so each place keeps its own order only."""
    old = np.empty_like(values)
    turns, often = _turns(tensor, places, len(values))
    for members in often:
        place = tuple(p[members[0]] for p in places)
        chain = np.concatenate((tensor[place].reshape(1), values[members]))
        history = chain if fn == "xchg" else _ufunc(fn).accumulate(chain, dtype=chain.dtype)
        old[members], tensor[place] = history[:-1], history[-1]
    for members in turns:
        place = tuple(p[members] for p in places)
        before = tensor[place] if places else tensor.reshape(1)
        old[members] = before
        after = values[members] if fn == "xchg" else _ufunc(fn)(before, values[members])
        tensor[place or ()] = after if places else after[0]
    return old


def _ufunc(fn: str) -> np.ufunc:
    found = BINARY[fn].numpy
    assert isinstance(found, np.ufunc), fn
    return found


def _turns(tensor: Array, places: tuple[Ints, ...], count: int) -> tuple[list[Ints], list[Ints]]:
    """The elements in turns of distinct places, to be done one after the other; apart from them, place by place, the
    elements of the places that occur too often for that. Each place keeps its order."""
    linear = np.zeros(count, np.int64)
    for place, n in zip(places, tensor.shape, strict=True):
        linear = linear * n + place
    order = np.argsort(linear, kind="stable")
    _, starts, counts = np.unique(linear[order], return_index=True, return_counts=True)
    few = counts <= _FEW
    turns = [order[starts[few & (counts > turn)] + turn] for turn in range(int(counts[few].max(initial=0)))]
    often = [order[start : start + n] for start, n in zip(starts[~few], counts[~few], strict=True)]
    return turns, often


def compare_and_swap(
    tensor: Array,
    indices: tuple[Array, ...],
    mask: Array | None,
    expected: Array,
    value: Array,
    active: Mask | None,
    programs: int,
) -> Array:
    """Compare-and-swap, element by element in program order; the values before, 0 where nothing was done."""
    shape = (programs, *value.shape[1:])
    places, keep = _selected(tensor, indices, mask, active, shape)
    wanted, new = np.broadcast_to(expected, shape)[keep], np.broadcast_to(value, shape)[keep]
    found = np.empty_like(new)
    turns, often = _turns(tensor, places, len(new))
    for members in [*turns, *(m for place in often for m in place[:, None])]:
        where = tuple(p[members] for p in places)
        found[members] = tensor[where] if places else tensor.reshape(1)
        hits = found[members] == wanted[members]
        if hits.any():
            tensor[tuple(p[hits] for p in where)] = new[members][hits] if places else new[members][0]
    old = np.zeros(shape, tensor.dtype)
    old[keep] = found
    return old
