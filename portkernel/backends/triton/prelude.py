"""Helper functions of emitted modules: each is text, defined only where it is used."""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import mathlib

HEADER = '''"""{name}: emitted by portkernel for Triton."""

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(False)'''

_FOLDS = {
    "_add": "def _add(a, b):\n    return a + b",
    "_mul": "def _mul(a, b):\n    return a * b",
    "_max": "def _max(a, b):\n    return tl.maximum(a, b)",
    "_min": "def _min(a, b):\n    return tl.minimum(a, b)",
    "_and": "def _and(a, b):\n    return a & b",
    "_or": "def _or(a, b):\n    return a | b",
    "_xor": "def _xor(a, b):\n    return a ^ b",
    "_max_nan": "def _max_nan(a, b):\n    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)",
    "_min_nan": "def _min_nan(a, b):\n    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)",
    "_first": "def _first(a, b):\n    return a",
    "_only": "def _only(x):\n    return tl.reduce(tl.reshape(x, (1,)), 0, _first)",
}


def _arg(name: str, sign: str, nan: bool) -> str:
    """The first of equals; with ``nan``, the first NaN before all."""
    lines = [f"def {name}(a, i, b, j):", "    tie = i < j"]
    if nan:
        lines += [
            "    nan_a = a != a",
            "    nan_b = b != b",
            f"    ordered = (a {sign} b) | ((a == b) & tie)",
            "    first = (nan_a & (~nan_b | tie)) | (~nan_a & ~nan_b & ordered)",
        ]
    else:
        lines.append(f"    first = (a {sign} b) | ((a == b) & tie)")
    return "\n".join([*lines, "    return tl.where(first, a, b), tl.where(first, i, j)"])


_ARGS = {
    f"_arg{fn}{suffix}": _arg(f"_arg{fn}{suffix}", sign, suffix != "")
    for fn, sign in (("max", ">"), ("min", "<"))
    for suffix in ("", "_nan")
}

_CONVERSIONS = {
    "_bf16": '''def _bf16(x):
    """float32 rounded to the values of bfloat16, ties to even; NaN gives the quiet NaN of its sign."""
    bits = x.to(tl.uint32, bitcast=True)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    quiet = (bits & 0x80000000) | 0x7FC00000
    return tl.where(x != x, quiet, rounded).to(tl.float32, bitcast=True)''',
    "_bf16_bits": """def _bf16_bits(x):
    return (x.to(tl.uint32, bitcast=True) >> 16).to(tl.uint16)""",
    "_bf16_value": """def _bf16_value(bits):
    return (bits.to(tl.uint32) << 16).to(tl.float32, bitcast=True)""",
    "_tf32": '''def _tf32(x):
    """float32 rounded to 10 fraction bits, ties away from zero."""
    bits = x.to(tl.uint32, bitcast=True)
    rounded = ((bits + 0x1000) & 0xFFFFE000).to(tl.float32, bitcast=True)
    return tl.where(tl.abs(x) < float("inf"), rounded, x)''',
    "_dot_bf16": '''def _dot_bf16(a, b, acc):
    """The interpreter multiplies bfloat16 as bit patterns; the operands are exact in float32 as well."""
    if INTERPRETED:
        acc = tl.dot(a, b, acc, input_precision="ieee", out_dtype=tl.float32)
    else:
        acc = tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16), acc, input_precision="ieee", out_dtype=tl.float32)
    return acc''',
    "_odd_f32": '''def _odd_f32(x):
    """float64 to float32, rounded to odd: a second rounding to fewer bits then is the correct one."""
    y = x.to(tl.float32)
    back = y.to(tl.float64)
    bits = y.to(tl.int32, bitcast=True)
    away = tl.abs(back) > tl.abs(x)
    inexact = (back != x) & (x == x) & ((bits & 1) == 0)
    bits = tl.where(inexact, tl.where(away, bits - 1, bits + 1), bits)
    return bits.to(tl.float32, bitcast=True)''',
    "_decode_e5m2": """def _decode_e5m2(bits):
    return (bits.to(tl.uint16) << 8).to(tl.float16, bitcast=True).to(tl.float32)""",
    "_decode_e4m3fn": """def _decode_e4m3fn(bits):
    wide = bits.to(tl.uint16)
    half = ((wide & 0x80) << 8) | ((wide & 0x7F) << 7)
    value = half.to(tl.float16, bitcast=True).to(tl.float32) * 256.0
    return tl.where((wide & 0x7F) == 0x7F, float("nan"), value)""",
    "_encode_e5m2": '''def _encode_e5m2(x):
    """float32 to the bits of float8_e5m2, ties to even; overflow gives infinity."""
    bits = x.to(tl.uint32, bitcast=True)
    sign = (bits >> 24) & 0x80
    size = bits & 0x7FFFFFFF
    normal = ((size + 0xFFFFF + ((size >> 21) & 1)) >> 21) - 448
    small = (size.to(tl.float32, bitcast=True) + 128.0).to(tl.uint32, bitcast=True) - 0x43000000
    code = tl.where(size < 0x38800000, small, tl.minimum(normal, 0x7C))
    code = tl.where(size > 0x7F800000, 0x7E, code)
    return (code | sign).to(tl.uint8)''',
    "_encode_e4m3fn": '''def _encode_e4m3fn(x):
    """float32 to the bits of float8_e4m3fn, ties to even; overflow and infinity give NaN."""
    bits = x.to(tl.uint32, bitcast=True)
    sign = (bits >> 24) & 0x80
    size = bits & 0x7FFFFFFF
    normal = ((size + 0x7FFFF + ((size >> 20) & 1)) >> 20) - 960
    small = (size.to(tl.float32, bitcast=True) + 16384.0).to(tl.uint32, bitcast=True) - 0x46800000
    code = tl.where(size < 0x3C800000, small, tl.minimum(normal, 0x7F))
    code = tl.where(size > 0x7F800000, 0x7F, code)
    return (code | sign).to(tl.uint8)''',
    "_to_int": '''def _to_int(x, low: tl.constexpr, past: tl.constexpr, least, most, through: tl.constexpr):
    """Truncation that saturates; NaN gives 0."""
    inside = (x >= low) & (x < past)
    number = tl.where(inside, x, x.to(x.dtype) * 0.0)
    number = tl.where(inside, number, 0.0).to(through).to(least.dtype)
    number = tl.where(x >= past, most, number)
    return tl.where(x < low, least, number)''',
}

_INTEGERS = {
    "_iabs": "def _iabs(x):\n    return tl.where(x < 0, 0 - x, x)",
    "_floordiv_i": '''def _floordiv_i(x, y):
    """Rounds down; x // 0 is 0, and the least integer over -1 wraps."""
    zero = y == 0
    minus = y == -1
    divisor = tl.where(zero | minus, tl.full((), 1, y.dtype), y)
    quotient = x // divisor
    rest = x - quotient * divisor
    low = (rest != 0) & ((rest < 0) != (divisor < 0))
    quotient = tl.where(low, quotient - 1, quotient)
    return tl.where(zero, y, tl.where(minus, 0 - x, quotient))''',
    "_floordiv_u": """def _floordiv_u(x, y):
    zero = y == 0
    return tl.where(zero, y, x // tl.where(zero, tl.full((), 1, y.dtype), y))""",
    "_mod_i": '''def _mod_i(x, y):
    """The sign of the divisor; x % 0 is 0."""
    plain = (y == 0) | (y == -1)
    divisor = tl.where(plain, tl.full((), 1, y.dtype), y)
    rest = x % divisor
    return tl.where((rest != 0) & ((rest < 0) != (divisor < 0)), rest + divisor, rest)''',
    "_mod_u": """def _mod_u(x, y):
    return x % tl.where(y == 0, tl.full((), 1, y.dtype), y)""",
    "_shl_i": '''def _shl_i(x, y):
    """A shift by the width or more, or by less than 0, leaves 0."""
    beyond = (y < 0) | (y >= x.dtype.primitive_bitwidth)
    none = tl.full((), 0, x.dtype)
    return tl.where(beyond, none, x << tl.where(beyond, none, y))''',
    "_shl_u": """def _shl_u(x, y):
    beyond = y >= x.dtype.primitive_bitwidth
    none = tl.full((), 0, x.dtype)
    return tl.where(beyond, none, x << tl.where(beyond, none, y))""",
    "_shr_i": '''def _shr_i(x, y):
    """A shift by the width or more, or by less than 0, leaves the sign."""
    beyond = (y < 0) | (y >= x.dtype.primitive_bitwidth)
    return x >> tl.where(beyond, tl.full((), x.dtype.primitive_bitwidth - 1, x.dtype), y)''',
    "_shr_u": """def _shr_u(x, y):
    beyond = y >= x.dtype.primitive_bitwidth
    none = tl.full((), 0, x.dtype)
    return tl.where(beyond, none, x >> tl.where(beyond, none, y))""",
    "_pow_u": '''def _pow_u(x, y):
    """Square and multiply; the product wraps."""
    result = x - x + 1
    base = x
    left = y + (x - x)
    for _ in range(0, x.dtype.primitive_bitwidth):
        result = tl.where((left & 1) != 0, result * base, result)
        base = base * base
        left = left >> 1
    return result''',
    "_pow_i": '''def _pow_i(x, y):
    """A negative exponent gives 0, but 1 for 1, and 1 or -1 for -1."""
    negative = y < 0
    none = tl.full((), 0, x.dtype)
    result = _pow_u(x, tl.where(negative, none, y))
    inverse = tl.where((x == 1) | (x == -1), tl.where((y & 1) != 0, x, x * x), none)
    return tl.where(negative, inverse, result)''',
}

_ATOMICS: dict[str, str] = {}
for _fn in ("max", "min"):
    for _rank, _any in (
        ("1", "tl.reduce(tl.reshape(pending.to(tl.int32), (pending.numel,)), 0, _or) != 0"),
        ("0", "pending"),
    ):
        _name = f"_atomic_f{_fn}_{_rank}"
        _ATOMICS[_name] = f'''def {_name}(place, value, kept, spare, bits: tl.constexpr):
    """A compare-and-swap loop; an element that is done swaps the status word for itself."""
    old = tl.load(place, mask=kept, other=0)
    result = old - old
    pending = kept
    busy = {_any}
    while busy:
        new = tl.{_fn}imum(old.to(value.dtype, bitcast=True), value, propagate_nan=tl.PropagateNan.ALL)
        new = tl.where(pending, new.to(bits, bitcast=True), old)
        found = tl.atomic_cas(tl.where(pending, place, spare), old, new, sem="relaxed")
        done = pending & (found == old)
        result = tl.where(done, found, result)
        pending = pending & ~done
        old = tl.where(pending, found, old)
        busy = {_any}
    return tl.where(kept, result, result - result).to(value.dtype, bitcast=True)'''

HELPERS: dict[str, str] = {**_FOLDS, **_ARGS, **_CONVERSIONS, **_INTEGERS, **_ATOMICS, **mathlib.FUNCTIONS}
_NAME = re.compile(r"\b_[a-z]\w*")


def closure(names: Iterable[str]) -> list[str]:
    """The texts of the helpers ``names`` and of those they call, callees first, decorated."""
    ordered: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in ordered:
            return
        for other in _NAME.findall(HELPERS[name]):
            if other != name and other in HELPERS:
                visit(other)
        ordered[name] = None

    for name in names:
        visit(name)
    return [f"@triton.jit\n{HELPERS[name]}" for name in ordered]
