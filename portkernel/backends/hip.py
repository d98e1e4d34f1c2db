"""HIP C++: a dialect of the C family."""

from .c.hip import HipBackend

__all__ = ["HipBackend"]
