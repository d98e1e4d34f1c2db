"""The element types, their facts, and how they combine.

Promotion follows NumPy 2 with two deliberate differences, because many accelerators have no float64
(``docs/design/002-promotion.md``): an integer combined with a float takes the *float's* type, and a floating
function or true division of integers gives float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from .errors import DTypeError, MissingDependencyError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

Scalar = bool | int | float


@dataclass(frozen=True, slots=True)
class DType:
    """An element type. ``kind`` is ``b`` bool, ``i`` signed, ``u`` unsigned, ``f`` float.

    ``mantissa`` counts the stored fraction bits of a float, ``exponent`` its exponent bits.
    """

    name: str
    kind: str
    bits: int
    exponent: int = 0
    mantissa: int = 0

    @property
    def itemsize(self) -> int:
        return self.bits // 8

    @property
    def is_float(self) -> bool:
        return self.kind == "f"

    @property
    def is_integer(self) -> bool:
        return self.kind in "iu"

    @property
    def is_bool(self) -> bool:
        return self.kind == "b"

    @property
    def is_storage_only(self) -> bool:
        """True for the 8-bit floats: they load, store and cast, and have no arithmetic."""
        return self.is_float and self.bits == 8

    @property
    def eps(self) -> float:
        """Distance from 1.0 to the next larger value of a float type."""
        return float(2.0**-self.mantissa)

    @property
    def np(self) -> np.dtype:
        """The NumPy dtype that holds this type. bfloat16 and the 8-bit floats come from ``ml_dtypes``."""
        return _numpy_dtype(self.name)

    @property
    def min(self) -> int:
        """Smallest value of an integer type."""
        return -(1 << (self.bits - 1)) if self.kind == "i" else 0

    @property
    def max(self) -> int:
        """Largest value of an integer type."""
        return 1 if self.is_bool else (1 << (self.bits - (self.kind == "i"))) - 1

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"portkernel.{self.name}"


bool_ = DType("bool", "b", 8)
int8, int16, int32, int64 = (DType(f"int{n}", "i", n) for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (DType(f"uint{n}", "u", n) for n in (8, 16, 32, 64))
float64 = DType("float64", "f", 64, 11, 52)
float32 = DType("float32", "f", 32, 8, 23)
float16 = DType("float16", "f", 16, 5, 10)
bfloat16 = DType("bfloat16", "f", 16, 8, 7)
float8_e4m3fn = DType("float8_e4m3fn", "f", 8, 4, 3)
float8_e5m2 = DType("float8_e5m2", "f", 8, 5, 2)

ALL: tuple[DType, ...] = (
    float64, float32, float16, bfloat16, float8_e4m3fn, float8_e5m2,
    int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool_,
)  # fmt: skip
BY_NAME: dict[str, DType] = {d.name: d for d in ALL}
_ML_DTYPES = frozenset({"bfloat16", "float8_e4m3fn", "float8_e5m2"})


@cache
def _numpy_dtype(name: str) -> np.dtype:
    if name not in _ML_DTYPES:
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        raise MissingDependencyError(
            f"{name}: NumPy has no such type without the package ml_dtypes", hint='pip install "portkernel[lowp]"'
        ) from None
    found: np.dtype = np.dtype(getattr(ml_dtypes, name))
    return found


def as_dtype(spec: DType | DTypeLike | str) -> DType:
    """The :class:`DType` that ``spec`` names: one of ours, a NumPy dtype or type, a torch dtype, or a name.

    >>> as_dtype("float16"), as_dtype(np.int8)
    (portkernel.float16, portkernel.int8)

    Raises :class:`~portkernel.errors.DTypeError` for anything else.
    """
    if isinstance(spec, DType):
        return spec
    try:
        return _as_dtype(spec)  # type: ignore[arg-type]  # what has no hash raises TypeError
    except TypeError:  # something that cannot be hashed
        return _as_dtype.__wrapped__(spec)


@lru_cache(maxsize=256)
def _as_dtype(spec: DTypeLike | str) -> DType:
    name = spec if isinstance(spec, str) else str(spec)
    found = BY_NAME.get(name.removeprefix("torch."))
    if found is not None:
        return found
    if spec is not None:
        try:
            found = BY_NAME.get(np.dtype(spec).name)
        except (TypeError, ValueError):  # an array of another library has a dtype, and is none
            found = None
    if found is None:
        raise DTypeError(f"expected a dtype, got {spec!r}", hint="the dtypes are " + ", ".join(BY_NAME))
    return found


_FLOATS = (float16, float32, float64)


def promote(a: DType, b: DType) -> DType:
    """The dtype in which ``a`` and ``b`` combine; commutative and associative over the accepted pairs.

    >>> promote(int32, float16), promote(float16, bfloat16), promote(int8, uint8)
    (portkernel.float16, portkernel.float32, portkernel.int16)

    Raises :class:`~portkernel.errors.DTypeError` for 8-bit floats and for uint64 with a signed integer.
    """
    if a is b or a == b:
        return a
    for d in (a, b):
        check_arithmetic(d, "promote()")
    if a.is_float and b.is_float:
        if a.bits != b.bits:
            return a if a.bits > b.bits else b
        return float32  # float16 with bfloat16
    if a.is_float or b.is_float:
        return a if a.is_float else b
    if a.is_bool or b.is_bool:
        return b if a.is_bool else a
    if a.kind == b.kind:
        return a if a.bits > b.bits else b
    signed, unsigned = (a, b) if a.kind == "i" else (b, a)
    if signed.bits > unsigned.bits:
        return signed
    if unsigned.bits == 64:
        raise DTypeError(
            f"promote(): expected dtypes with a common integer type, got uint64 and {signed}",
            hint="cast one of them with astype()",
        )
    return BY_NAME[f"int{2 * unsigned.bits}"]


def check_arithmetic(d: DType, where: str) -> None:
    """Raise :class:`~portkernel.errors.DTypeError` for a dtype that is stored and cast but not computed with: float8."""
    if d.is_storage_only:
        raise DTypeError(
            f"{where}: expected a dtype with arithmetic, got {d}", hint="cast it first: x.astype(pk.float32)"
        )


def weak_dtype(value: Scalar, other: DType | None = None) -> DType:
    """The dtype that a Python scalar takes: beside ``other``, or alone when ``other`` is None.

    Alone, an integer is int32 if it fits, else int64 (uint64 above that), and a float is float32.
    """
    if isinstance(value, bool):
        return bool_ if other is None else other
    if isinstance(value, int):
        if other is not None and not other.is_bool:
            if other.is_integer and not other.min <= value <= other.max:
                raise DTypeError(
                    f"constant: expected an integer that fits {other}, got {value}",
                    hint="cast the tile to a wider type with astype()",
                )
            return other
        return next((t for t in (int32, int64, uint64) if t.min <= value <= t.max), int64)
    return other if other is not None and other.is_float else float32


def floating(d: DType) -> DType:
    """The dtype in which a floating function of ``d`` is computed and returned."""
    check_arithmetic(d, "floating()")
    return d if d.is_float else float32


def accumulator(d: DType) -> DType:
    """The dtype in which sums and products of ``d`` accumulate: the numerical contract of every backend."""
    if d.is_float:
        return d if d.bits >= 32 else float32
    if d.kind == "u":
        return uint64
    return int64


def dot_accumulator(d: DType) -> DType:
    """The dtype in which a dot product of ``d`` accumulates."""
    if d.is_float:
        return d if d.bits >= 32 else float32
    return int64 if d.bits == 64 else int32
