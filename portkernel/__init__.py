"""Write a kernel once, as a Python function over tiles; run it as CUDA C++, OpenCL C, Triton or NumPy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import config, dtypes, errors, lang, runtime
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
    Captured,
    Config,
    Kernel,
    TensorSpec,
    capture,
    constant_key,
    kernel,
    kernel_from_source,
    note_allocation,
    note_host_work,
    on_host,
    reset_stats,
    stats,
    target_of,
    use,
)

if TYPE_CHECKING:
    from . import testing
    from .ops import explain, register_op, supports, trace

__version__ = "0.1.0"
runtime.choice.install(lambda: import_module(f"{__name__}.tune").choose)

_LAZY = frozenset({"testing", "runtime", "targets", "backends", "ir", "passes", "frontend", "coverage", "catalog", "integrations", "kernels", "ops", "tune"})  # fmt: skip

_LAZY_FUNCTIONS = {
    "coverage_of": "integrations.torch", "explain": "ops", "register_op": "ops", "supports": "ops", "trace": "ops",
}  # fmt: skip
"""Functions by the submodule that has them."""


def __getattr__(name: str) -> Any:
    """The submodules that nobody needs for a launch are imported when they are asked for."""
    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    if name in _LAZY_FUNCTIONS:
        return getattr(import_module(f"{__name__}.{_LAZY_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [  # noqa: PLE0604  # strings, all of them
    *lang.OPERATORS,
    "Captured", "Config", "DType", "Kernel", "PortkernelError", "TensorSpec", "bfloat16", "bool_", "capture", "config", "constant_key", "dtypes", "errors",
    "explain", "float16", "float32", "float64", "float8_e4m3fn", "float8_e5m2", "int16", "int32", "int64", "int8", "kernel",
    "kernel_from_source", "lang", "note_allocation", "note_host_work", "on_host", "register_op", "reset_stats",
    "stats", "supports", "target_of", "testing", "trace", "uint16", "uint32", "uint64", "uint8", "use",
]  # fmt: skip
