"""``torch.ops.portkernel``: our operators as PyTorch's own, with autograd, autocast and fake kernels.

Importing this package defines them.
"""

from __future__ import annotations

from . import (  # noqa: F401  # they define
    convolution,
    elementwise,
    indexing,
    norms,
    ordering,
    pooling,
    products,
    reductions,
    shapes,
)

from . import autocast  # isort: skip  # noqa: F401  # rules for all of them
from .define import CUSTOM, Custom

__all__ = ["CUSTOM", "Custom"]
