"""The Triton backend: tile IR to the text of one Python module with one ``@triton.jit`` function."""

from .emit import TritonBackend
from .signature import attributes, signature

__all__ = ["TritonBackend", "attributes", "signature"]
