"""What the built-ins of other kernel languages are called here: data.

A name maps to the words of this language that do the same, or to a note in parentheses for what needs no word, or to ""
where the language has nothing. Names that are the same in both are not listed: they come from the operators themselves.
"""

from __future__ import annotations

from functools import cache

from .. import dtypes, lang

IMPLIED = "(implied by tiles)"
"""What a program over tiles does not say: threads, barriers, shared memory, hints."""

TILE: dict[str, str] = {
    "trans": "transpose", "view": "reshape", "ravel": "reshape", "cat": "concatenate", "join": "concatenate",
    "split": "extract", "interleave": "concatenate, permute", "broadcast": "broadcast_to", "unsqueeze": "expand_dims",
    "cast": "astype", "clamp": "clip", "fma": "x * y + z", "fdiv": "x / y", "div_rn": "x / y", "sqrt_rn": "sqrt",
    "add": "x + y", "sub": "x - y", "mul": "x * y", "associative_scan": "scan", "reduce_or": "any",
    "softmax": "exp, max, sum", "tensor": IMPLIED, "range": "range", "condition": "while", "const": IMPLIED,
    "to_tensor": "full", "make_block_ptr": "load, store", "advance": "load, store", "make_tensor_descriptor": "load, store",
    "load_tensor_descriptor": "load", "store_tensor_descriptor": "store", "tensor_descriptor": "load, store",
    "block_type": IMPLIED, "pointer_type": IMPLIED, "tensor_descriptor_type": IMPLIED, "dtype": "dtype",
    "max_contiguous": IMPLIED, "multiple_of": IMPLIED, "max_constancy": IMPLIED, "assume": IMPLIED,
    "debug_barrier": IMPLIED, "expect_zero": IMPLIED, "swizzle2d": "// and %", "int1": "bool_", "float8e4nv": "float8_e4m3fn",
    "float8e5": "float8_e5m2", "pi32_t": "int64", "void": IMPLIED, "rand4x": "philox", "randint4x": "philox",
    "randn4x": "philox", "philox_impl": "philox", "atomic_load": "atomic_add", "atomic_store": "atomic_xchg",
    "flip": "gather", "umulhi": "", "sort": "", "topk": "", "histogram": "atomic_add", "dot_scaled": "",
    "inline_asm_elementwise": "", "map_elementwise": "a function of tiles", "float8e4b8": "", "float8e4b15": "",
    "float8e5b16": "", "extra": "", "tuple": "tuple", "target_info": "", "atomic_poll": "", "bitonic_merge": "",
    "uint_to_uniform_float": "rand", "pair_uniform_to_normal": "randn", "PropagateNan": "maximum, minimum", "nan": "float('nan')",
    "pow": "power", "atan2": "arctan2", "rint": "round", "isinf": "isinf", "llrint": "round", "expm1": "expm1",
    "acos": "arctan2, sqrt", "asin": "arctan2, sqrt", "atan": "arctan2", "sinh": "expm1, exp", "cosh": "exp",
    "asinh": "log1p, sqrt", "acosh": "log1p, sqrt", "atanh": "log1p", "copysign": "where", "fast_expf": "exp",
    "fast_dividef": "x / y", "div_rz": "", "tanh": "tanh", "log1p": "log1p", "lgamma": "", "tgamma": "", "erfinv": "",
    "erfc": "1 - erf", "j0": "", "j1": "", "ffs": "", "popc": "", "clz": "", "byte_perm": "", "mulhi": "",
    "fmod": "x % y, where", "hypot": "sqrt", "ldexp": "x * exp2(y)", "ilogb": "bitcast", "signbit": "bitcast", "finitef": "isfinite", "nearbyint": "round",
    "round": "floor", "sin": "sin", "tan": "tan", "exp10": "exp", "cbrt": "power", "globaltimer": "", "smid": "",
    "num_threads": IMPLIED, "num_warps": IMPLIED, "convert_custom_float8": "astype", "gdc_wait": "",
    "gdc_launch_dependents": "",
}  # fmt: skip
"""Names of ``triton.language`` and its mathematical library."""

TILE_METHODS: dict[str, str] = {
    "to": "astype", "trans": "transpose", "reshape": "reshape", "view": "reshape", "permute": "permute", "T": "transpose",
    "broadcast_to": "broadcast_to", "expand_dims": "expand_dims", "sum": "sum", "max": "max", "min": "min",
    "argmax": "argmax", "argmin": "argmin", "cumsum": "cumsum", "cumprod": "cumprod", "ravel": "reshape",
    "advance": "load, store", "load": "load", "store": "store", "atomic_add": "atomic_add", "split": "extract",
}  # fmt: skip
"""Methods of tiles, where they are called on something."""

THREAD: dict[str, str] = {
    "threadIdx": "arange", "blockIdx": "program_id", "blockDim": "the shape of a tile", "gridDim": "num_programs",
    "warpSize": IMPLIED, "__shared__": IMPLIED, "__syncthreads": IMPLIED, "__syncwarp": IMPLIED, "__threadfence": IMPLIED,
    "__threadfence_block": IMPLIED, "__launch_bounds__": IMPLIED, "__restrict__": IMPLIED, "__forceinline__": IMPLIED,
    "__device__": "a Python function", "__constant__": "constexpr", "__ldg": "load", "__ldcg": "load", "__stcg": "store",
    "__shfl_sync": "gather", "__shfl_down_sync": "sum, max, min, reduce", "__shfl_up_sync": "cumsum, scan",
    "__shfl_xor_sync": "sum, max, min, reduce", "__shfl": "gather", "__shfl_down": "sum, max, min, reduce",
    "__shfl_up": "cumsum, scan", "__shfl_xor": "sum, max, min, reduce", "__ballot_sync": "", "__activemask": "",
    "__any_sync": "any", "__all_sync": "all", "__any": "any", "__all": "all", "__match_any_sync": "",
    "__reduce_add_sync": "sum", "__reduce_max_sync": "max", "__reduce_min_sync": "min",
    "atomicAdd": "atomic_add", "atomicMax": "atomic_max", "atomicMin": "atomic_min", "atomicCAS": "atomic_cas",
    "atomicExch": "atomic_xchg", "atomicAnd": "atomic_and", "atomicOr": "atomic_or", "atomicXor": "atomic_xor",
    "atomicSub": "atomic_add", "atomicInc": "", "atomicDec": "",
    "fmaf": "x * y + z", "fma": "x * y + z", "__fmaf_rn": "x * y + z", "__fadd_rn": "x + y", "__fmul_rn": "x * y",
    "__fdividef": "x / y", "__fdiv_rn": "x / y", "__frcp_rn": "1 / x", "__expf": "exp", "__logf": "log", "__sinf": "sin",
    "__cosf": "cos", "__powf": "power", "rsqrtf": "rsqrt", "rsqrt": "rsqrt", "sqrtf": "sqrt", "__fsqrt_rn": "sqrt",
    "expf": "exp", "exp2f": "exp2", "exp10f": "exp", "expm1f": "expm1", "logf": "log", "log2f": "log2", "log10f": "log10",
    "log1pf": "log1p", "sinf": "sin", "cosf": "cos", "tanf": "tan", "tanhf": "tanh", "erff": "erf", "erfcf": "1 - erf",
    "powf": "power", "pow": "power", "fabsf": "abs", "fabs": "abs", "fmaxf": "maximum", "fminf": "minimum",
    "fmax": "maximum", "fmin": "minimum", "floorf": "floor", "ceilf": "ceil", "truncf": "trunc", "roundf": "floor",
    "rintf": "round", "rint": "round", "nearbyintf": "round", "fmodf": "x % y, where", "fmod": "x % y, where",
    "atan2f": "arctan2", "atan2": "arctan2", "atanf": "arctan2", "asinf": "arctan2, sqrt", "acosf": "arctan2, sqrt",
    "sinhf": "expm1, exp", "coshf": "exp", "hypotf": "sqrt", "hypot": "sqrt", "cbrtf": "power", "copysignf": "where",
    "sincosf": "sin, cos", "sincos": "sin, cos", "lgammaf": "", "tgammaf": "", "erfinvf": "", "j0f": "",
    "isnan": "isnan", "isinf": "isinf", "isfinite": "isfinite", "min": "minimum", "max": "maximum",
    "__float2half": "astype", "__half2float": "astype", "__float2int_rn": "round, astype", "__float2int_rz": "astype",
    "__int2float_rn": "astype", "__float2bfloat16": "astype", "__bfloat162float": "astype", "__float_as_int": "bitcast",
    "__int_as_float": "bitcast", "__float_as_uint": "bitcast", "__uint_as_float": "bitcast",
    "__longlong_as_double": "bitcast", "__double_as_longlong": "bitcast", "__half2half2": IMPLIED, "__hadd": "x + y",
    "__hmul": "x * y", "__hfma": "x * y + z", "__hadd2": "x + y", "__hmul2": "x * y", "__hfma2": "x * y + z",
    "__dp4a": "dot", "__mulhi": "", "__umulhi": "", "__mul24": "x * y", "__umul24": "x * y", "__popc": "", "__popcll": "",
    "__clz": "", "__clzll": "", "__ffs": "", "__ffsll": "", "__brev": "", "__byte_perm": "", "__funnelshift_l": "",
    "__funnelshift_r": "", "asm": "", "printf": "device_print", "assert": "device_assert", "clock": "", "clock64": "",
    "__nanosleep": "", "__pipeline_memcpy_async": IMPLIED, "__cvta_generic_to_shared": "", "curand_init": "philox",
    "curand_uniform": "rand", "curand_normal": "randn", "wmma": "dot", "cooperative_groups": IMPLIED,
    "thrust": "", "cub": "sum, cumsum, reduce, scan", "tex1Dfetch": "load", "tex2D": "", "surf2Dread": "", "surf2Dwrite": "",
}  # fmt: skip
"""Built-ins, intrinsics and namespaces of CUDA C++. What only says where a thread is needs no word over tiles."""


@cache
def ours() -> frozenset[str]:
    """Every word of this language: operators and dtypes."""
    return frozenset({*lang.OPERATORS, *dtypes.BY_NAME, "bool_", "constexpr"})


def tile_word(name: str) -> str | None:
    """What a built-in of a tile language is here; "" for nothing, None for a name that nobody knows."""
    if name in TILE:
        return TILE[name]
    return name if name in ours() else None


def thread_word(name: str) -> str | None:
    """As :func:`tile_word` for CUDA C++, where double precision has names without f."""
    if name in THREAD:
        return THREAD[name]
    return THREAD.get(name + "f")


def has(word: str | None) -> bool:
    """Whether a word stands for something that the language has."""
    return bool(word)
