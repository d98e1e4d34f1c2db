"""The reference backend: executes tile IR with NumPy, and defines what every operation means."""

from .backend import NumpyBackend
from .eager import EagerBuilder
from .executor import bytes_per_program, execute

__all__ = ["EagerBuilder", "NumpyBackend", "bytes_per_program", "execute"]
