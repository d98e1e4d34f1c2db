"""PyTorch programs on our operators: eagerly with :func:`dispatch`, compiled with ``torch.compile(backend="portkernel")``.

Importing this package imports PyTorch.
"""

from __future__ import annotations

from . import library  # it defines torch.ops.portkernel
from .coverage import ModelCoverage, coverage_of
from .mode import dispatch

__all__ = ["ModelCoverage", "coverage_of", "dispatch", "library"]
