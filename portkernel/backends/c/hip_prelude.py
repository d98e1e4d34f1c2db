"""The words of HIP for a clang without HIP's headers, in terms of the compiler's own built-ins.

``hipcc`` and hipRTC define them already: there the text goes without. A compiler that is not HIP's (the tests run the text on
the CPU) brings its own. The elementary functions are those of AMD's device library, as in HIP's headers.
"""

from __future__ import annotations

import re

_DEVICE = "static inline __attribute__((device))"
_OPEN = '__attribute__((device, visibility("default")))'
"""A function of AMD's device library: a compiler without the library leaves the call open."""
_BEGIN = """#if defined(__HIP__) && !defined(__HIPCC_RTC__) && !defined(HIP_INCLUDE_HIP_HIP_RUNTIME_H)
#pragma clang fp contract(off)
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(n) __attribute__((amdgpu_flat_work_group_size(1, n)))
struct pk_dim { unsigned x, y, z; };
"""
_PLACES = {
    "threadIdx": "__builtin_amdgcn_workitem_id_{0}()",
    "blockIdx": "__builtin_amdgcn_workgroup_id_{0}()",
    "gridDim": "__builtin_amdgcn_grid_size_{0}() / __builtin_amdgcn_workgroup_size_{0}()",
}
_BARRIER = f"""{_DEVICE} void __syncthreads() {{
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}}"""
_CAST = {
    "__float_as_uint": ("unsigned", "float"), "__float_as_int": ("int", "float"), "__uint_as_float": ("float", "unsigned"),
    "__int_as_float": ("float", "int"), "__double_as_longlong": ("long long", "double"),
    "__longlong_as_double": ("double", "long long"),
}  # fmt: skip
_INSTRUCTIONS = {"floor": 1, "ceil": 1, "trunc": 1, "rint": 1, "fabs": 1, "sqrt": 1, "fma": 3, "copysign": 2}
"""Functions that are instructions, correctly rounded, with their number of arguments."""
_LIBRARY = {
    "exp": 1, "exp2": 1, "expm1": 1, "log": 1, "log2": 1, "log10": 1, "log1p": 1, "rsqrt": 1, "sin": 1, "cos": 1, "tan": 1,
    "tanh": 1, "erf": 1, "erfc": 1, "pow": 2, "atan2": 2, "fmod": 2,
}  # fmt: skip
_ATOMICS = {
    "atomicAdd": "fetch_add", "atomicMax": "fetch_max", "atomicMin": "fetch_min", "atomicAnd": "fetch_and",
    "atomicOr": "fetch_or", "atomicXor": "fetch_xor", "atomicExch": "exchange",
}  # fmt: skip
_CAS = f"""template <class T, class E, class V> {_DEVICE} T atomicCAS(T* p, E expected, V v) {{
  T old = (T)expected;
  __hip_atomic_compare_exchange_strong(p, &old, (T)v, __ATOMIC_RELAXED, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
  return old;
}}"""


def _function(name: str, arity: int, instruction: bool) -> str:
    """``name`` for float and double."""
    lines = []
    for type, mark, width in (("float", "f", "f32"), ("double", "", "f64")):
        params = ", ".join(f"{type} {x}" for x in "xyz"[:arity])
        inner = f"__builtin_{name}{mark}" if instruction else f"__ocml_{name}_{width}"
        if not instruction:
            lines.append(f'extern "C" {_OPEN} {type} {inner}({params});')
        lines.append(f"{_DEVICE} {type} {name}({params}) {{ return {inner}({', '.join('xyz'[:arity])}); }}")
    return "\n".join(lines)


def _atomic(name: str, builtin: str) -> str:
    call = f"__hip_atomic_{builtin}(p, (T)v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT)"
    return f"template <class T, class V> {_DEVICE} T {name}(T* p, V v) {{ return {call}; }}"


_TEXTS: dict[str, str] = {
    **{
        name: f"#define {name} (pk_dim{{{', '.join(text.format(axis) for axis in 'xyz')}}})"
        for name, text in _PLACES.items()
    },
    "__syncthreads": _BARRIER,
    **{name: f"{_DEVICE} {to} {name}({of} x) {{ return __builtin_bit_cast({to}, x); }}" for name, (to, of) in _CAST.items()},
    **{name: _function(name, arity, True) for name, arity in _INSTRUCTIONS.items()},
    **{name: _function(name, arity, False) for name, arity in _LIBRARY.items()},
    **{
        name: f"template <class T> {_DEVICE} bool {name}(T x) {{ return __builtin_{name}(x); }}"
        for name in ("isnan", "isinf", "isfinite")
    },
    **{name: _atomic(name, builtin) for name, builtin in _ATOMICS.items()},
    "atomicCAS": _CAS,
    "printf": f'extern "C" {_OPEN} int printf(const char*, ...);',
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z_]\w*")


def words(text: str) -> str:
    """Definitions of the words of HIP that ``text`` uses, for compilers that lack them."""
    used = frozenset(_WORD.findall(text))
    return _BEGIN + "".join(f"{made}\n" for name, made in _TEXTS.items() if name in used) + "#endif\n"
