"""The kernel library's modules, imported by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .. import catalog


def module(name: str) -> Any:
    """``portkernel.kernels.<name>``, installed or from the source tree."""
    return import_module(f"{catalog.package().__name__}.{name}")
