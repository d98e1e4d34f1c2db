"""What a conformance case is: a kernel, its arguments, and what plain NumPy says must come out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .. import dtypes as d
from ..catalog import Array, Grid, Launchable, poison
from ..dtypes import DType

FLOATS = (d.float32, d.float64, d.float16, d.bfloat16)
INTEGERS = (d.int8, d.int16, d.int32, d.int64, d.uint8, d.uint16, d.uint32, d.uint64)
NUMBERS = FLOATS + INTEGERS
SOME = (d.float32, d.float16, d.int32)
"""A float that every target has, one that many emulate, and an integer."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of a case.

    ``expect`` holds what the outputs must be; ``bound`` the absolute error allowed for each, exact where it has no
    entry. ``bits`` asks for equal signs of zeros too. ``raises`` names the error that the launch must end in.
    """

    kernel: Launchable
    args: dict[str, object]
    expect: Mapping[str, Array]
    grid: Grid = (1,)
    bound: Mapping[str, Array | float] = field(default_factory=dict)
    constants: Mapping[str, object] = field(default_factory=dict)
    bits: bool = False
    raises: str = ""


Make = Callable[[DType, np.random.Generator], Launch]


@dataclass(frozen=True, slots=True)
class Case:
    """A named case and the dtypes that it is run in. ``make`` is deterministic."""

    name: str
    dtypes: tuple[DType, ...]
    make: Make
    dense: bool = False
    """Whether it runs over tens of thousands of values."""

    def launch(self, dtype: DType) -> Launch:
        with np.errstate(all="ignore"):  # special values are the point
            return self.make(dtype, np.random.default_rng(zlib.crc32(f"{self.name}/{dtype}".encode())))


class Table:
    """Collects the cases of a module."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    def __call__(self, *dtypes: DType, name: str = "") -> Callable[[Make], Make]:
        """Decorator: register a function under its own name."""

        def register(make: Make) -> Make:
            self.add(name or make.__name__.lstrip("_").replace("_", " "), dtypes, make)
            return make

        return register

    def add(self, name: str, dtypes: tuple[DType, ...], make: Make, dense: bool = False) -> None:
        if dtypes:
            self.cases.append(Case(name, dtypes, make, dense))


# --- values -------------------------------------------------------------------------------------------------


def like(expected: Array) -> Array:
    """A poisoned output for ``expected``; bools have no third value, so theirs are the wrong ones."""
    dtype = d.as_dtype(expected.dtype)
    return ~expected if dtype.is_bool else poison(expected.shape, dtype)


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Array:
    """Random elements over a range that sums and products of a few stay in."""
    if dtype.is_float:
        return np.asarray(rng.uniform(-4, 4, shape)).astype(dtype.np)
    if dtype.is_bool:
        return np.asarray(rng.integers(0, 2, shape)).astype(np.bool_)
    return np.asarray(rng.integers(dtype.min, dtype.max, shape, dtype=dtype.np, endpoint=True))


def specials(dtype: DType) -> Array:
    """The values that break things, each dtype's own."""
    if dtype.is_bool:
        return np.array([False, True])
    if dtype.is_integer:
        top, low = dtype.max, dtype.min
        picks = {low, low + 1, low // 2, -7, -3, -2, -1, 0, 1, 2, 3, 5, 7, 8, top // 2, top // 2 + 1, top - 1, top}
        return np.array(sorted(p for p in picks if low <= p <= top), dtype.np)
    smallest = 2.0 ** (2 - (1 << (dtype.exponent - 1)) - dtype.mantissa)
    normal = 2.0 ** (2 - (1 << (dtype.exponent - 1)))
    picks_f = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 7.0, 10.0, 100.0, smallest, 3 * smallest, normal - smallest, normal]
    picks_f += [1 + dtype.eps, 1 - dtype.eps / 2, 0.1, 1e-3, 0.75, 240.0]
    if not dtype.is_storage_only:
        import ml_dtypes

        picks_f += [float(ml_dtypes.finfo(dtype.np).max), 3e4, 1e-4]
    both = [*picks_f, *(-p for p in picks_f), np.nan, np.inf, -np.inf]
    return np.array(both, np.float64).astype(dtype.np)


def every(dtype: DType) -> Array:
    """Every value of a 16-bit or 8-bit dtype; of a wider float, 65,536 values spread over all exponents."""
    if dtype.bits <= 16:
        bits: Array = np.arange(1 << dtype.bits, dtype=f"u{dtype.itemsize}")
        return bits.view(dtype.np)
    word = f"u{dtype.itemsize}"
    step = 1 << (dtype.bits - 16)
    found: Array = (np.arange(1 << 16, dtype=word) * np.array(step, word) + np.array(step * 5 // 7, word)).view(
        dtype.np
    )
    return found


def spacing(x: Array, dtype: DType) -> Array:
    """One unit in the last place of ``dtype`` at the float64 value ``x``."""
    smallest = 2.0 ** (2 - (1 << (dtype.exponent - 1)) - dtype.mantissa)
    finite = np.where(np.isfinite(x), x, 0).astype(np.longdouble)
    exponent = np.frexp(finite)[1] - 1
    return np.maximum(np.ldexp(np.float64(1), exponent - dtype.mantissa), smallest)  # type: ignore[no-any-return]
