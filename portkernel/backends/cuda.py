"""CUDA C++: a dialect of the C family."""

from .c.cuda import CudaBackend

__all__ = ["CudaBackend"]
