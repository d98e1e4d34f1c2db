"""Elementary functions in Triton's own primitives, for float32 and float64.

Triton's ``exp`` and ``exp2`` of float32 are the GPU's approximations, which break the bounds of ``lang.functions``; its
other functions differ between releases, and the interpreter lacks most. So they are written out here: range reduction
(Cody and Waite 1980, chapters 5 to 8) and truncated power series, whose coefficients are exact fractions. Every
function is tested against float64 (or wider) over a dense sample. Compiled without contraction to fused multiply-add.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

_LN2 = Fraction(
    "0.69314718055994530941723212145817656807550013436025525412068000949339362196969471560586332699641868754"
)
_PI_2 = Fraction("1.57079632679489661923132169163975144209858469968755291048747229615390820314310449931401741267105853")


@dataclass(frozen=True, slots=True)
class _Format:
    """What the texts depend on: width, fraction bits, bias, and how many terms of each series it takes."""

    bits: int
    fraction: int
    bias: int
    exp_terms: int
    log_terms: int
    atan_terms: int
    split: int
    """Fraction bits of the leading part of ln 2, such that its product with an exponent is exact."""
    huge: float
    """exp(huge) overflows, exp(-huge) is 0; half the power of two that it is still has an exponent."""

    def divide(self, a: str, b: str) -> str:
        """The correctly rounded quotient; float32 ``/`` is an approximation on NVIDIA GPUs."""
        return f"tl.div_rn({a}, {b})" if self.bits == 32 else f"({a}) / ({b})"

    def c(self, value: Fraction | float) -> str:
        """A constant. A bare literal passes through float32 in some releases, hence the detour in float64."""
        text = repr(float(value))
        return text if self.bits == 32 else f"tl.full((), {text}, tl.float64)"

    @property
    def int_type(self) -> str:
        return f"tl.int{self.bits}"

    @property
    def float_type(self) -> str:
        return f"tl.float{self.bits}"


F32 = _Format(32, 23, 127, 8, 6, 11, 15, 104.0)
F64 = _Format(64, 52, 1023, 15, 12, 23, 40, 746.0)


def _horner(f: _Format, name: str, variable: str, coefficients: Sequence[Fraction]) -> list[str]:
    """Lines that set ``name`` to the polynomial with ``coefficients`` (constant first) in ``variable``."""
    *rest, last = coefficients
    lines = [f"    {name} = {variable} * {f.c(last)} + {f.c(rest.pop())}"]
    return lines + [f"    {name} = {name} * {variable} + {f.c(c)}" for c in reversed(rest)]


def _parts(f: _Format) -> tuple[Fraction, Fraction]:
    high = Fraction(round(_LN2 * 2**f.split), 2**f.split)
    return high, _LN2 - high


def _scale(f: _Format) -> str:
    return f"""def _scale_f{f.bits}(x, n):
    \"\"\"x * 2**n in two steps, so that neither factor overflows.\"\"\"
    half = n >> 1
    first = ((half + {f.bias}) << {f.fraction}).to({f.float_type}, bitcast=True)
    second = ((n - half + {f.bias}) << {f.fraction}).to({f.float_type}, bitcast=True)
    return x * first * second"""


def _reduced(f: _Format, name: str, doc: str, argument: Sequence[str], tail: Sequence[str]) -> str:
    """Common text of exp, exp2 and expm1: ``r`` in ±ln 2 / 2, ``n`` the power of two, ``q`` = exp(r) - 1."""
    series = [Fraction(1, math.factorial(k)) for k in range(2, f.exp_terms)]
    lines = [f"def {name}(x):", f'    """{doc}"""', *argument]
    lines += [f"    n = k.to({f.int_type})", *_horner(f, "p", "r", series), "    q = r + r * r * p", *tail]
    return "\n".join(lines)


def _exp_family(f: _Format) -> dict[str, str]:
    high, low = _parts(f)
    limit = f.c(f.huge)
    base_e = [
        f"    y = tl.minimum(tl.maximum(x, -{limit}), {limit})",
        f"    k = tl.floor(y * {f.c(1 / _LN2)} + 0.5)",
        f"    r = (y - k * {f.c(high)}) - k * {f.c(low)}",
    ]
    most = f.c(f.huge * 1.5)
    base_2 = [
        f"    y = tl.minimum(tl.maximum(x, -{most}), {most})",
        "    k = tl.floor(y + 0.5)",
        f"    r = (y - k) * {f.c(_LN2)}",
    ]
    tail = [f"    return tl.where(x != x, x, _scale_f{f.bits}(q + 1.0, n))"]
    minus = [
        f"    power = _scale_f{f.bits}(k * 0.0 + 1.0, n - 1)",
        "    far = (q * power + (power - 0.5)) * 2.0",
        "    near = tl.where(n == 0, q, far)",
        f"    near = tl.where(x > {f.c(89.0 if f.bits == 32 else 710.0)}, {_infinity()}, near)",
        "    return tl.where((x != x) | (x == 0.0), x, near)",
    ]
    b = f.bits
    return {
        f"_exp_f{b}": _reduced(f, f"_exp_f{b}", "e to the power of x.", base_e, tail),
        f"_exp2_f{b}": _reduced(f, f"_exp2_f{b}", "2 to the power of x.", base_2, tail),
        f"_expm1_f{b}": _reduced(f, f"_expm1_f{b}", "exp(x) - 1, exact near 0.", base_e, minus),
    }


def _infinity() -> str:
    return 'float("inf")'


def _frexp(f: _Format) -> list[str]:
    """``m`` in sqrt(1/2) … sqrt(2) and the float ``e`` with x = m * 2**e, for positive finite x."""
    root = math.sqrt(0.5)
    up = 2.0 ** (f.fraction + 2)
    smallest = 2.0 ** (1 - f.bias)
    mask = (1 << f.fraction) - 1
    return [
        f"    tiny = x < {f.c(smallest)}",
        f"    v = tl.where(tiny, x * {f.c(up)}, x)",
        f"    bits = v.to({f.int_type}, bitcast=True)",
        f"    m = ((bits & {mask}) | {(f.bias - 1) << f.fraction}).to({f.float_type}, bitcast=True)",
        f"    e = (bits >> {f.fraction}) - {f.bias - 1}",
        f"    e = tl.where(tiny, e - {f.fraction + 2}, e)",
        f"    low = m < {f.c(root)}",
        "    m = tl.where(low, m + m, m)",
        f"    e = tl.where(low, e - 1, e).to({f.float_type})",
    ]


def _log_tail() -> list[str]:
    return [
        f"    result = tl.where(x == {_infinity()}, x, result)",
        '    result = tl.where(x == 0.0, float("-inf"), result)',
        '    return tl.where((x < 0.0) | (x != x), float("nan"), result)',
    ]


def _log_core(f: _Format) -> list[str]:
    """``g`` with log(m) = d - g, where d = m - 1: log(1 + d) = d - d*d/2 + s*(d*d/2 + R), s = d / (2 + d)."""
    series = [Fraction(2, 2 * k + 3) for k in range(f.log_terms)]
    return [
        "    d = m - 1.0",
        f"    s = {f.divide('d', 'd + 2.0')}",
        "    z = s * s",
        *_horner(f, "p", "z", series),
        "    h = 0.5 * d * d",
        "    t = s * (h + z * p)",
    ]


def _log_family(f: _Format) -> dict[str, str]:
    high, low = _parts(f)
    b = f.bits
    log = "_log_f32" if b == 32 else "tl.log"
    return {
        f"_log_f{b}": "\n".join(
            [
                f"def _log_f{b}(x):",
                '    """Natural logarithm (the series in s = d / (2 + d), as in Tang, ACM TOMS 16(4), 1990)."""',
                *_frexp(f),
                *_log_core(f),
                f"    result = e * {f.c(high)} + (d - (h - (t + e * {f.c(low)})))",
                *_log_tail(),
            ]
        ),
        f"_log2_f{b}": "\n".join(
            [
                f"def _log2_f{b}(x):",
                '    """Logarithm to base 2, exact for powers of two."""',
                *_frexp(f),
                *_log_core(f),
                f"    result = e + (d - (h - t)) * {f.c(1 / _LN2)}",
                *_log_tail(),
            ]
        ),
        f"_log10_f{b}": f"def _log10_f{b}(x):\n    return {log}(x) * {f.c(1 / math.log(10))}",
        f"_log1p_f{b}": f'''def _log1p_f{b}(x):
    """log(1 + x): the rounding error of the sum is put back in."""
    u = x + 1.0
    away = (u <= 0.0) | (tl.abs(x) == {_infinity()}) | (x != x)
    result = {log}(u)
    return tl.where(x == 0.0, x, tl.where(away, result, result + {f.divide("x - (u - 1.0)", "u")}))''',
    }


def _hyperbolic(f: _Format) -> dict[str, str]:
    b = f.bits
    return {
        f"_tanh_f{b}": f'''def _tanh_f{b}(x):
    """From expm1(2 |x|); an odd function."""
    y = tl.minimum(tl.abs(x), {f.c(22.0)})
    t = _expm1_f{b}(y + y)
    result = {f.divide("t", "t + 2.0")}
    return tl.where((x != x) | (x == 0.0), x, tl.where(x < 0.0, result * -1.0, result))''',
        f"_tan_f{b}": f"def _tan_f{b}(x):\n    return {f.divide('tl.sin(x)', 'tl.cos(x)')}",
    }


def _atan2(f: _Format) -> str:
    series = [Fraction((-1) ** k, 2 * k + 3) for k in range(f.atan_terms)]
    low = _PI_2 - Fraction(float(_PI_2)) if f.bits == 64 else _PI_2 - _as_f32(_PI_2)
    high = _PI_2 - low
    return "\n".join(
        [
            f"def _atan2_f{f.bits}(y, x):",
            '    """The angle of the point: a ratio in 0 … 1, about 0 or about 1, then the quadrant."""',
            "    a = tl.abs(x)",
            "    b = tl.abs(y)",
            "    big = tl.maximum(a, b)",
            "    small = tl.minimum(a, b)",
            "    equal = a == b",
            f"    shrink = big > {f.c(2.0 ** (f.bias - 2))}",
            "    big = tl.where(shrink, big * 0.25, big)",
            "    small = tl.where(shrink, small * 0.25, small)",
            "    safe = tl.where(big == 0.0, big + 1.0, big)",
            f"    upper = small > {f.c(math.sqrt(2) - 1)} * safe",
            "    top = tl.where(upper, small - safe, small)",
            "    bottom = tl.where(upper, small + safe, safe)",
            f"    t = {f.divide('top', 'bottom')}",
            "    t = tl.where(equal, t * 0.0, t)",
            "    t = tl.where(t != t, 0.0, t)",
            "    upper = upper | (equal & (a > 0.0))",
            "    z = t * t",
            *_horner(f, "p", "z", series),
            "    angle = t - t * z * p",
            f"    angle = tl.where(upper, {f.c(high / 2)} + (angle + {f.c(low / 2)}), angle)",
            f"    angle = tl.where(b > a, {f.c(high)} - (angle - {f.c(low)}), angle)",
            f"    left = x.to({f.int_type}, bitcast=True) < 0",
            f"    angle = tl.where(left, {f.c(2 * high)} - (angle - {f.c(2 * low)}), angle)",
            f"    angle = tl.where(y.to({f.int_type}, bitcast=True) < 0, angle * -1.0, angle)",
            '    return tl.where((x != x) | (y != y), float("nan"), angle)',
        ]
    )


def _as_f32(value: Fraction) -> Fraction:
    exponent = math.floor(math.log2(value))
    unit = Fraction(2) ** (exponent - 23)
    return round(value / unit) * unit


def _pow(f: _Format) -> str:
    """log |x| as an unevaluated sum of two numbers, times y, then exp: the extra bits of the product count."""
    b = f.bits
    series = [Fraction(2, 2 * k + 3) for k in range(f.log_terms)]
    high, low = _parts(f)
    exp = "_exp_f32" if b == 32 else "tl.exp"
    head = [
        f"def _pow_f{b}(base, y):",
        '    """x to the power of y, with the special cases of C99 (annex F.9.4.4)."""',
        "    x = tl.abs(base)",
        *_frexp(f),
        "    d = m - 1.0",
        "    w = d + 2.0",
        "    w_low = d - (w - 2.0)",
        f"    s = {f.divide('d', 'w')}",
        "    rest = tl.fma(s * -1.0, w, d) - s * w_low",
        f"    s_low = {f.divide('rest', 'w')}",
        "    z = s * s",
        *_horner(f, "p", "z", series),
        "    tail = 2.0 * s_low + s * z * p",
        f"    a = e * {f.c(high)}",
        "    g = a + 2.0 * s",
        "    back = g - a",
        f"    g_low = (a - (g - back)) + (2.0 * s - back) + (tail + e * {f.c(low)})",
        "    log_high = g + g_low",
        "    log_low = g_low - (log_high - g)",
        "    product = log_high * y",
        "    extra = tl.fma(log_high, y, product * -1.0) + log_low * y",
        f"    limit = {f.c(f.huge)}",
        "    bounded = tl.minimum(tl.maximum(product, -limit), limit)",
        "    extra = tl.where(tl.abs(product) < limit, extra, 0.0)",
        f"    grown = {exp}(bounded)",
        f"    result = tl.where((grown > 0.0) & (grown < {_infinity()}), grown + grown * extra, grown)",
    ]
    return "\n".join([*head, *_pow_cases(f)])


def _pow_cases(f: _Format) -> list[str]:
    inf = _infinity()
    odd_limit = f.c(2.0 ** (f.fraction + 1))
    return [
        "    whole = tl.floor(y) == y",
        f"    odd = whole & (tl.abs(y) < {odd_limit}) & (tl.floor(y * 0.5) * 2.0 != y)",
        f"    negative = base.to({f.int_type}, bitcast=True) < 0",
        "    rises = (x > 1.0) == (y > 0.0)",
        f"    result = tl.where(tl.abs(y) == {inf}, tl.where(rises, {inf}, 0.0).to(x.dtype), result)",
        f"    result = tl.where(x == {inf}, tl.where(y > 0.0, {inf}, 0.0).to(x.dtype), result)",
        f"    result = tl.where(x == 0.0, tl.where(y > 0.0, 0.0, {inf}).to(x.dtype), result)",
        "    result = tl.where(negative & odd, result * -1.0, result)",
        f'    result = tl.where(negative & ~whole & (x > 0.0) & (x < {inf}), float("nan"), result)',
        "    result = tl.where((x == 1.0) & ((base > 0.0) | (tl.abs(y) == " + inf + ")), 1.0, result)",
        '    result = tl.where((base != base) | (y != y), float("nan"), result)',
        "    return tl.where((y == 0.0) | (base == 1.0), 1.0, result)",
    ]


def _remainders(f: _Format) -> dict[str, str]:
    """fmod by long division, ``step`` quotient bits at a time, each exact; floor division and modulo from it."""
    b = f.bits
    step = 7 if b == 32 else 16
    rounds = -(-(2 * f.bias + f.fraction + 2) // (3 * step))
    fmod = f'''def _fmod_f{b}(x, y):
    """The exact remainder with the sign of x: in each round the quotient has at most {3 * step} bits."""
    rest = tl.abs(x)
    size = tl.abs(y)
    factor = tl.full((), {2.0 ** (step * (rounds - 1))!r}, x.dtype)
    rest = tl.where(size == size, rest, size)
    for _ in range(0, {rounds}):
        part = size * factor * factor * factor
        fits = part <= rest
        safe = tl.where(fits, part, 1.0)
        quotient = tl.floor({f.divide("rest", "safe")})
        less = tl.fma(quotient * -1.0, safe, rest)
        less = tl.where(less < 0.0, less + safe, less)
        less = tl.where(less >= safe, less - safe, less)
        rest = tl.where(fits & (part > 0.0), less, rest)
        factor = factor * {f.c(2.0**-step)}
    rest = tl.where(x.to({f.int_type}, bitcast=True) < 0, rest * -1.0, rest)
    rest = tl.where((tl.abs(y) == {_infinity()}) & (tl.abs(x) < {_infinity()}), x, rest)
    return tl.where((y == 0.0) | (tl.abs(x) == {_infinity()}) | (x != x) | (y != y), float("nan"), rest)'''
    mod = f'''def _mod_f{b}(x, y):
    """The sign of the divisor, as in NumPy."""
    rest = _fmod_f{b}(x, y)
    zero = _copysign_f{b}(rest * 0.0, y)
    return tl.where(rest == 0.0, zero, tl.where((rest < 0.0) != (y < 0.0), rest + y, rest))'''
    floordiv = f'''def _floordiv_f{b}(x, y):
    """NumPy's floor division: by the exact remainder, so that it agrees with the modulo."""
    rest = _fmod_f{b}(x, y)
    ratio = {f.divide("x", "y")}
    count = {f.divide("x - rest", "y")}
    count = tl.where((rest != 0.0) & ((rest < 0.0) != (y < 0.0)), count - 1.0, count)
    down = tl.floor(count)
    down = tl.where(count - down > 0.5, down + 1.0, down)
    result = tl.where(count == 0.0, _copysign_f{b}(count * 0.0, ratio), down)
    return tl.where(y == 0.0, ratio, result)'''
    return {f"_fmod_f{b}": fmod, f"_mod_f{b}": mod, f"_floordiv_f{b}": floordiv}


def _roundings(f: _Format) -> dict[str, str]:
    b = f.bits
    sign = -(1 << (b - 1))
    copysign = f"""def _copysign_f{b}(x, sign):
    size = tl.abs(x).to({f.int_type}, bitcast=True)
    return (size | (sign.to({f.int_type}, bitcast=True) & {sign})).to({f.float_type}, bitcast=True)"""
    rounded = f'''def _round_f{b}(x):
    """To the nearest integer, ties to even: adding 2**{f.fraction} drops the fraction."""
    size = tl.abs(x)
    whole = (size + {f.c(2.0**f.fraction)}) - {f.c(2.0**f.fraction)}
    return _copysign_f{b}(tl.where(size < {f.c(2.0**f.fraction)}, whole, size), x)'''
    return {f"_copysign_f{b}": copysign, f"_round_f{b}": rounded}


FUNCTIONS: dict[str, str] = {
    "_fsign": '''def _fsign(x):
    """-1, 0 or 1; NaN for NaN."""
    return tl.where(x > 0.0, 1.0, tl.where(x < 0.0, -1.0, tl.where(x == 0.0, 0.0, x)))''',
    "_trunc": "def _trunc(x):\n    return tl.where(x < 0.0, tl.ceil(x), tl.floor(x))",
}
for _format in (F32, F64):
    _b = _format.bits
    FUNCTIONS |= {f"_scale_f{_b}": _scale(_format), f"_atan2_f{_b}": _atan2(_format), f"_pow_f{_b}": _pow(_format)}
    for _family in (_exp_family, _log_family, _hyperbolic, _remainders, _roundings):
        FUNCTIONS |= _family(_format)
