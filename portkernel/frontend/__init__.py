"""From a Python function to tile IR: an interpreter over its syntax tree."""

from .kernel_fn import KernelFn
from .signature import ParamSpec
from .source import kernel_from_source

__all__ = ["KernelFn", "ParamSpec", "kernel_from_source"]
