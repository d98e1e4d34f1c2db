"""MUSA C++: CUDA's words under other names of header and architecture, with no PTX."""

from __future__ import annotations

from typing import ClassVar

from ...targets import Target
from .backend import CBackend
from .cuda import Cuda

_INCLUDE = """#ifdef __MUSA__
#include <musa_runtime.h>
#pragma clang fp contract(off)
#endif
"""


class Musa(Cuda):
    """What ``mcc`` takes. Nothing assumes a lane width: QY1 and QY2 have 128, PH1 has 32."""

    name = "musa"
    suffix = ".mu"
    header = _INCLUDE + Cuda.header
    static_local = 16 * 1024
    """Beyond, the launch asks for it: how much a declaration may take is not documented."""
    pieces: ClassVar[dict[str, str]] = {}

    def options(self, target: Target) -> tuple[tuple[str, object], ...]:
        return (("flags", ("-std=c++17", "-O3", "-ffp-contract=off")),)


class MusaBackend(CBackend):
    """MUSA C++ text for Moore Threads' GPUs."""

    name = "musa"
    dialect = Musa()
