"""The grid, compile-time control, assertions and printing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

from ..dtypes import int32
from ..errors import CallError, NotConstantError, ShapeError, StaticAssertionError
from ..ir import Assert, NumPrograms, Print, ProgramId, Tile
from .elementwise import binary, truth
from .op import op
from .values import TileLike, TileValue, as_tile, broadcast, broadcast_shapes, builder, static_int

T = TypeVar("T")


class ConstexprMarker:
    """Marks a parameter as a compile-time constant inside ``Annotated``."""


if TYPE_CHECKING:
    constexpr = Annotated[T, ConstexprMarker]
else:

    class constexpr:
        """``BM: pk.constexpr[int]``: a compile-time parameter. Type checkers see ``int``."""

        def __class_getitem__(cls, item: object) -> object:
            return Annotated[item, ConstexprMarker]


@dataclass(frozen=True, slots=True)
class Auto:
    """The default of a block size that the compiler chooses, between ``low`` and ``high`` elements."""

    low: int
    high: int


def auto(low: int = 1, high: int = 4096) -> int:
    """``BM: pk.constexpr[int] = pk.auto(16, 256)``: let the compiler choose a side between the bounds.

    Raises :class:`~portkernel.errors.CallError` unless ``1 <= low <= high``.
    """
    if not (isinstance(low, int) and isinstance(high, int) and 1 <= low <= high):
        raise CallError(f"auto(): expected integers with 1 <= low <= high, got {low!r} and {high!r}")
    return cast(int, Auto(low, high))


def _grid_axis(axis: object, where: str) -> int:
    found = static_int(axis, f"{where}: axis")
    if found not in (0, 1, 2):
        raise ShapeError(f"{where}: axis: expected 0, 1 or 2, got {found}")
    return found


@op
def program_id(axis: int) -> TileValue:
    """int32: the index of this program along ``axis`` of the grid."""
    place = _grid_axis(axis, "program_id()")
    return TileValue(builder().emit(ProgramId, (Tile((), int32),), axis=place).result)


@op
def num_programs(axis: int) -> TileValue:
    """int32: the size of the grid along ``axis``."""
    place = _grid_axis(axis, "num_programs()")
    return TileValue(builder().emit(NumPrograms, (Tile((), int32),), axis=place).result)


def cdiv(a: TileLike, b: TileLike) -> TileLike:
    """``a / b`` rounded up, for a positive ``b``; also on the host, as in grid functions.

    >>> cdiv(10, 4)
    3
    """
    if isinstance(a, TileValue) or isinstance(b, TileValue):
        return binary("floordiv", binary("add", a, binary("sub", b, 1) if isinstance(b, TileValue) else int(b) - 1), b)
    return -(-a // b)  # type: ignore[operator]


cdiv.__pk_operator__ = True  # type: ignore[attr-defined]  # also works on the host, hence not @op


def next_power_of_2(n: int) -> int:
    """The smallest power of two that is at least ``n``; a compile-time function.

    >>> next_power_of_2(48)
    64
    """
    return 1 << max(0, static_int(n, "next_power_of_2()") - 1).bit_length()


next_power_of_2.__pk_operator__ = True  # type: ignore[attr-defined]


class static_range:
    """``for i in pk.static_range(n)``: the loop is unrolled while compiling, ``i`` is a constant."""

    def __init__(self, *args: int) -> None:
        self.steps = range(*(static_int(a, "static_range()") for a in args))

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)


def static_assert(condition: object, message: str = "") -> None:
    """Fail compilation unless ``condition``, a compile-time value, is true."""
    if isinstance(condition, TileValue) and builder().concrete(condition.value) is None:
        raise NotConstantError(
            "static_assert(): condition: expected a compile-time constant, got a run-time value",
            hint="use pk.device_assert()",
        )
    if not condition:
        raise StaticAssertionError(f"static_assert(): {message or 'the condition is false'}")


static_assert.__pk_operator__ = True  # type: ignore[attr-defined]


def static_print(*values: object) -> None:
    """Print compile-time values, and the types of run-time ones, while compiling."""
    print(*values)


static_print.__pk_operator__ = True  # type: ignore[attr-defined]


@op
def device_assert(condition: TileLike, message: str = "") -> None:
    """Raise :class:`~portkernel.errors.DeviceAssertionError` at the end of the launch if any element is false."""
    tile = truth(condition, "device_assert()")
    builder().emit(Assert, (), message=str(message), cond=tile.value)


@op
def device_print(prefix: str, *values: TileLike) -> None:
    """Print ``prefix`` and, a line for each element, the program's index and the values."""
    if not isinstance(prefix, str):
        raise CallError(f"device_print(): prefix: expected a string constant, got {type(prefix).__name__}")
    tiles = [as_tile(v, "device_print()") for v in values]
    shape = broadcast_shapes([t.shape for t in tiles], "device_print()")
    builder().emit(Print, (), prefix=prefix, xs=tuple(broadcast(t, shape).value for t in tiles))
