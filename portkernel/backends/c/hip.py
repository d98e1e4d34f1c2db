"""HIP C++: CUDA's words, AMD's conversions, and a prelude where no header of HIP's came before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from ...dtypes import DType
from ...ir.simt import Space
from .backend import CBackend
from .cuda import Cuda
from .hip_prelude import words
from .prelude.small_floats import SMALL_FLOATS, on_device


class Hip(Cuda):
    """What ``hipcc``, hipRTC and a bare clang all take. Groups of threads share 64 KiB and assume no lane width."""

    name = "hip"
    suffix = ".hip"
    array_of: ClassVar[dict[Space, str]] = {
        "local": "__shared__ __attribute__((aligned(64))) {type} {name}[{size}];",
        "private": "__attribute__((aligned(64))) {type} {name}[{size}];",
    }
    static_local = 64 * 1024
    dynamic_local = "extern __shared__ __attribute__((aligned(128))) unsigned char pk_local[];"
    flags: ClassVar[tuple[str, ...]] = ("-std=c++17", "-O3", "-ffp-contract=off")
    pieces: ClassVar[dict[str, str]] = {
        name: on_device("__AMDGCN__", body, SMALL_FLOATS[name])
        for name, body in (
            ("round_f16", "return (f32)(_Float16)x;"),
            ("load_f16", "return (f32)__builtin_bit_cast(_Float16, h);"),
            ("store_f16", "return __builtin_bit_cast(u16, (_Float16)x);"),
        )
    }

    def enable(self, dtypes: Iterable[DType], text: str) -> str:
        return words(text) + "\n"


class HipBackend(CBackend):
    """HIP C++ text for AMD's and Hygon's GPUs."""

    name = "hip"
    dialect = Hip()
