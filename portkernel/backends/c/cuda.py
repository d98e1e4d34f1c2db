"""CUDA C++, self-contained: no header is included, so NVRTC needs nothing but the text."""

from __future__ import annotations

from typing import ClassVar

from ...dtypes import DType, int64, uint64
from ...ir.simt import Space
from ...targets import Target
from .backend import CBackend
from .dialect import Dialect
from .prelude.small_floats import SMALL_FLOATS, on_device


class Cuda(Dialect):
    name = "cuda"
    suffix = ".cu"
    header = (
        "typedef signed char i8; typedef unsigned char u8; typedef unsigned short u16;\n"
        "typedef unsigned int u32; typedef long long i64; typedef unsigned long long u64;\n\n"
    )
    types: ClassVar[dict[str, str]] = {
        "float64": "double", "float32": "float", "bool": "bool", "int8": "i8", "int16": "short", "int32": "int",
        "int64": "i64", "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
    }  # fmt: skip
    kernel = 'extern "C" __global__ void __launch_bounds__({threads})'
    function = "static __device__ __forceinline__"
    spaces: ClassVar[dict[Space, str]] = {"global": "", "local": "", "private": ""}
    restrict = "__restrict__"
    group_id = "(int)blockIdx.{axis}"
    num_groups = "(int)gridDim.{axis}"
    thread_id = "(int)threadIdx.x"
    axes = "xyz"
    barrier = "__syncthreads();"
    array_of: ClassVar[dict[Space, str]] = {
        "local": "__shared__ __align__(64) {type} {name}[{size}];",
        "private": "__align__(64) {type} {name}[{size}];",
    }
    static_local = 48 * 1024
    dynamic_local = "extern __shared__ __align__(128) unsigned char pk_local[];"
    unroll = "#pragma unroll {n}"
    mad = "fma"
    infinity: ClassVar[dict[str, str]] = {
        "float32": "__int_as_float(0x7f800000)",
        "float64": "__longlong_as_double(0x7ff0000000000000LL)",
    }
    nan: ClassVar[dict[str, str]] = {
        "float32": "__int_as_float(0x7fc00000)",
        "float64": "__longlong_as_double(0x7ff8000000000000LL)",
    }
    long_suffix: ClassVar[dict[str, str]] = {"i": "LL", "u": "ULL"}
    print_long = "ll"
    reinterpret: ClassVar[dict[str, str]] = {
        "f32": "__uint_as_float", "u32": "__float_as_uint", "i32": "__float_as_int", "f64": "__longlong_as_double",
        "u64": "(u64)__double_as_longlong", "i64": "__double_as_longlong",
    }  # fmt: skip
    pieces: ClassVar[dict[str, str]] = {
        name: on_device("__CUDA_ARCH__", ptx, SMALL_FLOATS[name])
        for name, ptx in (
            (
                "round_f16",
                'asm("{ .reg .b16 h; cvt.rn.f16.f32 h, %1; cvt.f32.f16 %0, h; }" : "=f"(x) : "f"(x)); return x;',
            ),
            ("load_f16", 'float x; asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h)); return x;'),
            ("store_f16", 'u16 h; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x)); return h;'),
        )
    }
    flags: ClassVar[tuple[str, ...]] = ("--fmad=false", "--std=c++17")
    """What the compiler is told."""
    compare_and_swap: ClassVar[dict[int, str]] = {32: "atomicCAS", 64: "atomicCAS"}
    float_atomics = frozenset({("add", "float32"), ("add", "float64"), ("xchg", "float32")})
    atomics: ClassVar[dict[str, str]] = {
        "add": "atomicAdd", "max": "atomicMax", "min": "atomicMin", "and": "atomicAnd", "or": "atomicOr",
        "xor": "atomicXor", "xchg": "atomicExch", "cas": "atomicCAS",
    }  # fmt: skip

    def atomic_word(self, fn: str, dtype: DType) -> DType:
        return uint64 if dtype == int64 and fn not in ("max", "min") else dtype

    def atomic(self, fn: str, dtype: DType) -> str:
        return self.atomics[fn]

    def options(self, target: Target) -> tuple[tuple[str, object], ...]:
        return (("flags", self.flags),)


class CudaBackend(CBackend):
    """CUDA C++ text for NVRTC."""

    name = "cuda"
    dialect = Cuda()
