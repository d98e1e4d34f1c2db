"""Reading and writing arrays: boxes of tiles, irregular access, atomics."""

from __future__ import annotations

from collections.abc import Sequence

from ..dtypes import DType, int64
from ..errors import DTypeError, ShapeError
from ..ir import AtomicCAS, AtomicRMW, Gather, Load, Scatter, Store, Tile, Value
from .elementwise import binary
from .op import op
from .values import (
    TensorValue,
    TileLike,
    TileValue,
    as_tile,
    broadcast,
    broadcast_shapes,
    builder,
    cast_to,
    is_scalar_constant,
    static_shape,
)

Index = TileLike | Sequence[TileLike]


def _tensor(x: object, where: str) -> TensorValue:
    if not isinstance(x, TensorValue):
        kind = f"a tile {x.type}" if isinstance(x, TileValue) else type(x).__name__
        raise DTypeError(f"{where}: expected an array argument of the kernel, got {kind}")
    return x


def _indices(index: Index, x: TensorValue, where: str, what: str) -> tuple[TileValue, ...]:
    raw = tuple(index) if isinstance(index, (tuple, list)) else (index,)
    if len(raw) != x.ndim:
        raise ShapeError(f"{where}: {what}: expected {x.ndim} for {_describe(x)}, got {len(raw)}")
    found = tuple(as_tile(i, f"{where}: {what}") for i in raw)
    for i in found:
        if not i.dtype.is_integer:
            raise DTypeError(f"{where}: {what}: expected integers, got {i.dtype}")
    return found


def _describe(x: TensorValue) -> str:
    return f"array {x.value.hint!r} of rank {x.ndim}"


def _offsets(index: Index, shape: tuple[int, ...], x: TensorValue, where: str) -> tuple[Value, ...]:
    """Offsets in elements from an index counted in tiles."""
    offsets: list[Value] = []
    for i, side in zip(_indices(index, x, where, "index"), shape, strict=True):
        if i.shape:
            raise ShapeError(
                f"{where}: index: expected scalars, got a tile of shape {i.shape}",
                hint="use pk.gather() or pk.scatter()",
            )
        wide = cast_to(i, int64)
        offsets.append((wide if side == 1 else binary("mul", wide, side)).value)
    return tuple(offsets)


def _element(value: TileLike, dtype: DType, where: str) -> TileValue:
    """``value`` as a scalar of the array's dtype; Python scalars convert, tiles must match."""
    tile = as_tile(value, where, None)
    if is_scalar_constant(value) and tile.dtype != dtype:
        tile = cast_to(tile, dtype)
    if tile.dtype != dtype:
        raise DTypeError(f"{where}: expected {dtype}, got {tile.dtype}", hint=f"convert it: value.astype(pk.{dtype})")
    return tile


def _scalar(value: TileLike, dtype: DType, where: str) -> Value:
    tile = _element(value, dtype, where)
    if tile.shape:
        raise ShapeError(f"{where}: expected a scalar, got shape {tile.shape}")
    return tile.value


@op
def load(x: TensorValue, index: Index, shape: int | Sequence[int], pad: TileLike = 0) -> TileValue:
    """The tile of ``shape`` at ``index``, counted in tiles; elements outside the array are ``pad``.

    ``index`` and ``shape`` have one entry for each dimension of ``x``; a 0-d array takes ``()`` for both.
    """
    x = _tensor(x, "load(): x")
    sides = static_shape(shape, "load()")
    if len(sides) != x.ndim:
        raise ShapeError(f"load(): shape: expected rank {x.ndim} for {_describe(x)}, got {sides}")
    offsets = _offsets(index, sides, x, "load()")
    fill = _scalar(pad, x.dtype, "load(): pad")
    return TileValue(builder().emit(Load, (Tile(sides, x.dtype),), tensor=x.value, offsets=offsets, pad=fill).result)


@op
def store(x: TensorValue, index: Index, value: TileLike) -> None:
    """Write ``value`` at ``index``, counted in tiles of its shape; what lies outside the array is dropped."""
    x = _tensor(x, "store(): x")
    tile = _element(value, x.dtype, "store(): value")
    if tile.ndim != x.ndim:
        if tile.ndim:
            raise ShapeError(
                f"store(): value: expected rank {x.ndim} for {_describe(x)}, got shape {tile.shape}",
                hint="reshape the tile",
            )
        tile = broadcast(tile, (1,) * x.ndim)
    offsets = _offsets(index, tile.shape, x, "store()")
    builder().emit(Store, (), tensor=x.value, offsets=offsets, value=tile.value)


def _places(
    x: TensorValue, indices: Index, mask: TileLike | None, values: tuple[TileValue, ...], where: str
) -> tuple[tuple[Value, ...], Value | None, tuple[TileValue, ...], tuple[int, ...]]:
    """Indices, mask and values broadcast to one shape."""
    places = _indices(indices, x, where, "indices")
    keep = None if mask is None else as_tile(mask, f"{where}: mask")
    if keep is not None and not keep.dtype.is_bool:
        raise DTypeError(f"{where}: mask: expected bool, got {keep.dtype}")
    shapes = [t.shape for t in (*places, *values)] + ([keep.shape] if keep is not None else [])
    shape = broadcast_shapes(shapes, where)
    mask_value = None if keep is None else broadcast(keep, shape).value
    index_values = tuple(broadcast(cast_to(p, int64), shape).value for p in places)
    return index_values, mask_value, tuple(broadcast(v, shape) for v in values), shape


@op
def gather(x: TensorValue, indices: Index, mask: TileLike | None = None, pad: TileLike = 0) -> TileValue:
    """``x[indices]`` element by element: one integer tile for each dimension, broadcast together.

    Where ``mask`` is false or an index is below 0 or past the end, the result is ``pad``.
    """
    x = _tensor(x, "gather(): x")
    places, keep, _, shape = _places(x, indices, mask, (), "gather()")
    fill = _scalar(pad, x.dtype, "gather(): pad")
    made = builder().emit(Gather, (Tile(shape, x.dtype),), tensor=x.value, indices=places, mask=keep, pad=fill)
    return TileValue(made.result)


@op
def scatter(x: TensorValue, indices: Index, value: TileLike, mask: TileLike | None = None) -> None:
    """``x[indices] = value`` element by element, but for places that ``mask`` excludes or that lie outside.

    If a place is named more than once, which value stays is unspecified; use an atomic to combine them.
    """
    x = _tensor(x, "scatter(): x")
    tile = _element(value, x.dtype, "scatter(): value")
    places, keep, (tile,), _ = _places(x, indices, mask, (tile,), "scatter()")
    builder().emit(Scatter, (), tensor=x.value, indices=places, mask=keep, value=tile.value)


def _atomic(fn: str, x: TensorValue, indices: Index, value: TileLike, mask: TileLike | None) -> TileValue:
    where = f"atomic_{fn}()"
    x = _tensor(x, f"{where}: x")
    tile = _element(value, x.dtype, f"{where}: value")
    _check_atomic_dtype(x.dtype, fn, where)
    places, keep, (tile,), shape = _places(x, indices, mask, (tile,), where)
    made = builder().emit(
        AtomicRMW, (Tile(shape, x.dtype),), fn=fn, tensor=x.value, indices=places, mask=keep, value=tile.value
    )
    return TileValue(made.result)


def _check_atomic_dtype(dtype: DType, fn: str, where: str) -> None:
    if dtype.bits < 32:
        raise DTypeError(
            f"{where}: x: expected a 32-bit or 64-bit dtype, got {dtype}", hint="accumulate in int32 or float32"
        )
    if dtype.is_float and fn in ("and", "or", "xor"):
        raise DTypeError(f"{where}: x: expected an integer dtype, got {dtype}")


@op
def atomic_add(x: TensorValue, indices: Index, value: TileLike, mask: TileLike | None = None) -> TileValue:
    """``x[indices] += value``, atomic for each element; the values before. Sums of floats depend on the order of arrival."""
    return _atomic("add", x, indices, value, mask)


@op
def atomic_max(x: TensorValue, indices: Index, value: TileLike, mask: TileLike | None = None) -> TileValue:
    """``x[indices] = maximum(x[indices], value)``, atomic for each element; the values before."""
    return _atomic("max", x, indices, value, mask)


@op
def atomic_min(x: TensorValue, indices: Index, value: TileLike, mask: TileLike | None = None) -> TileValue:
    """``x[indices] = minimum(x[indices], value)``, atomic for each element; the values before."""
    return _atomic("min", x, indices, value, mask)


@op
def atomic_and(x: TensorValue, indices: Index, value: TileLike, mask: TileLike | None = None) -> TileValue:
    """``x[indices] &= value``, atomic for each element; the values before."""
    return _atomic("and", x, indices, value, mask)


@op
def atomic_or(x: TensorValue, indices: Index, value: TileLike, mask: TileLike | None = None) -> TileValue:
    """``x[indices] |= value``, atomic for each element; the values before."""
    return _atomic("or", x, indices, value, mask)


@op
def atomic_xor(x: TensorValue, indices: Index, value: TileLike, mask: TileLike | None = None) -> TileValue:
    """``x[indices] ^= value``, atomic for each element; the values before."""
    return _atomic("xor", x, indices, value, mask)


@op
def atomic_xchg(x: TensorValue, indices: Index, value: TileLike, mask: TileLike | None = None) -> TileValue:
    """``x[indices] = value``, atomic for each element; the values before."""
    return _atomic("xchg", x, indices, value, mask)


@op
def atomic_cas(
    x: TensorValue, indices: Index, expected: TileLike, value: TileLike, mask: TileLike | None = None
) -> TileValue:
    """``x[indices] = value`` where ``x[indices] == expected``, atomic for each element; the values before. Integers only."""
    where = "atomic_cas()"
    x = _tensor(x, f"{where}: x")
    _check_atomic_dtype(x.dtype, "cas", where)
    if x.dtype.is_float:
        raise DTypeError(
            f"{where}: x: expected an integer dtype, got {x.dtype}", hint="compare bits: view the array as integers"
        )
    old = _element(expected, x.dtype, f"{where}: expected")
    new = _element(value, x.dtype, f"{where}: value")
    places, keep, (old, new), shape = _places(x, indices, mask, (old, new), where)
    made = builder().emit(
        AtomicCAS,
        (Tile(shape, x.dtype),),
        tensor=x.value,
        indices=places,
        mask=keep,
        expected=old.value,
        value=new.value,
    )
    return TileValue(made.result)
