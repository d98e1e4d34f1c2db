"""How the elementwise functions are spelled. ``lang.functions`` is the table of what they mean."""

from __future__ import annotations

INFIX_BITS: dict[str, str] = {"and": "&", "or": "|", "xor": "^"}
INFIX_ARITHMETIC: dict[str, str] = {"add": "+", "sub": "-", "mul": "*"}
COMPARE: dict[str, str] = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
SWAPPED: dict[str, str] = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}

FLOAT_UNARY: dict[str, str] = {
    "abs": "fabs", "exp": "exp", "exp2": "exp2", "expm1": "expm1", "log": "log", "log2": "log2", "log10": "log10",
    "log1p": "log1p", "sqrt": "sqrt", "rsqrt": "rsqrt", "sin": "sin", "cos": "cos", "tan": "tan", "tanh": "tanh",
    "erf": "erf", "floor": "floor", "ceil": "ceil", "trunc": "trunc", "round": "rint",
    "isnan": "isnan", "isinf": "isinf", "isfinite": "isfinite",
}  # fmt: skip
FLOAT_BINARY: dict[str, str] = {"pow": "pow", "atan2": "atan2"}
PREDICATES = frozenset({"isnan", "isinf", "isfinite"})

PRELUDE_UNARY: dict[str, str] = {"sign": "iuf", "abs": "i"}
"""Functions of our prelude, with the kinds of dtype that they serve."""
PRELUDE_BINARY: dict[str, str] = {
    "max": "iuf", "min": "iuf", "floordiv": "iuf", "mod": "iuf", "shl": "iu", "shr": "iu", "pow": "iu",
}  # fmt: skip
ONE_LANE: dict[str, str] = {"pow": "iu", "mod": "f", "floordiv": "f", "sin": "f", "cos": "f", "tan": "f"}
"""What vectors go through lane by lane: pieces of prelude with loops; those on fmod, of which PoCL 3.0's vector form for
double is wrong in the last digits of the quotient; and sin, cos and tan, whose vector forms there take a small angle for
eight times as much when another lane is infinite or huge."""

OWN_FORM = frozenset({"erf", "exp", "tanh"})
"""Functions of float32 that the prelude computes for targets with ``scalar_math``: their built-ins go lane by lane (erf) or
take a fifth to a half longer."""
ONE_LANE_UNARY = frozenset({"sin", "cos", "tan"})
"""Built-ins that vectors go through lane by lane: PoCL 3.0's vector forms lose large arguments."""

EXACT = frozenset({"abs", "neg", "sign", "floor", "ceil", "trunc", "round", "max", "min"})
"""Their result is a value of the operand's dtype already: no rounding of the small floats."""

SMALL: dict[str, str] = {"float16": "f16", "bfloat16": "bf16", "float8_e4m3fn": "e4m3", "float8_e5m2": "e5m2"}
"""The floats that live in a float register, and what the prelude calls them."""

RESERVED = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const constexpr const_cast continue
    decltype default delete do double dynamic_cast else enum explicit export extern false float for friend goto half if inline
    int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public register
    reinterpret_cast restrict return short signed sizeof static static_assert static_cast struct switch template this
    thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq
    uchar ushort uint ulong size_t ptrdiff_t intptr_t uintptr_t quad complex imaginary kernel global local constant read_only
    write_only read_write generic pipe uniform image1d_t image2d_t image3d_t sampler_t event_t
    status main printf assert barrier mem_fence select shuffle shuffle2 mad fma fmaf mad24 mul24 mad_hi mul_hi abs abs_diff
    add_sat sub_sat hadd rhadd clamp clz ctz popcount rotate upsample max min mix step smoothstep sign degrees radians cross dot
    distance length normalize fast_length fast_distance fast_normalize any all bitselect isequal isnotequal isgreater isless
    isordered isunordered isnormal signbit isnan isinf isfinite prefetch acos acosh acospi asin asinh asinpi atan atan2 atanh
    atanpi atan2pi cbrt ceil copysign cos cosh cospi erf erfc exp exp2 exp10 expm1 fabs fdim floor fmax fmin fmod fract frexp
    hypot ilogb ldexp lgamma lgamma_r log log2 log10 log1p logb maxmag minmag modf nan nextafter pow pown powr remainder remquo
    rint rootn round rsqrt sin sincos sinh sinpi sqrt tan tanh tanpi tgamma trunc vec_step
    threadIdx blockIdx blockDim gridDim warpSize dim3 INFINITY NAN HUGE_VALF HUGE_VAL MAXFLOAT M_PI M_E NULL
    clock clock64 memcpy memset malloc free abort exit div ldiv llabs labs y0 y1 yn j0 j1 jn gamma
    i8 i64 u8 u16 u32 u64 int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t unix linux
    """.split()  # noqa: SIM905
)
RESERVED_PATTERN = (
    r"__.*|_[A-Z].*|pk_.*|PK_.*|vload.*|vstore.*|convert_.*|as_.*|get_.*|atom_.*|atomic.*|native_.*|half_.*|async_.*|read_image.*"
    r"|write_image.*|CLK_.*|CL_.*|FLT_.*|DBL_.*|INT_.*|CHAR_.*|cl_.*"
    r"|(?:u?(?:char|short|int|long)|float|double|half|bool)(?:2|3|4|8|16)"
)
