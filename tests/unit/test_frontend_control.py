"""Control flow of kernels against Python itself: lowered, checked, executed, compared."""

from __future__ import annotations

import numpy as np
import pytest
from frontend_runs import array, count, lower, run

from portkernel import dtypes as d
from portkernel import ir
from portkernel import lang as pk

WIDTH = 4


def test_swap_in_a_loop_is_parallel() -> None:
    def kernel(x, out, n):
        a, b = 0, 1
        for _ in range(n):
            a, b = b, a + b
        pk.store(out, 0, a)

    assert run(kernel, 10, 1, d.int32) == [55]


@pytest.mark.parametrize(
    ("start", "stop", "step"), [(0, 5, 1), (5, 0, -1), (1, 10, 3), (3, 3, 1), (9, 0, -4), (0, -3, 1)]
)
def test_range(start: int, stop: int, step: int) -> None:
    text = f"""def kernel(x, out, n):
    total = 0
    for i in range({start}, {stop} + n, {step}):
        total = total * 10 + i
    for i in range({start} + n, {stop}, {step} + n):
        total = total * 10 + i
    pk.store(out, 0, total)
"""
    total = 0
    for i in [*range(start, stop, step)] * 2:
        total = total * 10 + i
    assert run(text, 0, 1, d.int32) == [float(np.int32(np.int64(total) & 0xFFFFFFFF if total > 2**31 else total))]


def test_python_scalars_take_the_type_that_the_loop_gives_them() -> None:
    def kernel(x, out, n):
        acc = 0
        for i in range(n):
            for j in range(2):
                if j > 0:
                    acc = acc + pk.sum(pk.load(x, i, 2))
        pk.store(out, 0, acc)

    func = lower(kernel, x=array(1), out=array(1), n=ir.Tile((), d.int32))
    assert {r.type for op in ir.walk(func.body) if isinstance(op, ir.For) for r in op.results} == {
        ir.Tile((), d.float32)
    }
    assert run(kernel, 3)[0] == 21


def test_constants_that_stay_equal_stay_constant() -> None:
    def kernel(x, out, n):
        side, op, shape = 4, pk.exp2, (4,)
        for i in range(n):
            side = 4
            shape = (side,)
            if i > 0:
                op, side = pk.exp2, 4
            pk.store(out, i, op(pk.load(x, i, shape)) + pk.zeros(side))
        pk.store(out, 0, pk.zeros(side))

    func = lower(kernel, x=array(1), out=array(1), n=ir.Tile((), d.int32))
    assert [op.results for op in ir.walk(func.body) if isinstance(op, (ir.For, ir.If))] == [(), ()]
    assert run(kernel, 2) == [0, 0, 0, 0, 32, 64, 128, 256]


def test_nested_tuples_are_carried() -> None:
    def kernel(x, out, n):
        state = (pk.zeros(2), (0, "tag"))
        for i in range(n):
            total, (steps, tag) = state
            if i % 2 == 0:
                state = (total + pk.load(x, i, 2), (steps + 1, tag))
        pk.store(out, 0, state[0])
        pk.store(out, 1, state[0] * 0 + state[1][0] + len(state[1][1]))

    assert run(kernel, 3, 4) == [6, 8, 5, 5]


def test_while() -> None:
    def kernel(x, out, n):
        a, steps = n, 0
        while a != 1 and steps < 100:
            a = a // 2 if a % 2 == 0 else 3 * a + 1
            steps += 1
        while False:
            undefined()  # noqa: F821
        pk.store(out, 0, steps)

    assert run(kernel, 27, 1, d.int32) == [100]
    assert run(kernel, 6, 1, d.int32) == [8]


@pytest.mark.parametrize("n", [-1, 0, 1, 2, 3])
def test_branches(n: int) -> None:
    def kernel(x, out, n):
        b = 5
        if n > 2:
            a = n * 2
        elif n > 1:
            a = 7
            b = n
        elif n > 0:
            a, b = b, n
        else:
            a = 0
            if n < 0:
                a = -b
        pk.store(out, 0, a)
        pk.store(out, 1, b)

    expected = {-1: [-5, 5], 0: [0, 5], 1: [5, 1], 2: [7, 2], 3: [6, 5]}[n]
    assert run(kernel, n, 2, d.int32) == expected


def test_loops_in_branches() -> None:
    def kernel(x, out, n):
        if n > 0:
            for k in range(n):
                pk.store(out, k, k * 1.0)
        else:
            m = 0
            while m < 2:
                pk.store(out, m, 5.0)
                m += 1

    assert run(kernel, 3, 4) == [0, 1, 2, -99]
    assert run(kernel, 0, 4) == [5, 5, -99, -99]


def test_scalars_join_as_the_tile_beside_them() -> None:
    def kernel(x, out, n):
        best = 0.0
        if n > 0:
            best = pk.sum(pk.load(x, 0, 4))
        pk.store(out, 0, best)

    assert run(kernel, 1)[0] == 10
    assert run(kernel, 0)[0] == 0


def test_a_variable_that_only_one_branch_uses_costs_nothing() -> None:
    def kernel(x, out, n):
        if n > 0:
            v = pk.load(x, 0, 4)
            pk.store(out, 0, v)
        else:
            v = pk.load(x, 0, 2)
            pk.store(out, 0, v)

    func = lower(kernel, x=array(1), out=array(1), n=ir.Tile((), d.int32))
    assert [op.results for op in ir.walk(func.body) if isinstance(op, ir.If)] == [()]


def test_a_name_may_change_its_type_where_nobody_reads_it() -> None:
    def kernel(x, out, n):
        v = pk.load(x, 0, 8)
        pk.store(out, 0, v)
        for i in range(n):
            v = pk.load(x, i, 2)
            pk.store(out, i, v * 2)

    assert run(kernel, 1)[:3] == [2, 4, 3]


def test_a_name_that_differs_between_branches_of_a_loop_may_be_unread() -> None:
    def kernel(x, out, n):
        v = 0
        for i in range(n):
            if i > 0:
                v = pk.zeros(2) + i
                pk.store(out, i, v)
            else:
                v = 7.0
                pk.store(out, 0, v)

    assert run(kernel, 2, 4) == [7, -99, 1, 1]


def test_unrolled_loops_break_and_continue() -> None:
    def kernel(x, out, n):
        total = n
        for i in pk.static_range(10):
            if i == 1:
                continue
            if i > 3:
                break
            total += i
        for name, weight in {"a": 2, "b": 3}.items():
            if name == "b":
                total *= weight
        for k, v in enumerate((n, 2)):
            total += k * v
        pk.store(out, 0, total)

    assert run(kernel, 1, 1, d.int32) == [(1 + 0 + 2 + 3) * 3 + 2]


def test_return_from_an_unrolled_loop() -> None:
    def first_even(values):
        for v in values:
            if v % 2 == 0:
                return v
        return -1

    def kernel(x, out, n):
        pk.store(out, 0, n + first_even((3, 5, 8)))

    assert run(kernel, 1, 1, d.int32) == [9]


def test_dead_branches_are_not_interpreted() -> None:
    def kernel(x, out, n, bias: pk.constexpr[object] = None):
        if bias is not None:
            value = pk.load(bias, 0, 4)
        elif False:
            import nothing  # noqa: F401
        else:
            value = 3.0
        pk.store(out, 0, value)

    func = lower(kernel, {"bias": None}, x=array(1), out=array(1), n=ir.Tile((), d.int32))
    assert count(func, ir.If) == 0


def test_asserts() -> None:
    def kernel(x, out, n):
        assert WIDTH == 4
        assert n > 0, "positive"
        assert x.shape[0] > 1

    func = lower(kernel, x=array(1), out=array(1), n=ir.Tile((), d.int32))
    messages = [op.message for op in ir.walk(func.body) if isinstance(op, ir.Assert)]
    assert messages == ["positive", "x.shape[0] > 1"]
