"""The C family: one lowering and one emitter for OpenCL C and CUDA C++."""

from .emit import emit_text
from .lower import lower

__all__ = ["emit_text", "lower"]
