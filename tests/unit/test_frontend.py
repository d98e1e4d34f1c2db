"""Parameters, expressions and functions of kernels against Python itself: lowered, checked, executed, compared."""

from __future__ import annotations

import functools
import inspect
import operator
from collections import namedtuple

import pytest
from frontend_runs import array, count, lower, run

from portkernel import dtypes as d
from portkernel import ir
from portkernel import lang as pk
from portkernel.frontend import KernelFn, kernel_from_source

WIDTH = 4


# --- parameters and text -------------------------------------------------------------------------------------


def test_parameters() -> None:
    def kernel(x, n, B: pk.constexpr[int] = 64, *, FLAG: pk.constexpr = True, LAST: "pk.constexpr[str]" = "a"):  # noqa: UP037
        pass

    params = KernelFn(kernel).params
    assert [(p.name, p.constexpr) for p in params] == [
        ("x", False), ("n", False), ("B", True), ("FLAG", True), ("LAST", True),
    ]  # fmt: skip
    assert params[0].default is inspect.Parameter.empty
    assert params[2].default == 64


def test_annotation_that_only_type_checkers_can_resolve() -> None:
    text = (
        "from __future__ import annotations\ndef kernel(x: Nowhere[int], B: pk.constexpr[Nowhere], C: Nowhere): pass\n"
    )
    params = KernelFn(kernel_from_source(text, "kernel")).params
    assert [p.constexpr for p in params] == [False, True, False]


def test_function_parameters_keep_their_order() -> None:
    def kernel(n, B: pk.constexpr[int], out, x):
        pk.store(out, n, pk.load(x, n, B))

    func = lower(kernel, {"B": 4}, x=array(1), out=array(1), n=ir.Tile((), d.int64))
    assert [p.hint for p in func.params] == ["n", "out", "x"]
    assert func.constants == (("B", 4),)
    assert func.name == "kernel"


def test_lowering_twice_gives_the_same_text() -> None:
    def kernel(x, out, n):
        acc = pk.zeros(4)
        for i in range(n):
            acc += pk.load(x, i, 4) if n > 3 else acc
        pk.store(out, 0, acc)

    types = {"x": array(1), "out": array(1), "n": ir.Tile((), d.int32)}
    fn = KernelFn(kernel)
    text = ir.print_func(fn.lower(types, {}))
    assert text == ir.print_func(fn.lower(types, {}))
    assert "%acc" in text
    assert "%i" in text


def test_every_operation_has_its_place() -> None:
    def kernel(x, out, n):
        v = pk.load(x, n, 4)
        pk.store(out, n, v + 1)

    func = lower(kernel, x=array(1), out=array(1), n=ir.Tile((), d.int32))
    first = kernel.__code__.co_firstlineno
    assert {op.loc.line for op in ir.walk(func.body)} == {first + 1, first + 2}
    (add,) = (op for op in ir.walk(func.body) if isinstance(op, ir.Binary) and op.fn == "add")
    assert (add.loc.col, add.loc.end_col) == (25, 30)


def test_two_lambdas_in_one_line() -> None:
    pair = (lambda v: v * 2, lambda v: v * 3)

    def kernel(x, out, n):
        pk.store(out, 0, pair[0](n) * 1.0)
        pk.store(out, 1, pair[1](n) * 1.0)

    assert run(kernel, 5)[:2] == [10, 15]


def test_source_with_tabs_and_decorators() -> None:
    text = (
        "def plain(f):\n\treturn f\n\n@plain\n@plain\ndef kernel(x, out, n):\n\tif n > 0:\n\t\tpk.store(out, 0, 1.0)\n"
    )
    assert run(text, 1)[0] == 1


# --- expressions ---------------------------------------------------------------------------------------------

EXPRESSIONS = [
    "n + 1", "n - 7 * n", "-n", "+n", "~n", "n // 3", "n % 4", "n << 2", "n >> 1", "n & 6", "n | 9", "n ^ 5", "n ** 2", "abs(-n)",
    "min(n, 3)", "max(1, n, 4)", "min((n, 2))", "1 if n > 2 else 0", "n if WIDTH > 2 else missing", "(n > 2) * 1 if False else n",
    "1 if 0 < n < 5 else 2", "1 if 0 < n <= 3 > 2 else 2", "1 if n > 2 and n < 9 else 0", "1 if n < 2 or n > 4 else 0",
    "1 if not n > 2 else 0", "1 if n > 2 and WIDTH == 4 else 0", "1 if WIDTH == 4 and n > 2 else 0", "0 or n", "3 and n",
    "(n, 7)[1]", "(n, 7)[-2]", "[n, 5][0]", "{'a': n, 'b': 2}['a']", "len((n, n, 1))", "sum((n, n, 2))", "sum(i * n for i in range(4))",
    "sum([i for i in range(5) if i % 2])", "tuple(range(5))[3] + n", "len({i % 3 for i in range(9)})", "{i: i * i for i in range(4)}[3]",
    "(lambda a, b=2: a * b)(n)", "int(2.7) + n", "len(f'{WIDTH:03d}x')", "dict(a=n)['a']", "[*(n, 1), *(2,)][2]",
    "max(*(n, 3))", "sum(a * b for a, b in zip((1, 2), (n, 3)))", "sum(i * v for i, v in enumerate((n, 2, n)))",
    "(1, 2, 3)[1:][0]", "n if n is not None else 0", "1 if isinstance(WIDTH, int) else 0", "n",
    "operator.add(n, 2)", "functools.reduce(lambda a, b: a * 2 + b, (n, 1, 2), 1)", "functools.partial(max, 2)(n)", "all((n > 1, n > 2)) if False else n", "bool(3) + 1", "'ab'.index('b') + n",
]  # fmt: skip


@pytest.mark.parametrize("text", EXPRESSIONS)
@pytest.mark.parametrize("n", [0, 3, 6])
def test_expression(text: str, n: int) -> None:
    scope = {"WIDTH": WIDTH, "operator": operator, "functools": functools}
    fn = kernel_from_source(f"def kernel(x, out, n):\n    pk.store(out, 0, {text})\n", "kernel", scope)
    expected = eval(text, {**scope, "n": n})
    assert run(fn, n, 1, d.int32) == [float(expected)]


def test_constants_are_computed_by_python() -> None:
    def kernel(x, out, n):
        side = (WIDTH * 3 + 1) // 2
        total = sum(k * k for k in range(side))
        if side > 100:
            undefined_everywhere()  # noqa: F821
        pk.store(out, 0, float(total))

    func = lower(kernel, x=array(1), out=array(1), n=ir.Tile((), d.int32))
    assert count(func, ir.Binary) == 0
    assert count(func, ir.If) == 0
    assert run(kernel)[0] == sum(k * k for k in range(6))


def test_conditional_expression_on_tiles_selects() -> None:
    def kernel(x, out, n):
        v = pk.load(x, 0, 8)
        pk.store(out, 0, v if v > 3 else -v)

    assert run(kernel) == [-1, -2, -3, 4, 5, 6, 7, 8]


def test_conditional_expression_on_tuples() -> None:
    def kernel(x, out, n):
        a, (b, c) = (n, (1, 2)) if n > 3 else (7, (n, 2))
        pk.store(out, 0, (a * 100 + b * 10 + c) * 1.0)

    assert run(kernel, 5)[0] == 512
    assert run(kernel, 1)[0] == 712


def test_array_facts() -> None:
    def kernel(x, out, n):
        if x.ndim == 1 and x.dtype == out.dtype and out.dtype is not d.int8:
            pk.store(out, 0, x.shape[0] * 1.0 + len(x) + x.size + x.strides[0])

    assert run(kernel)[0] == 16 * 3 + 1


def test_unpacking() -> None:
    def kernel(x, out, n):
        first, *middle, last = (n, 2, 3, 4)
        a, (b, c) = first, (last, len(middle))
        [p, q] = b, c
        p, q = q, p
        r = s = p
        r += 1
        t: int = r
        u: int
        u = s
        pk.store(out, 0, (a * 1000 + p * 100 + q * 10 + t + u) * 1.0)

    assert run(kernel, 1)[0] == 1000 + 200 + 40 + 3 + 2


def test_lists_and_dicts_made_in_the_kernel() -> None:
    def kernel(x, out, n):
        tiles = []
        for i in pk.static_range(3):
            tiles.append(pk.load(x, i, 2))
        tiles[0] = tiles[0] * 10
        tiles[1] += 100
        tiles += [tiles[0]]
        named = {}
        named["sum"] = tiles[0] + tiles[1]
        pk.store(out, 0, named["sum"])
        pk.store(out, 1, tiles[3])

    assert run(kernel, size=4) == [113, 124, 10, 20]


Pair = namedtuple("Pair", "lo hi")


def test_named_tuples_cross_loops() -> None:
    def kernel(x, out, n):
        p = Pair(n, n)
        for i in range(4):
            p = Pair(min(p.lo, i), max(p.hi, i))
        pk.store(out, 0, (p.lo * 10 + p.hi) * 1.0)

    assert run(kernel, 2)[0] == 3


# --- functions -----------------------------------------------------------------------------------------------


def scale(v, by=2, *, plus=0):
    local = v * by
    return local + plus, local


def classify(n):
    if n < 0:
        return -1
    elif n == 0:  # noqa: RET505  # the form under test
        return 0
    m = n * 2
    if m > 10:
        return 100
    return m


def collect(*values, **named):
    return sum(values) + named.get("extra", 0)


def clamp(flag, n):
    if flag:  # noqa: SIM102  # the form under test
        if n > 4:
            return 4
    return n


def test_helpers() -> None:
    def kernel(x, out, n):
        local = 1
        a, b = scale(n, plus=5)
        c, _ = scale(v=n, by=3)
        pk.store(out, 0, (a * 10000 + b * 1000 + c * 10 + local) * 1.0)

    assert run(kernel, 2)[0] == 9 * 10000 + 4 * 1000 + 60 + 1


@pytest.mark.parametrize("n", [-3, 0, 4, 6])
def test_early_returns_of_helpers(n: int) -> None:
    def kernel(x, out, n):
        for i in range(1):
            pk.store(out, i, classify(n) * 1.0)
        pk.store(out, 1, clamp(True, n) * 1.0)
        pk.store(out, 2, clamp(False, n) * 1.0)

    assert run(kernel, n)[:3] == [classify(n), clamp(True, n), n]


def test_early_return_of_a_kernel() -> None:
    def kernel(x, out, n):
        pk.store(out, 0, 1.0)
        if n > 3:
            return
        pk.store(out, 1, 2.0)

    assert run(kernel, 4, 2) == [1, -99]
    assert run(kernel, 3, 2) == [1, 2]


def test_collected_arguments() -> None:
    def kernel(x, out, n):
        args = (n, 2)
        pk.store(out, 0, collect(*args, 3, **{"extra": n}) * 1.0)

    assert run(kernel, 5)[0] == 15


def test_nested_functions_see_the_variables_around_them() -> None:
    def kernel(x, out, n):
        base = n

        def add(v, k=WIDTH):
            return v + base + k

        def twice(f, v):
            return f(f(v))

        base = n * 10
        pk.store(out, 0, twice(add, 1) * 1.0)
        pk.store(out, 1, (lambda v: v * base)(2) * 1.0)

    assert run(kernel, 3)[:2] == [1 + 2 * 34, 60]


def test_closures_are_constants() -> None:
    def make(side, f):
        def kernel(x, out, n):
            pk.store(out, 0, f(pk.load(x, 0, side)))

        return kernel

    assert run(make(3, lambda v: v * 2), size=4) == [2, 4, 6, -99]
    assert run(make(2, pk.negative), size=4) == [-1, -2, -99, -99]


def host_only(n):
    try:
        return {"a": n}["a"]
    finally:
        pass


def test_a_function_of_constants_may_be_any_python() -> None:
    def kernel(x, out, n):
        pk.store(out, 0, float(host_only(WIDTH)))

    assert run(kernel)[0] == WIDTH


def test_kernels_and_cached_functions_as_helpers() -> None:
    @functools.cache
    def side(k):
        return k * 2

    class Wrapper:
        def __init__(self, fn):
            self.__wrapped__ = fn

    inner = Wrapper(lambda out, place, v: pk.store(out, place, v * 1))

    def kernel(x, out, n):
        inner(out, 0, pk.load(x, 0, side(2)))

    assert run(kernel, size=5) == [1, 2, 3, 4, -99]


def pair_of_lists():
    return [1, 2]


def test_objects_of_the_user() -> None:
    class Scale:
        def __init__(self, by):
            self.by = by

        def __call__(self, v):
            return v * self.by

        def twice(self, v):
            return self(self(v))

        @property
        def half(self):
            return self.by / 2

    scale = Scale(3)

    def kernel(x, out, n):
        made = pair_of_lists()
        made.append(3)
        pk.store(out, 0, scale(n) * scale.half)
        pk.store(out, 1, scale.twice(n) * 1.0 + sum(made))

    assert run(kernel, 2, 2) == [9, 24]


def test_reduce_and_scan_inline_their_combine_function() -> None:
    def best(a, i, b, j):
        take = b > a
        return (b, j) if take else (a, i)

    def kernel(x, out, n):
        v = pk.load(x, 0, 8)
        top, place = pk.reduce((v % 6, pk.arange(8)), 0, best)
        pk.store(out, 0, top)
        pk.store(out, 1, place * 1.0)
        pk.store(out, 1, pk.scan(pk.load(x, 0, 4), 0, lambda a, b: a * b))

    assert run(kernel) == [5, 4, -99, -99, 1, 2, 6, 24]
