"""portkernel inside other libraries. Nothing here is imported by ``import portkernel``."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """``pk.integrations.torch`` and ``pk.integrations.onnx``, imported when they are first named."""
    if name in ("onnx", "torch"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
