"""PyTorch programs on our operators: ``torch.ops.portkernel.*``, eagerly with :func:`dispatch`, compiled with
``torch.compile(backend="portkernel")``.

Importing this package imports PyTorch and defines the operators; the rest is imported when it is first named.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import library

if TYPE_CHECKING:
    from .coverage import ModelCoverage, coverage_of
    from .mode import dispatch

_PLACES = {"ModelCoverage": "coverage", "coverage_of": "coverage", "dispatch": "mode"}
"""What takes seconds to import, as PyTorch's compiler does, and where it is."""


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["ModelCoverage", "coverage_of", "dispatch", "library"]
