"""ONNX models on portkernel's operators: a backend with the interface of ``onnx.backend.base``.

``prepare(model).run([x])`` computes a model with the kernels of this library; :mod:`.cases` runs the ONNX project's own
node tests through it. Importing this package needs ``pip install "portkernel[onnx]"``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from portkernel.errors import MissingDependencyError

if TYPE_CHECKING:
    from .backend import Backend, Rep, is_compatible, prepare, run_model, run_node, supports_device, uncovered
    from .usage import serving

if find_spec("onnx") is None:
    raise MissingDependencyError(
        "portkernel.integrations.onnx: expected the package onnx, got none", hint='pip install "portkernel[onnx]"'
    )

__all__ = [
    "Backend", "Rep", "is_compatible", "prepare", "run_model", "run_node", "serving", "supports_device", "uncovered",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        place = "usage" if name == "serving" else "backend"
        return getattr(import_module(f"{__name__}.{place}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
