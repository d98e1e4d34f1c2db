"""OpenCL C 1.2."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar

from ...dtypes import DType, float64
from ...ir.simt import Pointer, Space, Vec
from ...targets import Target
from .backend import CBackend
from .dialect import Dialect
from .expr import ADD, UNARY, Expr, call
from .prelude import Prelude
from .prelude.elementary import ELEMENTARY, EXP_SCALED
from .prelude.small_floats import SMALL_FLOATS, on_device

_HALVES = re.compile(r"\bPK_(?:HALF_TO_FLOAT|FLOAT_TO_HALF)_\d")
_LOOSE = re.compile(r"\bpk_(u?(?:char|short|int|long)|float|double)(\d+)\*")


MAD = """\
#ifdef __FMA__
#define pk_mad fma
#else
#define pk_mad mad
#endif"""
"""The multiply-add of every text. PoCL's ``mad`` is a product and a sum even where the CPU has one instruction for both."""
_STREAMED = (4, 8, 16)
"""Words of the vectors that can be written past the caches. Such a store wants an address that its whole size divides: where
16 bytes are all that divides it, as of NumPy's large arrays, it is made in pieces of so many."""
_STREAM = """\
#ifdef __has_builtin
#if __has_builtin(__builtin_nontemporal_store)
#define PK_PAST_CACHES 1
#endif
#endif
typedef uint4 pk_piece{n} __attribute__((may_alias));
typedef uint{n} pk_whole{n} __attribute__((may_alias));
typedef uint{n} pk_loose{n} __attribute__((may_alias, aligned(1)));
static inline void pk_stream{n}(__global uint* p, uint{n} x, bool much) {{
#ifdef PK_PAST_CACHES
  if (much & (((ulong)p & {last}) == 0)) {{
    __builtin_nontemporal_store(x, (__global pk_whole{n}*)p);
    return;
  }}
  if (much & (((ulong)p & 15) == 0)) {{
{pieces}
    return;
  }}
#endif
  *(__global pk_loose{n}*)p = x;
}}
"""


def _stream(words: int) -> str:
    pieces = (
        f"    __builtin_nontemporal_store((uint4)(x.s{k:x}, x.s{k + 1:x}, x.s{k + 2:x}, x.s{k + 3:x}), "
        f"(__global pk_piece{words}*)(p + {k}));"
        for k in range(0, words, 4)
    )
    return _STREAM.format(n=words, last=4 * words - 1, pieces="\n".join(pieces))


_HALF = """\
#ifdef __F16C__
static inline float8 pk_half_to_float(ushort8 h) {
  float8 x;
  __asm__("vcvtph2ps %1, %0" : "=x"(x) : "x"(h));
  return x;
}
static inline ushort8 pk_float_to_half(float8 x) {
  ushort8 h;
  __asm__("vcvtps2ph $0, %1, %0" : "=x"(h) : "x"(x));
  return h;
}
#define PK_HALF_TO_FLOAT_8(h) pk_half_to_float(h)
#define PK_FLOAT_TO_HALF_8(x) pk_float_to_half(x)
#define PK_HALF_TO_FLOAT_16(h) (float16)(pk_half_to_float((h).lo), pk_half_to_float((h).hi))
#define PK_FLOAT_TO_HALF_16(x) (ushort16)(pk_float_to_half((x).lo), pk_float_to_half((x).hi))
#elif defined(__SPIR64__)
static inline float8 pk_half_to_float_8(ushort8 h) { return vload_half8(0, (const half*)&h); }
static inline float16 pk_half_to_float_16(ushort16 h) { return vload_half16(0, (const half*)&h); }
#define PK_HALF_TO_FLOAT_8(h) pk_half_to_float_8(h)
#define PK_HALF_TO_FLOAT_16(h) pk_half_to_float_16(h)
#endif
"""
"""The conversions of x86-64 where the compiler says that the CPU has them (PoCL's does). In assembly: LLVM narrows comparisons
of what it knows to come from half, and then goes lane by lane. Intel's compiler makes for SPIR first, where no such word
is given, and of OpenCL's own the instruction later."""

_SCALE = """\
#ifdef __AVX512F__
static inline float16 pk_scale(float16 x, float16 n) {
  float16 y;
  __asm__("vscalefps %2, %1, %0" : "=v"(y) : "v"(x), "v"(n));
  return y;
}
#define PK_SCALE_16(x, n) pk_scale(x, n)
#endif
"""
"""x · 2^n in one instruction, subnormal results included."""


class OpenCL(Dialect):
    name = "opencl"
    suffix = ".cl"
    header = "#pragma OPENCL FP_CONTRACT OFF\n"
    types: ClassVar[dict[str, str]] = {
        "float64": "double", "float32": "float", "bool": "bool", "int8": "char", "int16": "short", "int32": "int",
        "int64": "long", "uint8": "uchar", "uint16": "ushort", "uint32": "uint", "uint64": "ulong",
    }  # fmt: skip
    kernel = "__kernel __attribute__((reqd_work_group_size({threads}, 1, 1)))\nvoid"
    function = "static inline"
    spaces: ClassVar[dict[Space, str]] = {"global": "__global ", "local": "__local ", "private": ""}
    restrict = "restrict"
    group_id = "(int)get_group_id({axis})"
    num_groups = "(int)get_num_groups({axis})"
    thread_id = "(int)get_local_id(0)"
    barrier = "barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);"
    array_of: ClassVar[dict[Space, str]] = {
        "local": "__local {type} {name}[{size}] __attribute__((aligned(64)));",
        "private": "{type} {name}[{size}] __attribute__((aligned(64)));",
    }
    unroll = "#pragma unroll {n}"
    mad: ClassVar[str] = "pk_mad"
    infinity: ClassVar[dict[str, str]] = {"float32": "INFINITY", "float64": "((double)INFINITY)"}
    nan: ClassVar[dict[str, str]] = {"float32": "as_float(0x7fc00000)", "float64": "as_double(0x7ff8000000000000L)"}
    long_suffix: ClassVar[dict[str, str]] = {"i": "L", "u": "UL"}
    print_long = "l"
    reinterpret: ClassVar[dict[str, str]] = {}
    pieces: ClassVar[dict[str, str]] = {
        "load_f16": on_device("PK_HALF_TO_FLOAT_LANES", "return PK_HALF_TO_FLOAT_LANES(h);", SMALL_FLOATS["load_f16"]),
        "pack_half": on_device(
            "PK_FLOAT_TO_HALF_LANES", "return PK_FLOAT_TO_HALF_LANES(x);", SMALL_FLOATS["pack_half"]
        ),
        "exp": f"#ifdef PK_SCALE_LANES\n{EXP_SCALED.strip()}\n#else\n{ELEMENTARY['exp'].strip()}\n#endif",
    }
    compare_and_swap: ClassVar[dict[int, str]] = {32: "atomic_cmpxchg", 64: "atom_cmpxchg"}
    float_atomics = frozenset({("xchg", "float32")})
    max_lanes = 16
    pointer_offsets = True
    half_vectors = True

    def cast(self, x: Expr, to: Vec) -> Expr:
        return super().cast(x, to) if to.lanes == 1 else call(self.convert_function(to), x)

    def unsigned(self, x: Expr, type: Vec) -> Expr:
        if type.lanes == 1:
            return super().unsigned(x, type)
        return Expr(f"as_{self.types[f'uint{type.dtype.bits}']}{type.lanes}({x.text})", wrap=True)

    def signed(self, x: Expr, type: Vec) -> Expr:
        return super().signed(x, type) if type.lanes == 1 else call(self.bits_function(type), x)

    def bits_function(self, type: Vec) -> str:
        return f"as_{self.register_type(type)}"

    def reinterpret_function(self, type: Vec) -> str:
        return self.bits_function(type) if type.lanes > 1 else super().reinterpret_function(type)

    def convert_function(self, type: Vec) -> str:
        return f"convert_{self.register_type(type)}" if type.lanes > 1 else super().convert_function(type)

    def saturate(self, prelude: Prelude, x: Expr, src: Vec, dst: Vec) -> Expr:
        # What the _sat conversions make of NaN is the implementation's choice (PoCL gives an extreme).
        number = call(prelude.use("number", src.dtype, src.lanes), x)
        return call(f"convert_{self.register_type(dst)}_sat", number)

    def read(self, pointer: Pointer, base: str, index: Expr, lanes: int, aligned: bool) -> str:
        if lanes == 1:
            return super().read(pointer, base, index, lanes, aligned)
        return f"*({self.spaces[pointer.space]}const {self._loose(pointer, lanes)}*)({base} + {index.at(ADD)})"

    def write(self, pointer: Pointer, base: str, index: Expr, value: str, lanes: int, aligned: bool) -> str:
        if lanes == 1:
            return super().write(pointer, base, index, value, lanes, aligned)
        return f"*({self.spaces[pointer.space]}{self._loose(pointer, lanes)}*)({base} + {index.at(ADD)}) = {value};"

    def stream(self, pointer: Pointer, base: str, index: Expr, value: Expr, lanes: int, whether: Expr) -> str | None:
        words = lanes * pointer.dtype.itemsize // 4
        if words not in _STREAMED:
            return None
        place = f"({self.spaces[pointer.space]}uint*)({base} + {index.at(ADD)})"
        return f"pk_stream{words}({place}, as_uint{words}({value.text}), {whether.text});"

    def _loose(self, pointer: Pointer, lanes: int) -> str:
        """The vector type that needs no more alignment than its elements: ``vloadN`` of PoCL 3.0 reads pairs of bytes."""
        return f"pk_{self.array_type(pointer)}{lanes}"

    # Vectors are read as bits: see _HALF.
    def read_half(self, pointer: Pointer, base: str, index: Expr, lanes: int) -> str | None:
        return f"vload_half({self._half(pointer, 'const half*', base, index)})" if lanes == 1 else None

    def write_half(self, pointer: Pointer, base: str, index: Expr, value: str, lanes: int) -> str | None:
        return f"vstore_half_rte({value}, {self._half(pointer, 'half*', base, index)});" if lanes == 1 else None

    def _half(self, pointer: Pointer, type: str, base: str, index: Expr) -> str:
        return f"0, ({self.spaces[pointer.space]}{type}){base} + {index.at(UNARY)}"

    def atomic(self, fn: str, dtype: DType) -> str:
        return f"{'atomic' if dtype.bits == 32 else 'atom'}_{'cmpxchg' if fn == 'cas' else fn}"

    def enable(self, dtypes: Iterable[DType], text: str) -> str:
        names = ["cl_khr_fp64"] if float64 in dtypes else []
        names += ["cl_khr_int64_base_atomics", "cl_khr_int64_extended_atomics"] if "atom_" in text else []
        lines = [f"#pragma OPENCL EXTENSION {name} : enable" for name in names]
        for element, lanes in sorted(set(_LOOSE.findall(text)), key=lambda found: (found[0], int(found[1]))):
            align = f"__attribute__((aligned(sizeof({element}))))"
            lines.append(f"typedef {element}{lanes} pk_{element}{lanes} {align};")
        lines += [_HALF] if _HALVES.search(text) else []
        lines += [_SCALE] if "PK_SCALE_16(" in text else []
        lines += [_stream(words) for words in _STREAMED if f"pk_stream{words}(" in text]
        lines += [MAD] if f"{self.mad}(" in text else []
        return "".join(line + "\n" for line in lines)

    def options(self, target: Target) -> tuple[tuple[str, object], ...]:
        # The device has to report CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT for the second; the runtime drops it otherwise.
        return (("flags", ("-cl-std=CL1.2", "-cl-fp32-correctly-rounded-divide-sqrt")),)


class OpenCLBackend(CBackend):
    """OpenCL C text for both schedules."""

    name = "opencl"
    dialect = OpenCL()
