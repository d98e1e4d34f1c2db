"""OpenCL C: a dialect of the C family."""

from .c.opencl import OpenCLBackend

__all__ = ["OpenCLBackend"]
