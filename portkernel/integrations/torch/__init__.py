"""PyTorch programs on our operators: eagerly with :func:`dispatch`, compiled with ``torch.compile(backend="portkernel")``.

Importing this package imports PyTorch.
"""

from __future__ import annotations

from .mode import dispatch

__all__ = ["dispatch"]
