"""What the suites share: kernels of the library by name, inputs, peers that may not be installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import catalog, ops
from ..model import Run

Array = NDArray[Any]
HOST = "opencl"
"""The backend that runs on the CPU."""
Grid = Callable[[Any], tuple[int, ...]]


def bars(first: float, second: float) -> dict[str, float]:
    """The geometric means wanted on the two OpenCL implementations for CPUs that pip installs."""
    return {"pocl": first, "intel": second}


def cdiv(a: int, b: int) -> int:
    return -(-a // b)


def operator(name: str) -> ops.Operator:
    """An operator as users call it."""
    return ops.find(name)


def kernel(module: str, name: str) -> Any:
    """A kernel of the kernel library."""
    return getattr(importlib.import_module(f"{catalog.package().__name__}.{module}"), name)


def launch(found: Any, grid: Grid, args: Sequence[object], device: str | None, **constants: object) -> Run:
    """A launch on the host's OpenCL device called ``device``."""
    launcher = found[grid]
    return lambda: launcher(*args, **constants, backend=HOST, device=device)


def normal(shape: tuple[int, ...], dtype: object = np.float32) -> Array:
    rng = np.random.default_rng(shape)
    return np.asarray(rng.standard_normal(shape, np.float32)).astype(np.dtype(dtype))  # type: ignore[call-overload]


def peer_module(name: str) -> Any | None:
    """An installed peer, or None."""
    return importlib.import_module(name) if importlib.util.find_spec(name) is not None else None


def relative_error(ours: Array, theirs: Array, allowed: float) -> Callable[[], float]:
    """The largest difference against the largest value, as a multiple of ``allowed``."""

    def error() -> float:
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30) / allowed)

    return error
