"""Mistakes in a kernel's text: each has its class, its message, and the line where it stands."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable, Mapping
from types import FunctionType

import numpy as np
import pytest

from portkernel import dtypes as d
from portkernel import errors, ir
from portkernel import lang as pk
from portkernel.frontend import KernelFn, kernel_from_source

Types = Mapping[str, ir.Tensor | ir.Tile]
Check = Callable[..., errors.PortkernelError]


def array(rank: int, dtype: d.DType = d.float32) -> ir.Tensor:
    return ir.Tensor(rank, dtype, (None,) * rank, (None,) * (rank - 1) + (1,) if rank else ())


N = ir.Tile((), d.int32)
XON: Types = {"x": array(1), "out": array(1), "n": N}


@pytest.fixture
def assert_kernel_error() -> Check:
    def check(
        fn: FunctionType | str,
        error: type[errors.PortkernelError],
        match: str,
        at: str,
        types: Types = XON,
        constants: Mapping[str, object] | None = None,
    ) -> errors.PortkernelError:
        """Lowering raises ``error`` itself, says ``match``, and stands on the line that contains ``at``."""
        made = kernel_from_source(fn, "kernel") if isinstance(fn, str) else fn
        with pytest.raises(error, match=match) as caught:
            KernelFn(made).lower(types, constants or {})
        assert type(caught.value) is error
        loc = caught.value.loc
        assert loc.is_known
        line = linecache.getline(loc.file, loc.line)
        assert at in line, f"the error stands at {loc}: {line!r}"
        assert at in str(caught.value)
        return caught.value

    return check


# --- syntax that the language does not have ------------------------------------------------------------------

SYNTAX = {
    "class": ("class A:\n        pass", "class A"),
    "try": ("try:\n        pass\n    except ValueError:\n        pass", "try:"),
    "with": ("with open('a') as f:\n        pass", "with open"),
    "import": ("import math", "import math"),
    "global": ("global g", "global g"),
    "yield": ("yield n", "yield n"),
    "del": ("del n", "del n"),
    "raise": ("raise ValueError", "raise ValueError"),
    "match": ("match n:\n        case 1:\n            pass", "match n"),
    ":=": ("pk.store(out, 0, (y := n))", "(y := n)"),
}


@pytest.mark.parametrize("what", SYNTAX)
def test_unsupported_syntax(what: str, assert_kernel_error: Check) -> None:
    text, at = SYNTAX[what]
    error = assert_kernel_error(
        f"def kernel(x, out, n):\n    m = n + 1\n    {text}\n", errors.UnsupportedSyntaxError, f"`{what}`", at
    )
    assert error.hint


def test_await(assert_kernel_error: Check) -> None:
    assert_kernel_error(
        "async def kernel(x, out, n):\n    await n\n", errors.UnsupportedSyntaxError, "async def", "async def kernel"
    )


@pytest.mark.parametrize(
    ("body", "match", "at"),
    [
        ("for i in range(n):\n        break", "`break`.*run-time loop", "break"),
        ("for i in range(n):\n        continue", "`continue`.*run-time loop", "continue"),
        ("for i in range(n):\n        return", "`return`.*run-time loops", "return"),
        ("while n > m:\n        break", "`break`.*run-time loop", "break"),
        ("for i in pk.static_range(3):\n        if n > i:\n            break", "`break`.*run-time `if`", "break"),
        ("for i in range(n):\n        pass\n    else:\n        m = 1", "`else` of a loop", "m = 1"),
        ("while True:\n        m += 1", "always true", "while True"),
        ("n.flag = 3", "expected a name", "n.flag = 3"),
        ("x[0] = 3", "element of an array", "x[0] = 3"),
        ("v = pk.load(x, 0, 4)\n    v[0] = 3", "tiles are values", "v[0] = 3"),
        ("return n", "returns nothing", "return n"),
        ("@pk.load\n    def f():\n        pass", "decorator", "@pk.load"),
        ("m = 3j", "complex", "m = 3j"),
        ("for i, j in range(n):\n        pass", "one variable", "for i, j"),
        ("t = [1]\n    if n > 0:\n        t.append(2)", "made on this path", "t.append(2)"),
    ],
)
def test_unsupported_use(body: str, match: str, at: str, assert_kernel_error: Check) -> None:
    text = f"def kernel(x, out, n):\n    m = n + 1\n    {body}\n"
    assert_kernel_error(text, errors.UnsupportedSyntaxError, match, at)


def test_collecting_parameter() -> None:
    with pytest.raises(errors.UnsupportedSyntaxError, match=r"kernel\(\): \*xs") as caught:
        KernelFn(kernel_from_source("def kernel(*xs):\n    pass\n", "kernel"))
    assert caught.value.loc.line == 1


# --- names ---------------------------------------------------------------------------------------------------


def test_unknown_name(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        tile = pk.load(x, 0, 4)  # noqa: F841
        pk.store(out, 0, tyle)  # noqa: F821

    error = assert_kernel_error(kernel, errors.UnknownNameError, "`tyle`", "pk.store(out, 0, tyle)")
    assert error.hint == "did you mean `tile`?"
    assert (error.loc.col, error.loc.end_col) == (25, 29)


def test_names_of_the_language_need_their_module(assert_kernel_error: Check) -> None:
    text = "def kernel(x, out, n):\n    v = n.astype(float16)\n"
    assert (
        assert_kernel_error(text, errors.UnknownNameError, "`float16`", "float16").hint == "did you mean `pk.float16`?"
    )


def test_methods_of_tiles_on_an_array(assert_kernel_error: Check) -> None:
    error = assert_kernel_error("def kernel(x, out, n):\n    x.sum()\n", errors.UnknownNameError, "`.sum`", "x.sum()")
    assert "pk.load" in error.hint


def test_unknown_function_of_the_language(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        pk.lode(x, 0, 4)

    error = assert_kernel_error(kernel, errors.UnknownNameError, "`.lode`", "pk.lode")
    assert error.hint == "did you mean `load`?"


def test_unknown_attribute_of_a_tile(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        pk.load(x, 0, 4).exp()

    error = assert_kernel_error(kernel, errors.UnknownNameError, "`.exp`.*a tile", ".exp()")
    assert error.hint == "use pk.exp(...)"


def test_columns_count_characters(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        pk.device_print("größe", größe)  # noqa: F821

    error = assert_kernel_error(kernel, errors.UnknownNameError, "`größe`", "device_print")
    line = linecache.getline(error.loc.file, error.loc.line)
    assert line[error.loc.col : error.loc.end_col] == "größe"


# --- shapes and dtypes ---------------------------------------------------------------------------------------

MATRIX: Types = {"x": array(2), "out": array(2), "n": N, "h": array(2, d.float16), "i": array(1, d.int32)}


@pytest.mark.parametrize(
    ("line", "error", "match"),
    [
        ("pk.load(x, (0, 0), 4)", errors.ShapeError, r"load\(\): shape: expected rank 2"),
        ("pk.load(x, 0, (4, 4))", errors.ShapeError, r"load\(\): index: expected 2"),
        ("pk.load(x, (0.5, 0), (4, 4))", errors.DTypeError, r"load\(\): index: expected integers, got float32"),
        ("pk.load(x, (0, 0), (4, 0))", errors.ShapeError, r"sides of at least 1"),
        ("pk.load(n, 0, 4)", errors.DTypeError, r"load\(\): x: expected an array argument"),
        ("pk.load(x, (pk.arange(4), 0), (4, 4))", errors.ShapeError, r"index: expected scalars"),
        ("pk.store(out, (0, 0), pk.zeros(4))", errors.ShapeError, r"store\(\): value: expected rank 2"),
        (
            "pk.store(out, (0, 0), pk.zeros((4, 4), d.float16))",
            errors.DTypeError,
            r"store\(\): value: expected float32",
        ),
        ("pk.store(out, 0, pk.zeros((4, 4)))", errors.ShapeError, r"store\(\): index: expected 2"),
        ("pk.dot(pk.zeros((4, 8)), pk.zeros((4, 8)), pk.zeros((4, 8)))", errors.ShapeError, r"dot\(\): b: expected"),
        (
            "pk.dot(pk.zeros((4, 8)), pk.zeros((8, 4)), pk.zeros((4, 8)))",
            errors.ShapeError,
            r"dot\(\): acc: expected shape",
        ),
        ("pk.dot(pk.zeros(8), pk.zeros(8), pk.zeros(()))", errors.ShapeError, r"rank 2"),
        (
            "pk.dot(pk.zeros((4, 8), d.float16), pk.zeros((8, 4)), pk.zeros((4, 4)))",
            errors.DTypeError,
            r"dot\(\): b: expected float16 like a",
        ),
        (
            "pk.dot(pk.load(h, (0, 0), (4, 4)), pk.load(h, (0, 0), (4, 4)), pk.zeros((4, 4), d.float16))",
            errors.DTypeError,
            r"dot\(\): acc: expected float32",
        ),
        (
            "pk.zeros(4, pk.float8_e5m2) + 1",
            errors.DTypeError,
            r"add\(\): x: expected a dtype with arithmetic, got float8_e5m2",
        ),
        (
            "pk.zeros(4) + pk.zeros(5)",
            errors.ShapeError,
            r"add\(\): expected shapes that broadcast, got \(4,\) and \(5,\)",
        ),
        ("pk.broadcast_to(pk.zeros(4), (4, 5))", errors.ShapeError, r"expected shapes that broadcast"),
        ("x + 1", errors.DTypeError, "got an array argument"),
        ("pk.zeros(4, d.float32) & 1", errors.DTypeError, r"and\(\): x: expected an integer"),
        ("pk.where(n > 0, pk.zeros(3), pk.zeros(4))", errors.ShapeError, r"where\(\)"),
        ("pk.atomic_add(h, (0, 0), 1.0)", errors.DTypeError, r"atomic_add\(\): x: expected a 32-bit"),
        ("n + 'a'", errors.DTypeError, "expected a tile or a scalar, got str"),
        ("len(n)", errors.CallError, r"len\(\): expected a sequence"),
    ],
)
def test_wrong_shape_or_dtype(
    line: str, error: type[errors.KernelError], match: str, assert_kernel_error: Check
) -> None:
    text = f"def kernel(x, out, n, h, i):\n    m = n * 2\n    q = {line}\n"
    fn = kernel_from_source(text, "kernel", {"d": d})
    assert_kernel_error(fn, error, match, f"q = {line}", MATRIX)


def test_error_points_at_the_operator(assert_kernel_error: Check) -> None:
    text = "def kernel(x, out, n):\n    a = (pk.zeros(4) +\n         pk.zeros(5) * pk.ones(5))\n"
    error = assert_kernel_error(text, errors.ShapeError, "add", "a = (pk.zeros(4) +")
    assert (error.loc.line, error.loc.end_line) == (2, 3)


def test_condition_must_be_a_scalar(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        v = pk.load(x, 0, 4)
        if v > 0:
            pk.store(out, 0, v)

    error = assert_kernel_error(kernel, errors.ShapeError, "if: condition: expected a scalar", "if v > 0:")
    assert "pk.any()" in error.hint


# --- loops and branches --------------------------------------------------------------------------------------


def test_type_changes_in_a_loop(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        acc = pk.zeros(16)
        for i in range(n):
            pk.store(out, i, acc)
            acc = pk.load(x, i, 8)

    match = r"for: `acc`: its type changes in the loop: expected float32\[16\] as before the loop \(line \d+\), got float32\[8\]"
    assert_kernel_error(kernel, errors.TypeJoinError, match, "acc = pk.load(x, i, 8)")


def test_dtype_changes_in_a_while_loop(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        m = n
        while m > 0:
            m = m / 2

    assert_kernel_error(kernel, errors.TypeJoinError, r"while: `m`.*expected int32.*got float32", "m = m / 2")


def test_tuple_changes_its_length_in_a_loop(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        t = (n, n)
        for _ in range(n):
            t = (*t, n)
        pk.store(out, 0, t[0])

    assert_kernel_error(kernel, errors.TypeJoinError, "a tuple of 2.*a tuple of 3", "t = (*t, n)")


def test_type_differs_between_branches(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        if n > 0:
            v = pk.load(x, 0, 16)
        else:
            v = pk.load(x, 0, 8)
        pk.store(out, 0, v)

    match = r"if: `v`: its type depends on the branch: expected float32\[16\].*\(line \d+\), got float32\[8\]"
    assert_kernel_error(kernel, errors.TypeJoinError, match, "v = pk.load(x, 0, 8)")


def test_result_type_differs_between_branches(assert_kernel_error: Check) -> None:
    def pick(n):
        if n > 0:
            return pk.zeros(4)
        return pk.zeros(8)

    def kernel(x, out, n):
        pk.store(out, 0, pick(n))

    assert_kernel_error(
        kernel, errors.TypeJoinError, r"return: result.*float32\[4\].*float32\[8\]", "return pk.zeros(8)"
    )


def test_function_differs_between_branches(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        if n > 0:
            f = pk.exp
        else:
            f = pk.log
        pk.store(out, 0, f(pk.load(x, 0, 4)))

    match = "`f`: its type depends on the branch: expected the function `exp`.*got the function `log`"
    assert_kernel_error(kernel, errors.TypeJoinError, match, "f = pk.log")


def test_variable_defined_in_one_branch(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        if n > 0:
            v = pk.load(x, 0, 16)
        pk.store(out, 0, v)

    match = r"`v`: expected a value on every path, got one only where the `if` of line \d+ is true"
    error = assert_kernel_error(kernel, errors.UndefinedVariableError, match, "pk.store(out, 0, v)")
    assert "before the `if`" in error.hint


def test_variable_defined_in_the_other_branch(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        if n > 0:
            pass
        else:
            v = pk.load(x, 0, 16)
        pk.store(out, 0, v)

    assert_kernel_error(kernel, errors.UndefinedVariableError, "is false", "pk.store(out, 0, v)")


def test_variable_defined_in_a_loop_only(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        for i in range(n):
            v = pk.load(x, i, 16)
        pk.store(out, 0, v)

    assert_kernel_error(kernel, errors.UndefinedVariableError, "only inside the `for`", "pk.store(out, 0, v)")


def test_loop_variable_after_the_loop(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        for i in range(n):  # noqa: B007
            pass
        pk.store(out, i, 1.0)

    assert_kernel_error(
        kernel, errors.UndefinedVariableError, "`i`.*the variable of the `for`", "pk.store(out, i, 1.0)"
    )


def test_variable_used_before_it_is_assigned(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        pk.store(out, 0, later)  # noqa: F821
        later = 1.0  # noqa: F841

    assert_kernel_error(kernel, errors.UndefinedVariableError, "`later`", "pk.store(out, 0, later)")


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        ("range(0, n, 0)", errors.CallError, r"range\(\): step"),
        ("range(0.5)", errors.DTypeError, r"range\(\): stop: expected an integer"),
        ("range(n * 0.5)", errors.DTypeError, r"range\(\): stop: expected an integer, got float32"),
        ("range(pk.arange(4))", errors.ShapeError, r"range\(\): stop: expected a scalar"),
        (
            "range(pk.zeros((), pk.uint64), 0, -1)",
            errors.DTypeError,
            r"range\(\): expected bounds of one integer dtype",
        ),
        ("range()", errors.CallError, r"range\(\): expected 1 to 3"),
        ("pk.arange(4)", errors.NotConstantError, "for: expected a compile-time sequence"),
        ("x", errors.NotConstantError, "for: expected a compile-time sequence"),
        ("7", errors.KernelError, "for: expected a compile-time value, got TypeError"),
    ],
)
def test_wrong_loop_bounds(call: str, error: type[errors.KernelError], match: str, assert_kernel_error: Check) -> None:
    text = f"def kernel(x, out, n):\n    for i in {call}:\n        pass\n"
    assert_kernel_error(text, error, match, f"for i in {call}")


# --- run-time values where constants are needed --------------------------------------------------------------


def helper(v, SIDE: pk.constexpr[int]):
    return v + pk.zeros(SIDE)


TABLE = np.arange(4)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("pk.zeros(n)", r"zeros\(\): shape|full\(\): shape"),
        ("pk.load(x, 0, (n,))", r"load\(\): shape|index"),
        ("[i for i in pk.static_range(n)]", "index|static_range"),
        ("[i for i in range(n)]", "range"),
        ("pk.sum(pk.zeros((4, 4)), axis=n)", r"sum\(\): axis|index"),
        ("helper(pk.zeros(4), n)", r"helper\(\): SIDE: expected a compile-time constant"),
        ("(1, 2, 3)[n]", "index: expected a compile-time constant"),
        ("f'{n}'", "f-string"),
        ("int(n)", r"int\(\)"),
        ("float(n)", r"float\(\)"),
        ("n in (1, 2)", "in: expected compile-time constants"),
        ("pk.zeros if n > 0 else pk.ones", "if: expected a compile-time condition"),
        ("TABLE", "captured array"),
        ("pk.static_assert(n > 0)", "static_assert"),
    ],
)
def test_run_time_value_where_a_constant_is_needed(line: str, match: str, assert_kernel_error: Check) -> None:
    fn = kernel_from_source(f"def kernel(x, out, n):\n    q = {line}\n", "kernel", {"helper": helper, "TABLE": TABLE})
    assert_kernel_error(fn, errors.NotConstantError, match, f"q = {line}")


# --- calls ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("pk.load(x, 0)", r"load\(\): shape: expected a value, got none"),
        ("pk.load(x, 0, 4, padding=1)", r"load\(\): padding: expected one of \(x, index, shape, pad\)"),
        ("pk.load(x, 0, 4, shape=4)", r"load\(\): shape: expected one value, got two"),
        ("pk.exp(n, n)", r"exp\(\): expected at most 1 positional arguments, got 2"),
        ("pk.dot(pk.zeros((4, 4)), pk.zeros((4, 4)))", r"dot\(\): acc: expected a value"),
        ("helper(n)", r"helper\(\): SIDE: expected a value"),
        ("pk.zeros((4, 4)) @ pk.zeros((4, 4))", "pk.dot"),
        ("print(n)", "pk.device_print"),
        ("max(pk.zeros(4))", r"use pk.max"),
        ("any(pk.zeros(4))", r"use pk.any"),
        ("open('file')", r"open\(\)"),
        ("n(1)", "expected a function"),
        ("x.dtype(n)", r"x.astype\(pk.float32\)"),
        ("sqrt(n)", "expected compile-time constants, got a run-time int32"),
    ],
)
def test_wrong_call(line: str, match: str, assert_kernel_error: Check) -> None:
    import math

    fn = kernel_from_source(
        f"def kernel(x, out, n):\n    q = {line}\n", "kernel", {"helper": helper, "sqrt": math.sqrt}
    )
    assert_kernel_error(fn, errors.CallError, match, f"q = {line}")


def test_constant_parameter_of_a_nested_function(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        def fill(side: pk.constexpr[int]):
            return pk.zeros(side)

        pk.store(out, 0, fill(n))

    assert_kernel_error(kernel, errors.NotConstantError, r"fill\(\): side: expected a compile-time", "fill(n)")


def recursive(n):
    if n > 0:
        return recursive(n - 1)
    return n


def even(n):
    return odd(n - 1)


def odd(n):
    return even(n - 1)


def test_recursion(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        pk.store(out, 0, recursive(n))

    assert_kernel_error(
        kernel, errors.KernelRecursionError, r"recursive\(\).*recursive -> recursive", "return recursive(n - 1)"
    )


def test_mutual_recursion(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        pk.store(out, 0, even(n))

    assert_kernel_error(kernel, errors.KernelRecursionError, "even -> odd -> even", "return even(n - 1)")


def inner(v):
    return v + pk.zeros(7)


def outer(v):
    return inner(v) * 2


def test_the_chain_of_calls_is_shown(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        pk.store(out, 0, outer(pk.load(x, 0, 4)))

    error = assert_kernel_error(kernel, errors.ShapeError, "expected shapes that broadcast", "return v + pk.zeros(7)")
    text = str(error)
    assert text.index("in inner") < text.index("in outer") < text.index("in kernel")
    assert text.count("called from") == 2
    assert "return inner(v) * 2" in text
    assert "pk.store(out, 0, outer(pk.load(x, 0, 4)))" in text


def test_combine_function_of_a_reduction(assert_kernel_error: Check) -> None:
    def combine(a, b):
        return a + b + pk.zeros(3)

    def kernel(x, out, n):
        pk.store(out, 0, pk.reduce(pk.load(x, 0, 4), 0, combine))

    error = assert_kernel_error(kernel, errors.DTypeError, r"combine: expected a result of type float32", "pk.reduce(")
    assert "float32[3]" in str(error)


# --- compile-time mistakes, missing text ---------------------------------------------------------------------


def test_constant_assertions(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        assert x.ndim == 2, "a matrix"

    assert_kernel_error(kernel, errors.StaticAssertionError, "a matrix", "assert x.ndim == 2")

    def other(x, out, n):
        pk.static_assert(x.ndim == 2, "a matrix")

    assert_kernel_error(other, errors.StaticAssertionError, "a matrix", "pk.static_assert")


@pytest.mark.parametrize("line", ["1 // 0", "(1, 2)[5]", "'a' + 1", "[].pop()", "a, b = (1, 2, 3)"])
def test_what_python_raises_is_the_users_mistake(line: str, assert_kernel_error: Check) -> None:
    assert_kernel_error(f"def kernel(x, out, n):\n    q = {line}\n", errors.KernelError, "expected", line)


def test_the_traceback_spares_the_user_the_interpreter(assert_kernel_error: Check) -> None:
    error = assert_kernel_error("def kernel(x, out, n):\n    q = [n + nope]\n", errors.UnknownNameError, "nope", "nope")
    assert len(traceback.extract_tb(error.__traceback__)) <= 3


def test_no_source() -> None:
    scope: dict[str, object] = {}
    exec("def kernel(x):\n    pass\n", scope)
    fn = scope["kernel"]
    assert isinstance(fn, FunctionType)
    with pytest.raises(errors.SourceUnavailableError, match="source file"):
        KernelFn(fn).lower({"x": array(1)}, {})


def test_internal_defects_are_reported_as_such(monkeypatch: pytest.MonkeyPatch, assert_kernel_error: Check) -> None:
    def broken(x):
        raise ZeroDivisionError("a defect")

    broken.__pk_operator__ = True  # type: ignore[attr-defined]
    fn = kernel_from_source("def kernel(x, out, n):\n    q = broken(n)\n", "kernel", {"broken": broken})
    assert_kernel_error(fn, errors.InternalError, "ZeroDivisionError: a defect", "q = broken(n)")
