"""What a kernel's variables are: tiles and tensors, with NumPy's operators and methods.

The same objects serve the compiler (operators append IR) and eager execution (the builder computes at once).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np

from ..dtypes import DType, Scalar, as_dtype, weak_dtype
from ..errors import CallError, DTypeError, NotConstantError, ShapeError
from ..ir import BroadcastTo as BroadcastToOp
from ..ir import Builder, Const, Dim, Full, Stride, Tensor, Tile, Value, current
from ..ir import Cast as CastOp
from ..ir import Reshape as ReshapeOp

MAX_ELEMENTS: Final = 2**31 - 1
"""Elements of a tile: places in it are counted in int32."""


def builder() -> Builder:
    """The builder in force."""
    found = current()
    if found is None:
        raise CallError(
            "expected code inside a @pk.kernel function, got a use outside of any",
            hint="launch the kernel, or use kernel.eager[grid](...)",
        )
    return found


class TileValue:
    """A tile of elements, or a scalar (shape ``()``), known when the kernel runs."""

    __slots__ = ("value",)
    __array_ufunc__ = None  # NumPy scalars leave mixed operators to us

    def __init__(self, value: Value) -> None:
        self.value = value

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.tile.shape

    @property
    def dtype(self) -> DType:
        return self.value.tile.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return self.value.tile.size

    @property
    def type(self) -> Tile:
        return self.value.tile

    if TYPE_CHECKING:  # attached by lang.operators; declared here for type checkers

        def __add__(self, other: TileLike) -> TileValue: ...

        __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = __add__
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = __add__
        __and__ = __or__ = __xor__ = __lshift__ = __rshift__ = __lt__ = __le__ = __gt__ = __ge__ = __add__
        __rand__ = __ror__ = __rxor__ = __rlshift__ = __rrshift__ = __add__

        def __eq__(self, other: TileLike) -> TileValue: ...  # type: ignore[override]
        def __ne__(self, other: TileLike) -> TileValue: ...  # type: ignore[override]
        def __neg__(self) -> TileValue: ...

        __pos__ = __invert__ = __abs__ = __neg__

        @property
        def T(self) -> TileValue: ...
        def astype(self, dtype: object) -> TileValue: ...
        def reshape(self, *shape: int | Sequence[int]) -> TileValue: ...
        def transpose(self, *axes: int | Sequence[int]) -> TileValue: ...
        def sum(
            self, axis: int | Sequence[int] | None = None, dtype: object = None, keepdims: bool = False
        ) -> TileValue: ...

        prod = mean = sum

        def max(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> TileValue: ...

        min = any = all = max

        def argmax(self, axis: int | None = None, keepdims: bool = False) -> TileValue: ...

        argmin = argmax

        def cumsum(self, axis: int | None = None, dtype: object = None, reverse: bool = False) -> TileValue: ...

        cumprod = cumsum

    def __repr__(self) -> str:
        concrete = builder().concrete(self.value) if current() is not None else None
        return f"<{self.type}>" if concrete is None else f"{concrete!r}"

    def _concrete(self, use: str) -> Scalar:
        found = builder().concrete(self.value)
        if found is None:
            raise NotConstantError(
                f"{use}: expected a compile-time constant, got a run-time {self.type}",
                hint="declare the parameter as pk.constexpr[...], or compute it from shapes of tiles",
            )
        if found.ndim:
            raise ShapeError(
                f"{use}: expected a scalar, got shape {self.shape}", hint="reduce it with pk.any() or pk.all()"
            )
        return found.item()  # type: ignore[no-any-return]

    def __bool__(self) -> bool:
        return bool(self._concrete("truth value"))

    def __index__(self) -> int:
        if not self.dtype.is_integer:
            raise DTypeError(f"index: expected an integer, got {self.dtype}")
        return int(self._concrete("index"))

    def __int__(self) -> int:
        return int(self._concrete("int()"))

    def __float__(self) -> float:
        return float(self._concrete("float()"))

    def __iter__(self) -> Iterator[NoReturn]:
        raise ShapeError(
            f"expected a tuple to iterate over or unpack, got a tile {self.type}",
            hint="use pk.extract() for a part of it",
        )

    def __hash__(self) -> int:
        return id(self.value)

    def __getitem__(self, key: object) -> TileValue:
        """``None`` and ``:`` only, as in ``x[:, None]``: a new axis of length 1."""
        keys = key if isinstance(key, tuple) else (key,)
        shape: list[int] = []
        rest = list(self.shape)
        for k in keys:
            if k is None:
                shape.append(1)
            elif isinstance(k, slice) and k == slice(None) and rest:
                shape.append(rest.pop(0))
            elif k is Ellipsis:
                kept = sum(isinstance(other, slice) for other in keys[keys.index(Ellipsis) + 1 :])
                while len(rest) > kept:
                    shape.append(rest.pop(0))
            else:
                raise ShapeError(
                    f"indexing: expected only `:` and `None`, got {k!r} for shape {self.shape}",
                    hint="use pk.extract() for a part of a tile, pk.gather() for elements of an array",
                )
        return reshape_to(self, (*shape, *rest))


_FactOp = type[Dim] | type[Stride]  # named here, because `type` is a property of the class below


class TensorValue:
    """An array argument: its ``shape``, ``strides`` (in elements), ``dtype`` and ``ndim``; ``pk.load`` reads it."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    @property
    def type(self) -> Tensor:
        return self.value.tensor

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return self.type.rank

    @property
    def shape(self) -> tuple[TileValue | int, ...]:
        return tuple(self._fact(known, Dim, axis) for axis, known in enumerate(self.type.shape))

    @property
    def strides(self) -> tuple[TileValue | int, ...]:
        return tuple(self._fact(known, Stride, axis) for axis, known in enumerate(self.type.strides))

    @property
    def size(self) -> TileValue | int:
        total: TileValue | int = 1
        for n in self.shape:
            total = total * n
        return total

    def _fact(self, known: int | None, op: _FactOp, axis: int) -> TileValue | int:
        if known is not None:
            return known
        found = builder().emit(op, (Tile((), _INDEX),), tensor=self.value, axis=axis).result
        concrete = builder().concrete(found)
        return TileValue(found) if concrete is None else int(concrete)

    def __repr__(self) -> str:
        return f"<{self.value.hint}: {self.type}>"

    def _refuse(self, *_: object) -> NoReturn:
        raise DTypeError(
            f"{self.value.hint or 'array'}: expected a tile or a scalar, got an array argument",
            hint="load a tile of it first: pk.load(x, index, shape)",
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __floordiv__ = __mod__ = __pow__ = __matmul__ = __neg__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __getitem__ = __bool__ = __iter__ = _refuse


_INDEX = as_dtype("int64")
TileLike = TileValue | Scalar | np.generic


def constant(value: Scalar, dtype: DType) -> TileValue:
    """A scalar constant of ``dtype``; integers wrap, floats round when they are materialised."""
    if dtype.is_bool:
        value = bool(value)
    elif dtype.is_integer:
        value = int(value)
        if not dtype.min <= value <= dtype.max:
            raise DTypeError(f"constant: expected an integer that fits {dtype}, got {value}")
    else:
        value = float(value)
    return TileValue(builder().emit(Const, (Tile((), dtype),), value=value).result)


def is_scalar_constant(x: object) -> bool:
    return isinstance(x, (bool, int, float, np.generic))


def as_tile(x: object, where: str, like: DType | None = None) -> TileValue:
    """``x`` as a tile: itself, or a Python or NumPy scalar as a constant (of dtype ``like`` if that is given)."""
    if isinstance(x, TileValue):
        return x
    if isinstance(x, (bool, int, float)):
        return constant(x, weak_dtype(x, like))
    if isinstance(x, np.generic):
        return constant(x.item(), as_dtype(x.dtype))
    if isinstance(x, TensorValue):
        x._refuse()
    raise DTypeError(f"{where}: expected a tile or a scalar, got {type(x).__name__}")


def cast_to(x: TileValue, dtype: DType) -> TileValue:
    if x.dtype == dtype:
        return x
    return TileValue(builder().emit(CastOp, (Tile(x.shape, dtype),), x=x.value).result)


def reshape_to(x: TileValue, shape: tuple[int, ...]) -> TileValue:
    if x.shape == shape:
        return x
    return TileValue(builder().emit(ReshapeOp, (Tile(shape, x.dtype),), x=x.value).result)


def broadcast_shapes(shapes: Sequence[tuple[int, ...]], where: str) -> tuple[int, ...]:
    """NumPy's broadcasting of static shapes."""
    rank = max((len(s) for s in shapes), default=0)
    result: list[int] = []
    for axis in range(-rank, 0):
        sides = {s[axis] for s in shapes if len(s) >= -axis}
        wide = sides - {1}
        if len(wide) > 1:
            raise ShapeError(
                f"{where}: expected shapes that broadcast, got {' and '.join(map(str, shapes))} (axis {axis})"
            )
        result.append(wide.pop() if wide else 1)
    return tuple(result)


def broadcast(x: TileValue, shape: tuple[int, ...]) -> TileValue:
    """``x`` broadcast to ``shape``, which it is known to fit."""
    if x.shape == shape:
        return x
    if not x.shape:
        return TileValue(builder().emit(Full, (Tile(shape, x.dtype),), value=x.value).result)
    x = reshape_to(x, (1,) * (len(shape) - x.ndim) + x.shape)
    if x.shape == shape:
        return x
    return TileValue(builder().emit(BroadcastToOp, (Tile(shape, x.dtype),), x=x.value).result)


def static_int(x: object, where: str) -> int:
    """A compile-time integer."""
    if isinstance(x, TileValue):
        if not x.dtype.is_integer:
            raise DTypeError(f"{where}: expected an integer, got {x.dtype}")
        return int(x._concrete(where))
    if isinstance(x, (int, np.integer)) and not isinstance(x, bool):
        return int(x)
    raise NotConstantError(f"{where}: expected a constant integer, got {x!r}")


def static_shape(shape: object, where: str) -> tuple[int, ...]:
    """A compile-time shape: an int or a sequence of positive ints."""
    sides = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    result = tuple(static_int(s, f"{where}: shape") for s in sides)
    for side in result:
        if side < 1:
            raise ShapeError(f"{where}: shape: expected sides of at least 1, got {result}")
    if math.prod(result) > MAX_ELEMENTS:
        raise ShapeError(
            f"{where}: shape: expected at most {MAX_ELEMENTS} elements, got {result}",
            hint="a tile is what one program holds: use smaller tiles and more programs",
        )
    return result


def static_axis(axis: object, ndim: int, where: str) -> int:
    """A compile-time axis, normalised to 0 … ndim - 1."""
    found = static_int(axis, f"{where}: axis")
    if not -ndim <= found < ndim:
        raise ShapeError(f"{where}: axis: expected -{ndim} to {ndim - 1}, got {found}")
    return found % ndim
