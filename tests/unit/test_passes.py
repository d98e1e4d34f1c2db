"""The passes keep every bit of every result, and do what their names say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ir_tracing import for_, full_grid, if_, tensor, trace, while_

import portkernel.lang as pk
from portkernel.backends.numpy import execute
from portkernel.dtypes import ALL, BY_NAME, float32, int32, int64
from portkernel.errors import InternalError
from portkernel.ir import (
    Binary,
    Block,
    Cast,
    Const,
    Dim,
    Effect,
    For,
    Full,
    Func,
    If,
    Load,
    Op,
    Permute,
    Reduce,
    Reshape,
    Select,
    Tensor,
    Tile,
    Unary,
    Value,
    print_func,
    verify,
    walk,
)
from portkernel.lang.values import TileValue, builder
from portkernel.loc import Loc
from portkernel.passes import PIPELINE, eliminate_common, eliminate_dead, fold, hoist, optimize

X = {"x": tensor("float32"), "out": tensor("float32")}
XI = {"x": tensor("int32"), "out": tensor("int32")}


def ops(func: Func, *kinds: type[Op]) -> list[Op]:
    return [op for op in walk(func.body) if isinstance(op, kinds or (Op,))]


def same_results(func: Func, grid, *inputs, out) -> Func:
    """``optimize(func)``, checked to write bit for bit what ``func`` writes."""
    outcomes = []
    for f in (func, optimize(func, verify=True)):
        written = out.copy()
        names = [p.hint for p in f.params]
        execute(f, full_grid(grid), dict(zip(names, (*inputs, written), strict=True)), 1 << 20)
        outcomes.append(written.view(f"u{out.itemsize}"))
    np.testing.assert_array_equal(*outcomes)
    return optimize(func)


# --- fold ---


SPECIAL = np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan, 1e-45], np.float32)
FLOAT_IDENTITIES = {
    "mul 1": (lambda x: x * 1.0, True),
    "1 mul": (lambda x: 1.0 * x, True),
    "div 1": (lambda x: x / 1.0, True),
    "sub 0": (lambda x: x - 0.0, True),
    "add -0": (lambda x: x + -0.0, True),
    "neg neg": (lambda x: pk.negative(pk.negative(x)), True),
    "add 0": (lambda x: x + 0.0, False),
    "sub -0": (lambda x: x - (-0.0), False),
    "mul 0": (lambda x: x * 0.0, False),
    "sub self": (lambda x: x - x, False),
    "0 sub": (lambda x: 0.0 - x, False),
}


@pytest.mark.parametrize("name", FLOAT_IDENTITIES)
def test_float_identities_are_exact_or_left_alone(name):
    fn, vanishes = FLOAT_IDENTITIES[name]
    func = trace(lambda x, out: pk.store(out, 0, fn(pk.load(x, 0, 8))), X)
    best = same_results(func, 1, SPECIAL, out=np.full(8, 7, np.float32))
    assert (not ops(best, Binary, Unary)) == vanishes


INTEGER_IDENTITIES = {
    "mod 1": lambda x: x % 1,
    "add 0": lambda x: x + 0,
    "0 add": lambda x: 0 + x,
    "sub 0": lambda x: x - 0,
    "mul 1": lambda x: x * 1,
    "mul 0": lambda x: x * 0,
    "div 1": lambda x: x // 1,
    "or 0": lambda x: x | 0,
    "and -1": lambda x: x & -1,
    "xor 0": lambda x: x ^ 0,
    "shl 0": lambda x: x << 0,
    "not not": lambda x: pk.invert(pk.invert(x)),
}


@pytest.mark.parametrize("name", INTEGER_IDENTITIES)
def test_integer_identities(name):
    func = trace(lambda x, out: pk.store(out, 0, INTEGER_IDENTITIES[name](pk.load(x, 0, 4))), XI)
    x = np.array([0, -1, 2**31 - 1, -(2**31)], np.int32)
    assert not ops(same_results(func, 1, x, out=np.full(4, 9, np.int32)), Binary, Unary)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
def test_division_by_powers_of_two_is_a_shift(dtype):
    d = BY_NAME[dtype]

    def kernel(x, out):
        t = pk.load(x, 0, 8)
        n = pk.gather(x, pk.program_id(0))
        pk.store(out, 0, t // 8 + t % 8 * 3 + t // 3)
        pk.scatter(out, 8 + pk.program_id(0), n // 64 + n % 64)

    x = np.array([0, 1, 7, 8, 63, d.max, d.min, d.max - 1], d.np)
    best = same_results(trace(kernel, {"x": tensor(dtype), "out": tensor(dtype)}), 8, x, out=np.zeros(16, d.np))
    assert [op.fn for op in ops(best, Binary) if op.fn in ("floordiv", "mod")] == ["floordiv"]


def test_left_constants_of_asymmetric_functions_stay():
    func = trace(lambda x, out: pk.store(out, 0, (0 - pk.load(x, 0, 4)) + (1 // pk.load(x, 0, 4))), XI)
    same_results(func, 1, np.array([0, -1, 5, 1], np.int32), out=np.full(4, 9, np.int32))


def test_constants_are_evaluated_as_the_reference_does():
    """Every elementwise function and cast that folds, on awkward constants of each dtype."""
    from portkernel.lang.elementwise import binary, unary
    from portkernel.lang.functions import BINARY, UNARY, common_dtype, operand_dtype

    def constants(dtype):
        if dtype.is_bool:
            return (False, True)
        if dtype.is_float:
            return (0.0, -0.0, 1.5, -3.7, float("nan"), float("inf"), 1e30)
        return (dtype.min, dtype.max, 0, 1, 7)

    for dtype in ALL:
        values = constants(dtype)
        for name, fn in UNARY.items():
            if _has(lambda fn=fn, d=dtype: operand_dtype(fn, d)):
                _check(lambda a, name=name: unary(name, a), dtype, [(v,) for v in values])
        for name, fn in BINARY.items():
            if _has(lambda fn=fn, d=dtype: common_dtype(fn, d, d)):
                pairs = list(itertools.product(values, repeat=2))
                _check(lambda a, b, name=name: binary(name, a, b), dtype, pairs)
        for target in ALL:
            _check(lambda a, t=target: pk.astype(a, t), dtype, [(v,) for v in values])


def _has(rule) -> bool:
    from portkernel.errors import DTypeError

    try:
        rule()
    except DTypeError:
        return False
    return True


def _check(fn, dtype, cases) -> None:
    """``fn`` of constants, scattered one after the other, before and after folding."""
    seen = []
    trace(lambda: seen.append(fn(*(pk.full((), v, dtype) for v in cases[0])).dtype), {})

    def kernel(out):
        for i, case in enumerate(cases):
            pk.scatter(out, i, fn(*(pk.full((), v, dtype) for v in case)))

    func = trace(kernel, {"out": tensor(seen[0])})
    outcomes = []
    for f in (func, fold(func)):
        out = np.zeros(len(cases), seen[0].np)
        execute(f, (1, 1, 1), {"out": out}, 1 << 20)
        outcomes.append(out)
    a, b = (o.astype(np.float64) if seen[0].is_float else o for o in outcomes)
    np.testing.assert_array_equal(a, b)
    if seen[0].is_float:
        solid = ~np.isnan(a)
        np.testing.assert_array_equal(np.signbit(a[solid]), np.signbit(b[solid]))


def test_index_arithmetic_becomes_one_constant():
    func = trace(lambda out: pk.scatter(out, ((pk.full((), 5, int32) * 3 + 4) // 2) % 7, 1), {"out": XI["out"]})
    best = optimize(func, verify=True)
    assert not ops(best, Binary, Cast)
    assert 2 in [op.value for op in ops(best, Const)]


def test_sums_and_products_of_constants_are_gathered():
    func = trace(lambda out: pk.scatter(out, (pk.program_id(0) + 3) + 4, pk.program_id(0) * 6 * 7), {"out": XI["out"]})
    best = same_results(func, 5, out=np.zeros(20, np.int32))
    assert len(ops(best, Binary)) == 2
    assert {7, 42} <= {op.value for op in ops(best, Const)}


def test_known_dimensions_are_constants():
    known = Tensor(2, float32, (1, None), (None, 1))

    def kernel(x, out):
        b = builder()
        dims = [TileValue(b.emit(Dim, (Tile((), int64),), tensor=x.value, axis=a).result) for a in (0, 1)]
        pk.scatter(out, 0, dims[0] * 100 + dims[1])

    best = optimize(trace(kernel, {"x": known, "out": tensor("int64")}), verify=True)
    assert [op.axis for op in ops(best, Dim)] == [1]


def test_casts_of_filled_tiles_are_done_on_the_scalar():
    def kernel(x, out):
        n = pk.gather(x, 0)
        pk.store(out, 0, (pk.full((8,), n) * pk.full((8,), 2, int32)).astype(float32))

    func = trace(kernel, {"x": tensor("int32"), "out": X["out"]})
    best = same_results(func, 1, np.array([21], np.int32), out=np.zeros(8, np.float32))
    assert all(op.result.tile.shape == () for op in ops(best, Cast, Binary))
    assert len(ops(best, Full)) == 1


def test_shape_changes_that_cancel():
    def kernel(x, out):
        t = pk.load(x, 0, 12)
        t = pk.reshape(pk.reshape(pk.reshape(t, (3, 4)), (2, 6)), (4, 3))
        t = pk.transpose(pk.transpose(t))
        pk.store(out, 0, pk.reshape(pk.broadcast_to(t, (4, 3)), (12,)))

    func = trace(kernel, X)
    best = same_results(func, 1, np.arange(12, dtype=np.float32), out=np.zeros(12, np.float32))
    assert not ops(best, Reshape, Permute)


def test_permutes_compose():
    def kernel(x, out):
        t = pk.load(x, (0, 0, 0), (2, 3, 4))
        pk.store(out, (0, 0, 0), pk.transpose(pk.transpose(t, (1, 2, 0)), (1, 0, 2)))

    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    best = same_results(
        trace(kernel, {"x": tensor("float32", 3), "out": tensor("float32", 3)}), 1, x, out=np.zeros((4, 3, 2), "f4")
    )
    assert [op.axes for op in ops(best, Permute)] == [(2, 1, 0)]


def test_casts_there_and_back():
    def kernel(x, out):
        t = pk.load(x, 0, 4)
        pk.store(out, 0, t.astype("int64").astype("int32") + t.astype("int16").astype("int32"))

    best = same_results(trace(kernel, XI), 1, np.array([1, -1, 70000, 2**31 - 1], np.int32), out=np.zeros(4, np.int32))
    assert len(ops(best, Cast)) == 2  # through int16 is not exact


def test_constant_branches_are_taken():
    def kernel(x, out):
        yes = pk.full((), 3, int32) > 2
        (v,) = if_(yes, lambda: (pk.gather(x, 0) + 1,), lambda: (pk.gather(x, 1),))
        if_(v * 0 > 1, lambda: pk.scatter(out, 1, v))
        pk.scatter(out, 0, pk.where(yes, v, v - 5))

    best = same_results(trace(kernel, XI), 1, np.array([4, 9], np.int32), out=np.zeros(2, np.int32))
    assert not ops(best, If, Select)


@pytest.mark.parametrize("bounds", [(0, 0, 1), (5, 2, 1), (0, 1, 1), (4, 3, -2), (3, 10, 100), (0, 2, 1), (0, 3, 1)])
def test_loops_of_no_and_one_trip(bounds):
    def kernel(x, out):
        def body(i, a, b):
            pk.atomic_add(out, 2, 1)
            return b + i.astype(int32), a

        a, b = for_(*bounds, (pk.gather(x, 0), pk.gather(x, 1)), body)
        pk.scatter(out, 0, a)
        pk.scatter(out, 1, b)

    best = same_results(trace(kernel, XI), 1, np.array([4, 9], np.int32), out=np.zeros(3, np.int32))
    assert len(ops(best, For)) == (len(range(*bounds)) > 1)


def test_one_trip_loops_inside_each_other():
    def kernel(out):
        def outer(i, t):
            return for_(i, i + 1, 1, (t,), lambda k, t: (t + k + 10,))

        (t,) = for_(3, 4, 1, (pk.full((), 1, int64),), outer)
        pk.scatter(out, 0, t)

    best = same_results(trace(kernel, {"out": tensor("int64")}), 1, out=np.zeros(1, np.int64))
    assert not ops(best, For, Binary)


# --- licm, cse, dce ---


def test_invariants_leave_nested_loops():
    def kernel(x, out):
        def outer(i, t):
            def inner(k, t):
                return (t + x.shape[0] * 3 + (x.shape[0] * 7 + i),)

            return for_(0, 4, 1, (t,), inner)

        (t,) = for_(0, pk.gather(x, 0), 1, (pk.full((), 0, int64),), outer)
        pk.scatter(out, 0, t.astype(int32))

    func = trace(kernel, XI)
    hoisted = hoist(func)
    verify(hoisted)
    loops = ops(hoisted, For)
    assert len(ops(Func("", (), loops[1].body), Binary)) == 2  # only t + … + …
    assert not [op for op in loops[0].body.ops if isinstance(op, Dim)]
    same_results(func, 1, np.array([3, 1], np.int32), out=np.zeros(1, np.int32))


def test_loads_and_effects_stay_in_their_loop():
    def kernel(x, out):
        def body(i):
            pk.store(out, 0, pk.load(out, 0, 4) + pk.load(x, 0, 4))

        for_(0, 3, 1, (), body)

    func = trace(kernel, X)
    assert not [op for op in hoist(func).body.ops if op.effect is not Effect.PURE and not isinstance(op, For)]
    same_results(func, 1, np.ones(4, np.float32), out=np.zeros(4, np.float32))


def test_cheap_tiles_move_only_with_what_needs_them():
    def kernel(x, out):
        def body(i):
            pk.scatter(out, (pk.arange(4) * 2) % 8, pk.full((4,), 1.0, float32))

        for_(0, 3, 1, (), body)

    hoisted = hoist(fold(trace(kernel, X)))
    (loop,) = ops(hoisted, For)
    inside = [type(op).__name__ for op in loop.body.ops]
    assert "Arange" not in inside
    assert "Full" in inside


def test_equal_operations_are_one():
    def kernel(x, out):
        i = pk.program_id(0)
        a, b = pk.load(x, i * 4, 4), pk.load(x, i * 4, 4)
        (c,) = if_(i > 1, lambda: (i * 4 + 1,), lambda: (i * 4,))
        pk.store(out, i * 4, a + b + c.astype(float32))

    func = trace(kernel, X)
    best = eliminate_common(func)
    verify(best)
    assert len([op for op in ops(best, Binary) if op.fn == "mul" and op.result.tile.dtype == int32]) == 1
    assert len(ops(best, Load)) == 2
    same_results(func, 4, np.arange(64, dtype=np.float32), out=np.zeros(64, np.float32))


def test_branches_do_not_lend_values_to_each_other():
    def kernel(x, out):
        v = pk.gather(x, pk.program_id(0))
        (r,) = if_(v > 0, lambda: (v * 9,), lambda: (v * 9 + 1,))
        pk.scatter(out, pk.program_id(0), r + v * 9)

    same_results(trace(kernel, XI), 2, np.array([4, -9], np.int32), out=np.zeros(2, np.int32))


def test_constants_equal_to_python_stay_apart():
    def kernel(out):
        values = (pk.full((), 0.0, float32), pk.full((), -0.0, float32))
        for i, v in enumerate(values):
            pk.scatter(out, i, v)

    best = same_results(trace(kernel, {"out": X["out"]}), 1, out=np.ones(2, np.float32))
    assert {repr(op.value) for op in ops(best, Const) if op.result.tile.dtype == float32} == {"0.0", "-0.0"}


def test_combine_functions_stay_self_contained():
    def kernel(x, out):
        one = pk.full((), 2.0, float32)
        t = pk.load(x, 0, 8) * one
        pk.store(out, 0, pk.full((1,), pk.reduce(t, 0, lambda a, b: a * 2.0 + b)))

    func = trace(kernel, X)
    best = same_results(func, 1, np.arange(8, dtype=np.float32), out=np.zeros(1, np.float32))
    (reduce,) = ops(best, Reduce)
    inside = {v for op in reduce.body.ops for v in op.results} | set(reduce.body.params)
    assert all(v in inside for op in reduce.body.ops for v in op.operands)


def test_dead_operations_and_reads_go():
    def kernel(x, out):
        pk.load(x, 0, 64)
        pk.exp(pk.load(x, 0, 8))
        pk.atomic_add(out, 0, 1.0)
        for_(0, 9, 1, (pk.full((), 0, int32),), lambda i, t: (t + 1,))

    best = eliminate_dead(trace(kernel, X))
    verify(best)
    assert not ops(best, Load, Unary, For)
    assert [type(op).__name__ for op in best.body.ops][-1] == "AtomicRMW"


def test_dead_carried_values_go():
    def kernel(x, out):
        zero = pk.full((), 0, int64)

        def body(i, dead, used, feeds):
            return dead + used, used + feeds, feeds + i

        _, used, _ = for_(0, 5, 1, (zero, zero, zero), body)
        pk.scatter(out, 0, used)
        _, n = while_((zero, zero), lambda a, n: n < 4, lambda a, n: (a + n, n + 1))
        pk.scatter(out, 1, n)
        a, _ = if_(n > 3, lambda: (n, n * 2), lambda: (zero, n * 3))
        pk.scatter(out, 2, a)

    func = trace(kernel, {"x": tensor("int64"), "out": tensor("int64")})
    best = same_results(func, 1, np.zeros(1, np.int64), out=np.zeros(3, np.int64))
    (loop,) = ops(best, For)
    assert len(loop.results) == len(loop.inits) == len(loop.body.yields) == 2
    assert all(len(op.results) == 1 for op in ops(best, If))
    assert [len(op.results) for op in walk(best.body) if type(op).__name__ == "While"] == [1]


def test_effects_in_loops_whose_results_are_dead_stay():
    def kernel(out):
        def body(i, t):
            pk.atomic_add(out, 0, t)
            return (t + 1,)

        for_(0, 5, 1, (pk.full((), 0, int32),), body)

    best = same_results(trace(kernel, {"out": XI["out"]}), 1, out=np.zeros(1, np.int32))
    assert len(ops(best, For)[0].inits) == 1


# --- the pipeline ---


def test_the_pipeline_is_idempotent_and_deterministic():
    def kernel(x, out):
        (acc,) = for_(
            0, pk.cdiv(x.shape[0], 4), 1, (pk.zeros((4,), float32),), lambda k, acc: (acc + pk.load(x, k, 4),)
        )
        pk.store(out, pk.program_id(0), acc)

    func = trace(kernel, X)
    before = print_func(func)
    once = optimize(func)
    assert print_func(func) == before
    assert print_func(optimize(func)) == print_func(once)
    assert print_func(optimize(once)) == print_func(once)


def test_locations_survive():
    from portkernel.ir import current

    def kernel(x, out):
        for line in (3, 4, 5):
            with current().at(Loc("k.py", line, 0, line, 5)):
                pk.store(out, line, (pk.load(x, line, 4) + (pk.full((), 1.0, float32) + 2.0)) * 1.0)

    best = optimize(trace(kernel, X))
    assert {op.loc.line for op in walk(best.body)} == {3, 4, 5}
    assert all(op.loc.is_known for op in walk(best.body))


def test_stages_are_shown_and_checked():
    func = trace(lambda out: pk.scatter(out, 0, 1), {"out": XI["out"]})
    seen = []
    optimize(func, verify=True, on_stage=lambda name, f: (seen.append((name, f.name)), f)[1])
    assert [name for name, _ in seen] == [p.name for p in PIPELINE]
    assert all(p.reason for p in PIPELINE)
    value = Value(Tile((), int32))
    bad = Func(
        "bad", (), Block((), (Unary(results=(Value(Tile((), int32)),), loc=Loc(), fn="neg", x=value),), (value,))
    )
    with pytest.raises(InternalError):
        optimize(bad, verify=True)
