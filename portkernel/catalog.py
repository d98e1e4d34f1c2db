"""What a kernel library says of each kernel: problems to run it on, the reference, the error that is allowed.

``portkernel.kernels`` (the top-level folder ``kernels/``) has one module for each operator; its ``ENTRIES`` are
found by :func:`all_entries`. A new operator is one file there and nothing else.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .dtypes import DType, as_dtype
from .errors import InternalError

Array = NDArray[Any]
Arrays = dict[str, Array]
Grid = tuple[int, ...] | Callable[[Mapping[str, int]], tuple[int, ...]]


class Launchable(Protocol):
    """A kernel: ``kernel[grid](*args, **constants)``."""

    def __getitem__(self, grid: Grid, /) -> Callable[..., object]: ...


@dataclass(frozen=True, slots=True)
class Problem:
    """One launch with the answer that it must give.

    ``args`` are the run-time arguments by name, outputs included and poisoned beforehand (see :func:`poison`).
    ``reference`` computes what the outputs must hold, in float64 or exact integers; ``bound`` gives the absolute error
    allowed for each element (zeros where the contract is exact).
    """

    args: dict[str, Array | int | float]
    grid: Grid
    reference: Callable[[], Arrays]
    bound: Callable[[], Arrays]
    constants: dict[str, object] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("out",)


@dataclass(frozen=True, slots=True)
class Case:
    """A way to make a problem; ``make(dtype, rng)`` is deterministic for a seeded ``rng``."""

    label: str
    make: Callable[[DType, np.random.Generator], Problem]


@dataclass(frozen=True, slots=True)
class Entry:
    """A kernel with the dtypes it takes and the cases it is tried on. ``cases[0]`` is the one to measure."""

    name: str
    kernel: Launchable
    dtypes: tuple[DType, ...]
    cases: tuple[Case, ...]


def package() -> ModuleType:
    """``portkernel.kernels``: installed with the package, or the folder beside it in a source tree."""
    name = "portkernel.kernels"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name != name:
            raise
    folder = Path(__file__).resolve().parent.parent / "kernels"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not folder.is_dir():
        raise InternalError(f"the kernel library is neither installed nor at {folder}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def all_entries() -> tuple[Entry, ...]:
    """The entries of every module of the kernel library, in order of module name."""
    library = package()
    found: list[Entry] = []
    for info in sorted(pkgutil.iter_modules(library.__path__), key=lambda m: m.name):
        module = importlib.import_module(f"{library.__name__}.{info.name}")
        found.extend(getattr(module, "ENTRIES", ()))  # a module of shared host code has none
    return tuple(found)


def find(name: str) -> Entry:
    """The entry called ``name``. Raises ``KeyError``."""
    for entry in all_entries():
        if entry.name == name:
            return entry
    raise KeyError(name)


# --- making problems ----------------------------------------------------------------------------------------


def poison(shape: tuple[int, ...], dtype: DType) -> Array:
    """An output array that shows what was not written: NaN in floats, the byte 0xAB elsewhere, True in bools."""
    if dtype.is_float:
        return np.full(shape, np.nan, dtype.np)
    if dtype.is_bool:
        return np.ones(shape, np.bool_)
    return np.frombuffer(b"\xab" * dtype.itemsize, dtype.np).repeat(int(np.prod(shape))).reshape(shape).copy()


def sample(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Array:
    """Random elements: standard normal floats (within ±3), small integers, bools."""
    if dtype.is_float:
        return np.asarray(np.clip(rng.standard_normal(shape), -3, 3)).astype(dtype.np)
    if dtype.is_bool:
        return np.asarray(rng.integers(0, 2, shape)).astype(np.bool_)
    return np.asarray(rng.integers(max(dtype.min, -8), 9, shape)).astype(dtype.np)


def exact(x: Array) -> Array:
    """``x`` as float64, or unchanged if it holds integers or bools."""
    return x if x.dtype.kind in "iub" else np.asarray(x).astype(np.float64)


# --- bounds -------------------------------------------------------------------------------------------------


def unit_roundoff(dtype: DType) -> float:
    """Half the distance from 1.0 to the next value; 0 for integers."""
    return dtype.eps / 2 if dtype.is_float else 0.0


def gamma(n: int, dtype: DType) -> float:
    """γ(n) = n·u / (1 − n·u): the relative error of n roundings in a row (Higham 2002, section 3.1)."""
    nu = n * unit_roundoff(dtype)
    return nu / (1 - nu)


def rounding(reference: Array, dtype: DType) -> Array:
    """The error of one rounding of ``reference`` to ``dtype``, subnormals included; zeros for integers."""
    if not dtype.is_float:
        return np.zeros(reference.shape)
    smallest = 2.0 ** (2 - (1 << (dtype.exponent - 1)) - dtype.mantissa)
    magnitude: Array = np.abs(np.where(np.isfinite(exact(reference)), exact(reference), 0))
    return np.asarray(magnitude * unit_roundoff(dtype) + smallest / 2)


def check(problem: Problem, got: Mapping[str, Array] | None = None) -> dict[str, float]:
    """The largest error of each output as a multiple of its bound: at most 1 where the contract holds.

    ``got`` are the outputs if they are not the arrays of ``problem.args``. An unequal element whose bound is 0, a NaN
    or an infinity that does not match, a wrong shape: infinite.
    """
    reference, bound = problem.reference(), problem.bound()
    results = problem.args if got is None else got
    return {name: ratio(np.asarray(results[name]), reference[name], bound[name]) for name in problem.outputs}


def ratio(got: Array, want: Array, bound: Array) -> float:
    """The largest ``|got - want| / bound`` over all elements; see :func:`check`."""
    if got.shape != want.shape:
        return float("inf")
    if got.size == 0:
        return 0.0
    if not as_dtype(got.dtype).is_float and not np.any(bound):
        return 0.0 if np.array_equal(got, want) else float("inf")
    with np.errstate(invalid="ignore"):  # a cast of a signalling NaN
        g, w = np.asarray(got).astype(np.float64), np.asarray(want).astype(np.float64)
    limit = np.broadcast_to(bound, w.shape).astype(np.float64)
    special = ~np.isfinite(g) | ~np.isfinite(w)
    same = (g == w) | (np.isnan(g) & np.isnan(w))
    if np.any(special & ~same):
        return float("inf")
    plain = ~(special | same)
    if not plain.any():
        return 0.0
    with np.errstate(divide="ignore", over="ignore"):
        return float(np.max(np.abs(g[plain] - w[plain]) / limit[plain]))
