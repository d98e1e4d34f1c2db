"""Mistakes in loops and branches, in constants and in calls: class, message, and the line where each stands."""

from __future__ import annotations

import math
import traceback
from types import FunctionType

import numpy as np
import pytest
from lowering import Check, array

from portkernel import errors
from portkernel import lang as pk
from portkernel.frontend import KernelFn

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
def test_run_time_value_where_a_constant_is_needed(line: str, match: str, assert_expression_error: Check) -> None:
    assert_expression_error(line, errors.NotConstantError, match, scope={"helper": helper, "TABLE": TABLE})


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
def test_wrong_call(line: str, match: str, assert_expression_error: Check) -> None:
    assert_expression_error(line, errors.CallError, match, scope={"helper": helper, "sqrt": math.sqrt})


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
def test_what_python_raises_is_the_users_mistake(line: str, assert_expression_error: Check) -> None:
    assert_expression_error(line, errors.KernelError, "expected")


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


def test_internal_defects_are_reported_as_such(assert_expression_error: Check) -> None:
    def broken(x):
        raise ZeroDivisionError("a defect")

    broken.__pk_operator__ = True  # type: ignore[attr-defined]
    assert_expression_error("broken(n)", errors.InternalError, "ZeroDivisionError: a defect", scope={"broken": broken})
