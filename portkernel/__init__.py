"""Write a kernel once, as a Python function over tiles; run it as CUDA C++, OpenCL C, Triton or NumPy."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from . import config, dtypes, errors, lang
from .dtypes import (
    DType,
    bfloat16,
    bool_,
    float8_e4m3fn,
    float8_e5m2,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from .errors import PortkernelError
from .lang import *  # noqa: F403  # the operators; lang.__all__ lists them
from .runtime import (
    Config,
    Kernel,
    TensorSpec,
    kernel,
    kernel_from_source,
    reset_stats,
    stats,
    target_of,
    use,
)

if TYPE_CHECKING:
    from . import testing

__version__ = "0.1.0"

_LAZY = frozenset(
    {"testing", "runtime", "targets", "backends", "ir", "passes", "frontend", "coverage", "catalog", "kernels"}
)


def __getattr__(name: str) -> ModuleType:
    """The submodules that nobody needs for a launch are imported when they are asked for."""
    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [  # noqa: PLE0604  # strings, all of them
    *lang.OPERATORS,
    "Config", "DType", "Kernel", "PortkernelError", "TensorSpec", "bfloat16", "bool_", "config", "dtypes", "errors",
    "float16", "float32", "float64", "float8_e4m3fn", "float8_e5m2", "int16", "int32", "int64", "int8", "kernel",
    "kernel_from_source", "lang", "reset_stats", "stats", "target_of", "testing", "uint16", "uint32", "uint64", "uint8", "use",
]  # fmt: skip
