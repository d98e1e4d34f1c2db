"""The C family: one lowering and one emitter for OpenCL C and CUDA C++."""

from .emit import emit_text

__all__ = ["emit_text"]
