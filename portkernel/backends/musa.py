"""MUSA C++: a dialect of the C family."""

from .c.musa import MusaBackend

__all__ = ["MusaBackend"]
