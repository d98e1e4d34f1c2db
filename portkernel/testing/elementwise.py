"""Every elementwise function in every dtype, on all 16-bit values and on the values that break things."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

import portkernel as pk

from ..catalog import Array
from ..dtypes import BY_NAME, DType, floating, promote
from ..lang.functions import BINARY, UNARY, Function, operand_dtype, result_dtype
from .case import FLOATS, INTEGERS, NUMBERS, SOME, Launch, Table, every, like, spacing, specials, values

table = Table()
TILE = 1024
EXACT = ("neg", "abs", "sign", "invert", "floor", "ceil", "trunc", "round", "sqrt")


def _accepts(fn: Function) -> tuple[DType, ...]:
    match fn.rule:
        case "floating" | "predicate":
            return (*FLOATS, pk.int32)
        case "number":
            return NUMBERS
        case "bits":
            return (*INTEGERS, pk.bool_)
        case "shift":
            return INTEGERS
        case "compare" | "any":
            return (*NUMBERS, pk.bool_)
        case _:
            raise KeyError(fn.rule)


def _wide(x: Array, dtype: DType) -> Array:
    """Higher precision than any route computes in: float64 for float32 and below, long double for float64."""
    return x.astype(np.longdouble if dtype == pk.float64 else np.float64)


def _erf(x: Array) -> Array:
    return np.array([math.erf(float(v)) for v in x.ravel()], np.float64).reshape(x.shape)


_MEANING: dict[str, Callable[..., Array]] = {
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "erf": _erf,
    "neg": np.negative, "abs": np.abs, "sign": np.sign, "round": np.rint, "pow": np.power, "atan2": np.arctan2,
}  # fmt: skip


def _meaning(name: str) -> Callable[..., Array]:
    return _MEANING.get(name) or getattr(np, name)  # type: ignore[no-any-return]


def tolerance(name: str, exact: Array, dtype: DType, ulp: float) -> Array:
    """What the contract allows around ``exact``: ``ulp`` in the working dtype, then one rounding to 16 bits."""
    working = dtype if dtype.bits > 16 else BY_NAME["float32"]
    # The reference itself may be a unit of its own precision off, hence the small excess.
    error = np.asarray(spacing(exact, working) * (ulp + 0.51))
    if dtype.bits == 16:
        error = error + spacing(exact, dtype) * 0.501
    return error.astype(np.float64)


# --- one operand --------------------------------------------------------------------------------------------


def _unary_kernel(fn: Callable[..., object]) -> object:
    @pk.kernel
    def kernel(x, out, B: pk.constexpr[int]):
        pk.store(out, (pk.program_id(0),), fn(pk.load(x, (pk.program_id(0),), (B,))))

    return kernel


def _unary(fn: Function) -> None:
    kernel = _unary_kernel(pk.negative if fn.name == "neg" else getattr(pk, fn.name))

    def make(x: Array, dtype: DType) -> Launch:
        working = operand_dtype(fn, dtype)
        result = result_dtype(fn, working)
        operand = x.astype(working.np)
        with np.errstate(all="ignore"):
            if working.is_float:
                # What is exact is computed in the working dtype: a detour through a wider one would round twice.
                wide = (
                    _wide(operand, working)
                    if fn.ulp
                    else operand.astype(np.float64 if dtype.bits == 64 else np.float32)
                )
                exact = _meaning(fn.name)(wide)
                want = exact.astype(result.np)
            else:
                want = exact = _meaning(fn.name)(operand)
        args = {"x": x, "out": like(want.astype(result.np))}
        grid, constants = (-(-len(x) // TILE),), {"B": TILE}
        if not fn.ulp:
            return Launch(kernel, args, {"out": want}, grid, constants=constants, bits=fn.name in EXACT)  # type: ignore[arg-type]
        bound = tolerance(fn.name, exact, working, fn.ulp)
        overflow = np.isfinite(exact) & ~np.isfinite(want.astype(np.float64))
        expected = np.where(overflow, want.astype(np.float64), exact.astype(np.float64))
        return Launch(kernel, args, {"out": expected}, grid, {"out": bound}, constants)  # type: ignore[arg-type]

    def dense(dtype: DType, rng: np.random.Generator) -> Launch:
        return make(_without_ties(fn.name, np.concatenate((every(dtype), specials(dtype)))), dtype)

    def few(dtype: DType, rng: np.random.Generator) -> Launch:
        return make(np.concatenate((specials(dtype), values(rng, (100,), dtype))), dtype)

    table.add(f"{fn.name}, all values", tuple(d for d in FLOATS if d in _accepts(fn)), dense, dense=True)
    table.add(fn.name, tuple(d for d in _accepts(fn) if not d.is_float), few)


def _without_ties(name: str, x: Array) -> Array:
    """Results next to the overflow threshold may round either way: leave them out."""
    if name not in ("exp", "exp2", "expm1"):
        return x
    limit = {"exp2": 1.0, "exp": math.log(2), "expm1": math.log(2)}[name]
    wide = x.astype(np.float64) / limit
    near = np.zeros(x.shape, np.bool_)
    for edge in (16, 128, 1024):
        near |= np.abs(wide - edge) < 1e-2
    return x[~near]


for _fn in UNARY.values():
    _unary(_fn)


# --- two operands -------------------------------------------------------------------------------------------


def add(x, y):  # type: ignore[no-untyped-def]  # functions of the kernel language, inlined
    return x + y


def sub(x, y):  # type: ignore[no-untyped-def]
    return x - y


def mul(x, y):  # type: ignore[no-untyped-def]
    return x * y


def div(x, y):  # type: ignore[no-untyped-def]
    return x / y


def floordiv(x, y):  # type: ignore[no-untyped-def]
    return x // y


def mod(x, y):  # type: ignore[no-untyped-def]
    return x % y


def bit_and(x, y):  # type: ignore[no-untyped-def]
    return x & y


def bit_or(x, y):  # type: ignore[no-untyped-def]
    return x | y


def bit_xor(x, y):  # type: ignore[no-untyped-def]
    return x ^ y


def shl(x, y):  # type: ignore[no-untyped-def]
    return x << y


def shr(x, y):  # type: ignore[no-untyped-def]
    return x >> y


def lt(x, y):  # type: ignore[no-untyped-def]
    return x < y


def le(x, y):  # type: ignore[no-untyped-def]
    return x <= y


def gt(x, y):  # type: ignore[no-untyped-def]
    return x > y


def ge(x, y):  # type: ignore[no-untyped-def]
    return x >= y


def eq(x, y):  # type: ignore[no-untyped-def]
    return x == y


def ne(x, y):  # type: ignore[no-untyped-def]
    return x != y


_SPELT: dict[str, Callable[..., object]] = {
    "add": add, "sub": sub, "mul": mul, "div": div, "floordiv": floordiv, "mod": mod, "pow": pk.power,
    "atan2": pk.arctan2, "max": pk.maximum, "min": pk.minimum, "and": bit_and, "or": bit_or, "xor": bit_xor,
    "shl": shl, "shr": shr, "lt": lt, "le": le, "gt": gt, "ge": ge, "eq": eq, "ne": ne,
}  # fmt: skip
_UFUNC: dict[str, Callable[..., Array]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "floordiv": np.floor_divide, "mod": np.mod,
    "max": np.maximum, "min": np.minimum, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "shl": np.left_shift, "shr": np.right_shift, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip


def _binary_kernel(fn: Callable[..., object]) -> object:
    @pk.kernel
    def kernel(x, y, out, B: pk.constexpr[int]):
        i = pk.program_id(0)
        pk.store(out, (i,), fn(pk.load(x, (i,), (B,)), pk.load(y, (i,), (B,))))

    return kernel


def _integer_power(x: Array, y: Array) -> Array:
    """Python's arithmetic, wrapped to the dtype; negative exponents give 0 but for bases 1 and -1."""
    info = np.iinfo(x.dtype)
    span = int(info.max) - int(info.min) + 1

    def one(a: int, b: int) -> int:
        if b < 0:
            return (1 if b % 2 == 0 else a) if abs(a) == 1 else 0
        r = pow(a, b, span)
        return r - span if r > info.max else r

    return np.array([one(int(a), int(b)) for a, b in zip(x, y, strict=True)], x.dtype)


def _pairs(fn: Function, dtype: DType, rng: np.random.Generator) -> tuple[Array, Array]:
    """All pairs of special values, and random ones; shift amounts from -2 to beyond the width."""
    left = specials(dtype)
    right = left
    if fn.rule == "shift":
        amounts = [a for a in (-2, -1, 0, 1, 3, 7, 8, 15, 31, 32, 63, 64, 100) if dtype.min <= a <= dtype.max]
        right = np.array(amounts, dtype.np)
    x, y = (t.ravel() for t in np.meshgrid(left, right))
    return np.concatenate((x, values(rng, (200,), dtype))), np.concatenate((y, values(rng, (200,), dtype)))


def _binary(fn: Function) -> None:
    kernel = _binary_kernel(_SPELT[fn.name])

    @table(*_accepts(fn), name=fn.name)
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        x, y = _pairs(fn, dtype, rng)
        working = operand_dtype(fn, dtype)
        result = result_dtype(fn, working)
        a, b = x.astype(working.np), y.astype(working.np)
        bound: dict[str, Array | float] = {}
        with np.errstate(all="ignore"):
            if fn.ulp and working.is_float:
                exact = _meaning(fn.name)(_wide(a, working), _wide(b, working))
                near = np.isfinite(exact) & (np.abs(exact) > 0.99 * _largest(working))
                x, y, exact = x[~near], y[~near], exact[~near]
                want = exact.astype(result.np).astype(np.float64)
                want = np.where(np.isfinite(want), exact.astype(np.float64), want)
                bound["out"] = tolerance(fn.name, exact, working, fn.ulp)
            elif fn.name == "pow":
                want = _integer_power(a, b)
            elif working.bits == 16 and working.is_float:
                want = _UFUNC[fn.name](a.astype(np.float32), b.astype(np.float32)).astype(result.np)
            else:
                want = _UFUNC[fn.name](a, b).astype(result.np)
        args: dict[str, object] = {"x": x, "y": y, "out": like(want.astype(result.np))}
        return Launch(kernel, args, {"out": want}, (-(-len(x) // 512),), bound, {"B": 512})  # type: ignore[arg-type]


def _largest(dtype: DType) -> float:
    return float(2.0 ** ((1 << (dtype.exponent - 1)) - 1) * (2 - dtype.eps))


for _fn in BINARY.values():
    _binary(_fn)


# --- the rest -----------------------------------------------------------------------------------------------


@pk.kernel
def mixed_kernel(x, y, out):
    pk.store(out, (0,), pk.load(x, (0,), (40,)) + pk.load(y, (0,), (40,)))


def _mixed(other: DType) -> None:
    @table(
        *(d for d in (pk.int8, pk.int32, pk.float16, pk.float32) if d != other), name=f"add {other} to another dtype"
    )
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        x, y = (rng.integers(0, 9, (40,)).astype(d.np) for d in (dtype, other))
        want = (x.astype(np.float64) + y.astype(np.float64)).astype(promote(dtype, other).np)
        return Launch(mixed_kernel, {"x": x, "y": y, "out": like(want)}, {"out": want})


for _other in (pk.uint8, pk.int16, pk.float16, pk.bfloat16, pk.float32):
    _mixed(_other)


@pk.kernel
def select_kernel(c, x, y, out, low):
    a, b = pk.load(x, (0,), (50,)), pk.load(y, (0,), (50,))
    keep = pk.load(c, (0,), (50,))
    pk.store(out, (0,), pk.where(keep, a, b))
    pk.store(low, (0,), pk.where(a < b, a, 0))


@table(*NUMBERS)
def where(dtype: DType, rng: np.random.Generator) -> Launch:
    c, x, y = rng.integers(0, 2, (50,)) > 0, values(rng, (50,), dtype), values(rng, (50,), dtype)
    out, low = np.where(c, x, y), np.where(x < y, x, dtype.np.type(0))
    args = {"c": c, "x": x, "y": y, "out": like(out), "low": like(low)}
    return Launch(select_kernel, args, {"out": out, "low": low})


@pk.kernel
def logical_kernel(x, y, both, either, neither):
    a, b = pk.load(x, (0,), (30,)), pk.load(y, (0,), (30,))
    pk.store(both, (0,), pk.logical_and(a, b))
    pk.store(either, (0,), pk.logical_or(a, b))
    pk.store(neither, (0,), pk.logical_not(pk.logical_or(a, b)))


@table(*SOME, pk.bool_)
def logical_functions(dtype: DType, rng: np.random.Generator) -> Launch:
    x, y = rng.integers(0, 2, (30,)).astype(dtype.np), rng.integers(0, 2, (30,)).astype(dtype.np)
    want = {"both": (x != 0) & (y != 0), "either": (x != 0) | (y != 0), "neither": (x == 0) & (y == 0)}
    return Launch(logical_kernel, {"x": x, "y": y} | {k: like(v) for k, v in want.items()}, want)


@pk.kernel
def weak_kernel(x, out):
    a = pk.load(x, (0,), (21,))
    pk.store(out, (0,), pk.clip((3 - a) * 2 + 1, -5, 9))


@table(*FLOATS, pk.int8, pk.int64)
def python_scalars_and_clip(dtype: DType, rng: np.random.Generator) -> Launch:
    x = rng.integers(-6, 7, (21,)).astype(dtype.np)
    want = np.clip((3 - x.astype(np.float64)) * 2 + 1, -5, 9).astype(dtype.np)
    return Launch(weak_kernel, {"x": x, "out": like(want)}, {"out": want})


@pk.kernel
def sigmoid_kernel(x, out):
    pk.store(out, (0,), pk.sigmoid(pk.load(x, (0,), (64,))))


@table(*FLOATS)
def sigmoid(dtype: DType, rng: np.random.Generator) -> Launch:
    x = np.asarray(rng.uniform(-30, 30, (64,))).astype(dtype.np)
    x[:5] = np.array([0, -80, 80, np.inf, -np.inf]).astype(dtype.np)
    with np.errstate(over="ignore"):
        want = 1 / (1 + np.exp(-x.astype(np.longdouble)))
    bound = tolerance("sigmoid", want, floating(dtype), 8) + 2.0**-126
    return Launch(sigmoid_kernel, {"x": x, "out": like(x)}, {"out": want.astype(np.float64)}, bound={"out": bound})


@pk.kernel
def zeros_kernel(x, out):
    a = pk.load(x, (0,), (8,))
    pk.store(out, (0, 0), (a * -1.0)[None, :])
    pk.store(out, (1, 0), (-a)[None, :])
    pk.store(out, (2, 0), pk.ceil(a)[None, :])
    pk.store(out, (3, 0), pk.sqrt(a)[None, :])
    pk.store(out, (4, 0), (a + a)[None, :])
    pk.store(out, (5, 0), (a / 3.0)[None, :])


@table(*FLOATS)
def signs_of_zeros(dtype: DType, rng: np.random.Generator) -> Launch:
    x = np.array([0.0, -0.0, -0.25, 0.25, 1, -0.0, 0.0, 4]).astype(dtype.np)
    with np.errstate(invalid="ignore"):
        w = x.astype(np.float32 if dtype.bits < 64 else np.float64)
        want = np.stack([w * -1, -w, np.ceil(w), np.sqrt(w), w + w, w / 3]).astype(dtype.np)
    return Launch(zeros_kernel, {"x": x, "out": like(want)}, {"out": want}, bits=True)


@pk.kernel
def chain_kernel(x, y, out, B: pk.constexpr[int]):
    i = pk.program_id(0)
    a, b = pk.load(x, (i,), (B,)), pk.load(y, (i,), (B,))
    for _ in range(5):
        a = pk.where(a > b, a - b, a + b) * 0.5
    pk.store(out, (i,), a)


def _chain(side: int) -> None:
    @table(*FLOATS, name=f"chain on tiles of {side}")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        n = 3 * side - side // 2
        x, y = values(rng, (n,), dtype), values(rng, (n,), dtype)
        wide = np.float64 if dtype == pk.float64 else np.float32

        def rounded(v: Array) -> Array:
            return v.astype(dtype.np).astype(wide)

        a, b = x.astype(wide), y.astype(wide)
        for _ in range(5):
            a = rounded(np.where(a > b, rounded(a - b), rounded(a + b)) * wide(0.5))
        want = a.astype(dtype.np)
        args = {"x": x, "y": y, "out": like(want)}
        return Launch(chain_kernel, args, {"out": want}, (-(-n // side),), constants={"B": side})


for _side in (1, 3, 17, 48, 100):
    _chain(_side)
