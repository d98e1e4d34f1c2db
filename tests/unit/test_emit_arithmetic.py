"""Elementwise functions of the C family against NumPy: exact for integers, within the table's ulp for floats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from simt_kit import Kit, run

from portkernel.dtypes import ALL, DType, bfloat16, bool_, float16, float32, float64
from portkernel.ir import Binary, Select, Unary, Value
from portkernel.ir import simt as s
from portkernel.lang.functions import BINARY, UNARY, Function, operand_dtype

Array = NDArray[np.generic]
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
ROUTES = [("cuda", 1), ("opencl", 1), ("opencl", 8)]
INTEGERS = [d for d in ALL if d.is_integer]
EDGES = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    3.0,
    -3.0,
    7.0,
    np.inf,
    -np.inf,
    np.nan,
    1e-40,
    -1e-40,
    65504.0,
    1e30,
]


def takes(fn: Function, d: DType) -> bool:
    try:
        return operand_dtype(fn, d) == d
    except Exception:
        return False


def evaluate(
    table: dict[str, Function], dtype: DType, xs: tuple[Array, ...], route: str, lanes: int
) -> dict[str, Array]:
    """Every function of ``table`` that takes ``dtype``, in one kernel."""
    kit = Kit(threads=1 if lanes > 1 else 64)
    names = [name for name, fn in table.items() if takes(fn, dtype)]
    per_group = lanes if lanes > 1 else 64
    n = len(xs[0])
    groups = -(-n // per_group)
    pointers = [kit.tensor(f"x{i}", dtype) for i in range(len(xs))]
    types = {name: bool_ if table[name].rule in ("predicate", "compare") else dtype for name in names}
    outs = {name: kit.tensor(f"out_{name}", types[name]) for name in names}
    at = kit.position(lanes)
    values = [kit.read(p, at, lanes) for p in pointers]
    for name in names:
        kind = s.Vec(types[name], lanes)
        if len(xs) == 1:
            made = kit.emit(Unary, kind, fn=name, x=values[0]).result
        else:
            made = kit.emit(Binary, kind, fn=name, x=values[0], y=values[1]).result
        kit.write(outs[name], at, made)
    padded = {f"x{i}": np.concatenate([x, np.ones(groups * per_group - n, x.dtype)]) for i, x in enumerate(xs)}
    results = {f"out_{name}": np.full(groups * per_group, 1, types[name].np) for name in names}
    run(route, kit.source(route), (groups,), {**padded, **results})
    return {name: results[f"out_{name}"][:n] for name in names}


def integers(d: DType) -> Array:
    edges = [
        0,
        1,
        2,
        3,
        5,
        7,
        8,
        31,
        32,
        33,
        63,
        64,
        65,
        d.max,
        d.max - 1,
        d.min,
        d.min + 1,
        d.max // 2,
        d.max // 3 + 1,
    ]
    edges += [-1, -2, -3, -7, -31, -32] if d.kind == "i" else []
    return np.array([e for e in edges if d.min <= e <= d.max], d.np)


def pairs(x: Array) -> tuple[Array, Array]:
    a, b = np.meshgrid(x, x, indexing="ij")
    return a.ravel().copy(), b.ravel().copy()


@pytest.mark.parametrize(("route", "lanes"), ROUTES)
@pytest.mark.parametrize("dtype", [*INTEGERS, bool_], ids=str)
def test_integers_are_exact(dtype: DType, route: str, lanes: int) -> None:
    values = np.array([False, True]) if dtype.is_bool else integers(dtype)
    x, y = pairs(values)
    for table, args in ((UNARY, (values,)), (BINARY, (x, y))):
        for name, got in evaluate(table, dtype, args, route, lanes).items():
            want = table[name].numpy(*args)
            bad = np.nonzero(got != want)[0]
            assert not len(bad), (name, [([a[i] for a in args], got[i], want[i]) for i in bad[:5]])


EXACT_UNARY = {n: f for n, f in UNARY.items() if f.ulp == 0}
EXACT_BINARY = {n: f for n, f in BINARY.items() if f.ulp == 0}


def reference(fn: Function, args: tuple[Array, ...], dtype: DType) -> Array:
    """float16 and bfloat16 compute in float32 and round once."""
    if dtype.bits >= 32:
        return fn.numpy(*args)
    wide = fn.numpy(*(a.astype(np.float32) for a in args))
    return wide if wide.dtype == bool else wide.astype(dtype.np)


def same(got: Array, want: Array) -> Array:
    """Equal with the sign of zero; any NaN is one."""
    if got.dtype == bool:
        return np.asarray(got == want)
    g, w = got.astype(np.float64), want.astype(np.float64)
    return np.asarray(((g == w) & (np.signbit(g) == np.signbit(w))) | (np.isnan(g) & np.isnan(w)))


@pytest.mark.parametrize(("route", "lanes"), ROUTES)
@pytest.mark.parametrize("dtype", [float64, float32, float16, bfloat16], ids=str)
def test_exact_functions_of_floats(dtype: DType, route: str, lanes: int) -> None:
    rng = np.random.default_rng(1)
    some = rng.standard_normal(40) * np.exp2(rng.integers(-12, 12, 40))
    values = np.concatenate([EDGES, some]).astype(dtype.np)
    args = pairs(values)
    for table, operands in ((EXACT_UNARY, (values,)), (EXACT_BINARY, args)):
        for name, got in evaluate(table, dtype, operands, route, lanes).items():
            want = reference(table[name], operands, dtype)
            agree = same(got, want)
            if name in ("max", "min"):
                agree |= (operands[0] == 0) & (operands[1] == 0)  # which zero is not said
            bad = np.nonzero(~agree)[0]
            assert not len(bad), (name, [([a[i] for a in operands], got[i], want[i]) for i in bad[:5]])


DOMAIN: dict[str, tuple[float, float]] = {
    "exp": (-80, 80), "exp2": (-120, 120), "expm1": (-80, 80), "sin": (-100, 100), "cos": (-100, 100), "tan": (-1.5, 1.5),
    "log": (0, 1e4), "log2": (0, 1e4), "log10": (0, 1e4), "log1p": (-0.999, 1e4), "sqrt": (0, 1e6), "rsqrt": (1e-6, 1e6),
    "tanh": (-10, 10), "erf": (-4, 4),
}  # fmt: skip


@pytest.mark.parametrize(("route", "lanes"), ROUTES)
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_functions_stay_within_their_ulp(dtype: DType, route: str, lanes: int) -> None:
    import mpmath

    rng = np.random.default_rng(2)
    for name, (low, high) in DOMAIN.items():
        x = rng.uniform(low, high, 400).astype(dtype.np)
        got = evaluate({name: UNARY[name]}, dtype, (x,), route, lanes)[name]
        exact: Callable[..., object] = {
            "exp2": lambda v: mpmath.mpf(2) ** v,
            "rsqrt": lambda v: 1 / mpmath.sqrt(v),
            "log2": lambda v: mpmath.log(v, 2),
        }.get(name) or getattr(mpmath, name)
        with mpmath.workprec(200):
            true = [exact(mpmath.mpf(float(v))) for v in x]
            near = np.array([float(t) for t in true])
            spacing = np.spacing(np.maximum(np.abs(near), np.finfo(dtype.np).tiny).astype(dtype.np))
            errors = [
                float(abs(mpmath.mpf(float(g)) - t) / mpmath.mpf(float(u))) for g, t, u in zip(got, true, spacing)
            ]
        assert max(errors) <= UNARY[name].ulp + 0.5, (name, max(errors), x[int(np.argmax(errors))])


@pytest.mark.parametrize(("route", "lanes"), ROUTES)
@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_select_follows_its_condition(dtype: DType, route: str, lanes: int) -> None:
    kit = Kit(threads=1 if lanes > 1 else 64)
    kind = s.Vec(dtype, lanes)
    c, x, y, out = (kit.tensor(n, d) for n, d in (("c", bool_), ("x", dtype), ("y", dtype), ("out", dtype)))
    at = kit.position(lanes)
    cond, a, b = (kit.read(p, at, lanes) for p in (c, x, y))
    kit.write(out, at, kit.emit(Select, kind, cond=cond, x=a, y=b).result)
    bits = np.random.default_rng(3).integers(0, 2, 64).astype(np.uint8)
    xs, ys = np.ones(64, dtype.np), np.zeros(64, dtype.np)
    result = np.ones(64, dtype.np)
    run(
        route,
        kit.source(route),
        (64 // (lanes if lanes > 1 else 64),),
        {"c": (bits * 7).view(bool), "x": xs, "y": ys, "out": result},
    )
    assert np.array_equal(result.astype(np.float64), bits.astype(np.float64))


def test_mad_and_wrapping_chains() -> None:
    for route, lanes in ROUTES:
        kit = Kit(threads=1 if lanes > 1 else 64)
        from portkernel.dtypes import int8, int32, uint16

        for d in (int8, int32, uint16):
            kit = Kit(threads=1 if lanes > 1 else 64)
            x, out = kit.tensor("x", d), kit.tensor("out", d)
            at = kit.position(lanes)
            v: Value = kit.read(x, at, lanes)
            product = kit.binary("mul", v, v)
            made = kit.emit(s.Mad, s.Vec(d, lanes), x=product, y=v, z=kit.binary("sub", product, 5)).result
            kit.write(out, at, kit.binary("floordiv", made, 3))
            data = np.random.default_rng(4).integers(d.min, d.max, 64, dtype=d.np, endpoint=True)
            result = np.ones(64, d.np)
            run(route, kit.source(route), (64 // (lanes if lanes > 1 else 64),), {"x": data, "out": result})
            square = data * data
            assert np.array_equal(result, (square * data + (square - d.np.type(5))) // d.np.type(3)), (
                route,
                lanes,
                str(d),
            )
