"""Folds along an axis: reductions, arg-reductions and scans, named or with a user's combine function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..dtypes import DType, accumulator, as_dtype, check_arithmetic, float32, int32
from ..errors import CallError, DTypeError, ShapeError
from ..ir import ArgReduce, Block, Reduce, Scan, Tile, Value
from .elementwise import binary, truth
from .op import op
from .values import TileLike, TileValue, as_tile, builder, cast_to, reshape_to, static_axis

Axis = int | Sequence[int] | None


def _axes(axis: Axis, ndim: int, where: str) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    raw = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    found = tuple(static_axis(a, ndim, where) for a in raw)
    if len(set(found)) != len(found):
        raise ShapeError(f"{where}: axis: expected each axis once, got {raw}")
    return found


def _fold(fn: str, x: TileValue, axis: Axis, keepdims: bool, where: str) -> TileValue:
    """The named fold over one axis after the other, last first."""
    axes = _axes(axis, x.ndim, where)
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    for place in sorted(axes, reverse=True):
        shape = x.shape[:place] + x.shape[place + 1 :]
        made = builder().emit(Reduce, (Tile(shape, x.dtype),), fn=fn, axis=place, xs=(x.value,), body=None)
        x = TileValue(made.result)
    return reshape_to(x, kept) if keepdims else x


def _summable(x: TileLike, dtype: object, where: str) -> tuple[TileValue, DType]:
    """``x`` in its accumulator dtype, and the dtype of the result: NumPy's rule, or ``dtype``."""
    tile = as_tile(x, where)
    check_arithmetic(tile.dtype, f"{where}: x")
    natural = tile.dtype if tile.dtype.is_float else accumulator(tile.dtype)
    result = natural if dtype is None else as_dtype(dtype)  # type: ignore[arg-type]
    wide = accumulator(result) if result.is_float else result
    return cast_to(tile, wide), result


@op
def sum(x: TileLike, axis: Axis = None, dtype: object = None, keepdims: bool = False) -> TileValue:
    """Sum along ``axis``. float16 and bfloat16 accumulate in float32; integers in (u)int64, as in NumPy, unless ``dtype`` says."""
    tile, result = _summable(x, dtype, "sum()")
    return cast_to(_fold("sum", tile, axis, keepdims, "sum()"), result)


@op
def prod(x: TileLike, axis: Axis = None, dtype: object = None, keepdims: bool = False) -> TileValue:
    """Product along ``axis``; accumulates as :func:`sum` does."""
    tile, result = _summable(x, dtype, "prod()")
    return cast_to(_fold("prod", tile, axis, keepdims, "prod()"), result)


@op
def mean(x: TileLike, axis: Axis = None, dtype: object = None, keepdims: bool = False) -> TileValue:
    """Mean along ``axis``; of integers, in float32."""
    tile = as_tile(x, "mean()")
    if not tile.dtype.is_float:
        tile = cast_to(tile, float32)
    wide, result = _summable(tile, dtype, "mean()")
    count = 1
    for place in _axes(axis, tile.ndim, "mean()"):
        count *= tile.shape[place]
    return cast_to(binary("div", _fold("sum", wide, axis, keepdims, "mean()"), float(count)), result)


@op
def max(x: TileLike, axis: Axis = None, keepdims: bool = False) -> TileValue:
    """Largest element along ``axis``; NaN if there is one."""
    return _fold("max", _ordered(x, "max()"), axis, keepdims, "max()")


@op
def min(x: TileLike, axis: Axis = None, keepdims: bool = False) -> TileValue:
    """Smallest element along ``axis``; NaN if there is one."""
    return _fold("min", _ordered(x, "min()"), axis, keepdims, "min()")


def _ordered(x: TileLike, where: str) -> TileValue:
    tile = as_tile(x, where)
    check_arithmetic(tile.dtype, f"{where}: x")
    return tile


@op
def any(x: TileLike, axis: Axis = None, keepdims: bool = False) -> TileValue:
    """True if any element along ``axis`` is nonzero."""
    return _fold("or", truth(x, "any()"), axis, keepdims, "any()")


@op
def all(x: TileLike, axis: Axis = None, keepdims: bool = False) -> TileValue:
    """True if every element along ``axis`` is nonzero."""
    return _fold("and", truth(x, "all()"), axis, keepdims, "all()")


@op
def xor_sum(x: TileLike, axis: Axis = None, keepdims: bool = False) -> TileValue:
    """Exclusive or of the integers along ``axis``."""
    tile = as_tile(x, "xor_sum()")
    if tile.dtype.is_float:
        raise DTypeError(f"xor_sum(): x: expected an integer or bool dtype, got {tile.dtype}")
    return _fold("xor", tile, axis, keepdims, "xor_sum()")


def _arg(fn: str, x: TileLike, axis: int | None, keepdims: bool) -> TileValue:
    tile = _ordered(x, f"{fn}()")
    shape = tile.shape
    if axis is None:
        tile, place = reshape_to(tile, (tile.size,)), 0
        kept = (1,) * len(shape)
    else:
        place = static_axis(axis, tile.ndim, f"{fn}()")
        kept = (*shape[:place], 1, *shape[place + 1 :])
    result = Tile(tile.shape[:place] + tile.shape[place + 1 :], int32)
    found = TileValue(builder().emit(ArgReduce, (result,), fn=fn, axis=place, x=tile.value).result)
    return reshape_to(found, kept) if keepdims else found


@op
def argmax(x: TileLike, axis: int | None = None, keepdims: bool = False) -> TileValue:
    """int32 index of the largest element along ``axis`` (of all, row-major, without one): the first of equals or NaN."""
    return _arg("argmax", x, axis, keepdims)


@op
def argmin(x: TileLike, axis: int | None = None, keepdims: bool = False) -> TileValue:
    """int32 index of the smallest element along ``axis`` (of all, row-major, without one): the first of equals or NaN."""
    return _arg("argmin", x, axis, keepdims)


def _scan(fn: str, x: TileValue, axis: int | None, reverse: bool, where: str) -> TileValue:
    if axis is None:
        x, place = reshape_to(x, (x.size,)), 0
    else:
        place = static_axis(axis, x.ndim, where)
    made = builder().emit(Scan, (x.type,), fn=fn, axis=place, reverse=bool(reverse), xs=(x.value,), body=None)
    return TileValue(made.result)


@op
def cumsum(x: TileLike, axis: int | None = None, dtype: object = None, reverse: bool = False) -> TileValue:
    """Running sum along ``axis`` (flattened without one); accumulates as :func:`sum` does."""
    tile, result = _summable(x, dtype, "cumsum()")
    return cast_to(_scan("sum", tile, axis, reverse, "cumsum()"), result)


@op
def cumprod(x: TileLike, axis: int | None = None, dtype: object = None, reverse: bool = False) -> TileValue:
    """Running product along ``axis`` (flattened without one)."""
    tile, result = _summable(x, dtype, "cumprod()")
    return cast_to(_scan("prod", tile, axis, reverse, "cumprod()"), result)


@op
def cummax(x: TileLike, axis: int | None = None, reverse: bool = False) -> TileValue:
    """Running maximum along ``axis`` (flattened without one); NaN from the first NaN on."""
    return _scan("max", _ordered(x, "cummax()"), axis, reverse, "cummax()")


@op
def cummin(x: TileLike, axis: int | None = None, reverse: bool = False) -> TileValue:
    """Running minimum along ``axis`` (flattened without one); NaN from the first NaN on."""
    return _scan("min", _ordered(x, "cummin()"), axis, reverse, "cummin()")


Combine = Callable[..., object]
Tiles = TileValue | tuple[TileValue, ...]


def _combine_body(xs: tuple[TileValue, ...], combine: Combine, where: str) -> Block:
    """``combine`` traced once over scalars: ``(a0, …, b0, …) -> (a0', …)``."""
    params = tuple(Value(Tile((), x.dtype)) for x in xs * 2)
    with builder().scope(params) as body:
        out = builder().call(combine, tuple(TileValue(p) for p in params))
        results = tuple(out) if isinstance(out, (tuple, list)) else (out,)
        if len(results) != len(xs):
            raise CallError(f"{where}: combine: expected {len(xs)} results, got {len(results)}")
        yields: list[Value] = []
        for x, result in zip(xs, results, strict=True):
            tile = as_tile(result, f"{where}: combine", x.dtype)
            if tile.type != Tile((), x.dtype):
                raise DTypeError(f"{where}: combine: expected a result of type {x.dtype}, got {tile.type}")
            yields.append(tile.value)
    return body.close(tuple(yields))


def _operands(x: object, where: str) -> tuple[TileValue, ...]:
    xs = tuple(as_tile(t, where) for t in x) if isinstance(x, (tuple, list)) else (as_tile(x, where),)
    if not xs or len({t.shape for t in xs}) != 1:
        raise ShapeError(f"{where}: x: expected tiles of one shape, got {[t.shape for t in xs]}")
    return xs


@op
def reduce(x: Tiles, axis: int, combine: Combine, keepdims: bool = False) -> Tiles:
    """Fold one tile, or several together, along ``axis`` with the user's associative ``combine``.

    ``combine(a0, …, b0, …)`` takes the accumulators, then as many elements, all scalars, and returns the new
    accumulators (one value, or a tuple). Elements keep their order; how they are grouped is unspecified.
    """
    xs = _operands(x, "reduce()")
    place = static_axis(axis, xs[0].ndim, "reduce()")
    shape = xs[0].shape[:place] + xs[0].shape[place + 1 :]
    body = _combine_body(xs, combine, "reduce()")
    types = tuple(Tile(shape, t.dtype) for t in xs)
    made = builder().emit(Reduce, types, fn="combine", axis=place, xs=tuple(t.value for t in xs), body=body)
    kept = (*xs[0].shape[:place], 1, *xs[0].shape[place + 1 :])
    results = tuple(reshape_to(TileValue(r), kept) if keepdims else TileValue(r) for r in made.results)
    return results if isinstance(x, (tuple, list)) else results[0]


@op
def scan(x: Tiles, axis: int, combine: Combine, reverse: bool = False) -> Tiles:
    """Running fold of one tile, or several together, along ``axis`` with the user's associative ``combine`` (see :func:`reduce`)."""
    xs = _operands(x, "scan()")
    place = static_axis(axis, xs[0].ndim, "scan()")
    body = _combine_body(xs, combine, "scan()")
    made = builder().emit(
        Scan,
        tuple(t.type for t in xs),
        fn="combine",
        axis=place,
        reverse=bool(reverse),
        xs=tuple(t.value for t in xs),
        body=body,
    )
    results = tuple(TileValue(r) for r in made.results)
    return results if isinstance(x, (tuple, list)) else results[0]
