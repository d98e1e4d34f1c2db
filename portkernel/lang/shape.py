"""Making tiles and changing their shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..dtypes import as_dtype, float32, int32, promote, weak_dtype
from ..errors import ShapeError
from ..ir import Arange, Concat, Extract, Full, Permute, Tile
from .op import op
from .values import (
    TileLike,
    TileValue,
    as_tile,
    broadcast,
    broadcast_shapes,
    builder,
    cast_to,
    reshape_to,
    static_axis,
    static_int,
    static_shape,
)

Shape = int | Sequence[int]


@op
def full(shape: Shape, fill_value: TileLike, dtype: object = None) -> TileValue:
    """A tile of ``shape`` with ``fill_value`` everywhere."""
    sides = static_shape(shape, "full()")
    wanted = None if dtype is None else as_dtype(dtype)  # type: ignore[arg-type]
    if isinstance(fill_value, (bool, int, float)):
        wanted = wanted or weak_dtype(fill_value)
        like = wanted if wanted.is_float or not isinstance(fill_value, float) else None
        value = as_tile(bool(fill_value) if wanted.is_bool else fill_value, "full(): fill_value", like)
    else:
        value = as_tile(fill_value, "full(): fill_value")
    if value.shape:
        raise ShapeError(
            f"full(): fill_value: expected a scalar, got shape {value.shape}", hint="use pk.broadcast_to()"
        )
    value = cast_to(value, wanted or value.dtype)
    return TileValue(builder().emit(Full, (Tile(sides, value.dtype),), value=value.value).result) if sides else value


@op
def zeros(shape: Shape, dtype: object = float32) -> TileValue:
    """A tile of zeros."""
    return full(shape, 0, dtype)


@op
def ones(shape: Shape, dtype: object = float32) -> TileValue:
    """A tile of ones."""
    return full(shape, 1, dtype)


@op
def zeros_like(x: TileValue) -> TileValue:
    """Zeros of the shape and dtype of ``x``."""
    return full(x.shape, 0, x.dtype)


@op
def full_like(x: TileValue, fill_value: TileLike) -> TileValue:
    """``fill_value`` in the shape and dtype of ``x``."""
    return full(x.shape, fill_value, x.dtype)


@op
def arange(start: int, stop: int | None = None, dtype: object = int32) -> TileValue:
    """``start, start + 1, … stop - 1`` (from 0 with one argument), rank 1; bounds are constants."""
    first, last = (0, start) if stop is None else (start, stop)
    low, high = static_int(first, "arange(): start"), static_int(last, "arange(): stop")
    if high <= low:
        raise ShapeError(f"arange(): stop: expected more than {low}, got {high}")
    tile = TileValue(builder().emit(Arange, (Tile((high - low,), int32),), start=low).result)
    return cast_to(tile, as_dtype(dtype))  # type: ignore[arg-type]


@op
def reshape(x: TileValue, *shape: Shape) -> TileValue:
    """The elements of ``x`` in row-major order under another shape; one side may be -1."""
    x = as_tile(x, "reshape()")
    wanted = shape[0] if len(shape) == 1 else shape
    raw = tuple(wanted) if isinstance(wanted, (tuple, list)) else (wanted,)
    sides = [static_int(s, "reshape(): shape") for s in raw]
    if sides.count(-1) == 1:
        known = math.prod(s for s in sides if s != -1)
        sides[sides.index(-1)] = x.size // known if known > 0 else 0
    if math.prod(sides) != x.size or any(s < 1 for s in sides):
        raise ShapeError(f"reshape(): shape: expected {x.size} elements, got {tuple(raw)} for {x.type}")
    return reshape_to(x, tuple(sides))


@op
def transpose(x: TileValue, *axes: int | Sequence[int] | None) -> TileValue:
    """Dimensions permuted by ``axes`` (reversed by default), as in NumPy."""
    x = as_tile(x, "transpose()")
    first = axes[0] if len(axes) == 1 else (axes or None)
    if first is None:
        order = tuple(reversed(range(x.ndim)))
    else:
        raw = tuple(first) if isinstance(first, (tuple, list)) else (first,)
        if len(raw) != x.ndim:
            raise ShapeError(f"transpose(): axes: expected {x.ndim} axes for {x.type}, got {raw}")
        order = tuple(static_axis(a, x.ndim, "transpose()") for a in raw)
        if len(set(order)) != x.ndim:
            raise ShapeError(f"transpose(): axes: expected each axis once, got {raw}")
    if order == tuple(range(x.ndim)):
        return x
    result = Tile(tuple(x.shape[a] for a in order), x.dtype)
    return TileValue(builder().emit(Permute, (result,), axes=order, x=x.value).result)


permute = transpose


@op
def broadcast_to(x: TileLike, shape: Shape) -> TileValue:
    """``x`` repeated along new and length-1 dimensions."""
    tile, sides = as_tile(x, "broadcast_to()"), static_shape(shape, "broadcast_to()")
    if len(sides) < tile.ndim or broadcast_shapes((tile.shape, sides), "broadcast_to()") != sides:
        raise ShapeError(f"broadcast_to(): shape: expected a shape that {tile.shape} broadcasts to, got {sides}")
    return broadcast(tile, sides)


@op
def expand_dims(x: TileLike, axis: int | Sequence[int]) -> TileValue:
    """A new dimension of length 1 at ``axis`` of the result."""
    tile = as_tile(x, "expand_dims()")
    raw = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    rank = tile.ndim + len(raw)
    places = {static_axis(a, rank, "expand_dims()") for a in raw}
    sides = iter(tile.shape)
    return reshape_to(tile, tuple(1 if i in places else next(sides) for i in range(rank)))


@op
def squeeze(x: TileLike, axis: int | Sequence[int] | None = None) -> TileValue:
    """``x`` without the dimensions of length 1 (all of them, or those in ``axis``)."""
    tile = as_tile(x, "squeeze()")
    if axis is None:
        places = {i for i, n in enumerate(tile.shape) if n == 1}
    else:
        raw = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
        places = {static_axis(a, tile.ndim, "squeeze()") for a in raw}
        if any(tile.shape[i] != 1 for i in places):
            raise ShapeError(f"squeeze(): axis: expected dimensions of length 1, got {raw} for {tile.type}")
    return reshape_to(tile, tuple(n for i, n in enumerate(tile.shape) if i not in places))


@op
def concatenate(tiles: Sequence[TileValue], axis: int = 0) -> TileValue:
    """The tiles one after the other along ``axis``; the other sides are equal."""
    if not isinstance(tiles, (tuple, list)) or not tiles:
        raise ShapeError("concatenate(): tiles: expected a tuple of at least one tile")
    xs = [as_tile(t, "concatenate()") for t in tiles]
    first, where = xs[0], "concatenate()"
    place = static_axis(axis, first.ndim, where)
    dtype = first.dtype
    for x in xs[1:]:
        same = x.ndim == first.ndim and all(
            a == b for i, (a, b) in enumerate(zip(x.shape, first.shape, strict=True)) if i != place
        )
        if not same:
            raise ShapeError(
                f"{where}: tiles: expected equal sides but for axis {place}, got {first.shape} and {x.shape}"
            )
        dtype = promote(dtype, x.dtype)
    sides = list(first.shape)
    sides[place] = sum(x.shape[place] for x in xs)
    values = tuple(cast_to(x, dtype).value for x in xs)
    return TileValue(builder().emit(Concat, (Tile(tuple(sides), dtype),), axis=place, xs=values).result)


@op
def extract(x: TileValue, index: int | Sequence[int], shape: Shape) -> TileValue:
    """The sub-tile of ``shape`` at ``index``, counted in sub-tiles, as ``pk.load`` counts; both are constants."""
    tile, sides = as_tile(x, "extract()"), static_shape(shape, "extract()")
    raw = tuple(index) if isinstance(index, (tuple, list)) else (index,)
    place = [static_int(i, "extract(): index") for i in raw]
    if len(sides) != tile.ndim or len(place) != tile.ndim:
        raise ShapeError(
            f"extract(): shape: expected rank {tile.ndim} for {tile.type}, got index {raw} and shape {sides}"
        )
    offsets = tuple(i * n for i, n in zip(place, sides, strict=True))
    if any(o < 0 or o + n > whole for o, n, whole in zip(offsets, sides, tile.shape, strict=True)):
        raise ShapeError(f"extract(): index: expected a sub-tile {sides} inside {tile.shape}, got index {tuple(place)}")
    return TileValue(builder().emit(Extract, (Tile(sides, tile.dtype),), offsets=offsets, x=tile.value).result)
